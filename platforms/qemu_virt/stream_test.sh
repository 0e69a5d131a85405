#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Boots an image that writes its event stream, and has the stream checked:
#   stream_test.sh CHECK_TRACE RUN_ARGUMENTS...
# Then spoils the stream: what checks it must see that.

set -euo pipefail

root=$PWD check=$PWD/$1
shift
args=()
for arg in "$@"; do
  [[ ! -e $root/$arg ]] || arg=$root/$arg
  args+=("$arg")
done
cd "$(mktemp -d -p "${TEST_TMPDIR:-/tmp}")"

"$root/platforms/qemu_virt/run.sh" "${args[@]}" | tail -n 3
[[ -s holdfast.stream ]] || { echo "FAIL: no stream"; exit 1; }
"$check" holdfast.stream
"$check" holdfast.stream | grep -Eq '[0-9]{3,} lock sections' ||
  { echo "FAIL: hardly a stream of a whole demo"; exit 1; }

# Another instruction in place of a TLBI.
sed '0,/ tlbi-ipas2e1is /s/ tlbi-ipas2e1is .*/ isb/' holdfast.stream > spoilt
! cmp -s holdfast.stream spoilt || { echo "FAIL: no TLBI"; exit 1; }
status=0
"$check" spoilt > verdict || status=$?
if ((status != 1)) || ! grep -q ' unclean: ' verdict; then
  cat verdict
  echo "FAIL: a lost TLBI does not show"
  exit 1
fi
