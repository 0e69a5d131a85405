#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# example_test.sh SIM SCRIPT TRANSCRIPT: the script succeeds and prints that.
set -euo pipefail

status=0
"$1" "$2" > "$TEST_TMPDIR/transcript" || status=$?
if ! diff -u "$3" "$TEST_TMPDIR/transcript"; then
  echo "If that is right: bazel run //platforms/shell:transcripts" >&2
  exit 1
fi
exit "$status"
