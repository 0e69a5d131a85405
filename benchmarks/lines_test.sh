#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# lines_test.sh PATTERN PROGRAM [ARGUMENT...]: the program succeeds, and each of
# the lines that it writes to the file of --lines is one of PATTERN (grep -E).
set -eu
pattern=$1 program=$2
shift 2
"$program" "$@" --lines="$TEST_TMPDIR/lines"
[ -s "$TEST_TMPDIR/lines" ] || { echo "no lines" >&2; exit 1; }
if grep -vE -m 5 "^($pattern)\$" "$TEST_TMPDIR/lines" >&2; then
  echo "^ not of $pattern" >&2
  exit 1
fi
