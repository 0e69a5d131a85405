#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs run.sh with the arguments it does not know itself, and checks the end:
#   --status N      the exit status (default 0)
#   --expect TEXT   must be in the output (again for more)
#   --reject TEXT   must not be
#   --quiet         QEMU must log nothing as the guest's mistake or as something
#                   it does not do

set -euo pipefail

want=0 expect=() reject=() rest=() quiet=
while (($# > 0)); do
  case $1 in
    --status) want=$2; shift 2 ;;
    --expect) expect+=("$2"); shift 2 ;;
    --reject) reject+=("$2"); shift 2 ;;
    --quiet) quiet=1; shift ;;
    *) rest+=("$1"); shift ;;
  esac
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
log=$folder/log complaints=$folder/complaints
[[ ! $quiet ]] || rest+=(-- -d 'guest_errors,unimp' -D "$complaints")
status=0
platforms/qemu_virt/run.sh "${rest[@]}" > "$log" 2>&1 || status=$?
cat "$log"

failed=0
if ((status != want)); then
  echo "FAIL: status $status, expected $want"
  failed=1
fi
for text in ${expect[@]+"${expect[@]}"}; do
  grep -qF -- "$text" "$log" || { echo "FAIL: not in the output: $text"; failed=1; }
done
for text in ${reject[@]+"${reject[@]}"}; do
  ! grep -qF -- "$text" "$log" || { echo "FAIL: in the output: $text"; failed=1; }
done
if [[ $quiet && ! -e $complaints ]]; then
  echo "FAIL: QEMU wrote no log"
  failed=1
elif [[ $quiet && -s $complaints ]]; then
  echo "FAIL: QEMU's log is not empty:"
  sort "$complaints" | uniq -c | sort -rn | head -20
  failed=1
fi
exit "$failed"
