#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Whether el2.sh runs, each row is there, and each number can be: no less than
# what saves and restores a host's registers, and no more than some times what it
# was when this was written. How many they are is for `./holdfast bench`.
set -euo pipefail
most='unknown 400
refused 1000
touch 2000
share_hyp_block 2000
share_hyp 2000
unshare_hyp 2000
load_put 2000
donate_block 12000
donate 6000
force_reclaim 6000
vcpu_run 6000
guest_call 4000
guest_fault 12000
reclaim_dying 6000'
rows=$("$@" --lines a72)
echo "$rows"
failed=0
while read -r key limit; do
  grep "^$key|" <<< "$rows" |
    awk -F'|' -v limit="$limit" '{ ok = $3 >= 30 && $3 <= limit } END { exit !ok }' ||
    { echo "FAIL: no $key, or not between 30 and $limit"; failed=1; }
done <<< "$most"
if (($(wc -l <<< "$rows") != $(wc -l <<< "$most"))); then
  echo "FAIL: not as many rows as are known here"
  failed=1
fi
exit "$failed"
