#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The debugger's commands, at the moment when a guest owns a page.

set -euo pipefail

log=$(platforms/qemu_virt/debug.sh "$@" -- -batch \
  -ex 'hbreak Calls::VcpuPut' -ex continue -ex hf-vms -ex 'hf-owner 0x40200' \
  -ex 'hf-walk hyp 0x40200000' -ex 'hf-walk guest 0x1000 0x42000' -ex 'hf-walk host 0x40200000' \
  2>&1)
printf '%s\n' "$log"
for text in 'Breakpoint 1' '0x1000  live, protected; 1 guest pages' 'cpu 0 has vCPU 0 of 0x1000' \
  'host: no page; hyp: owned' 'page r-x' 'page rwx, owned' 'owned by hyp'; do
  grep -qF -- "$text" <<< "$log" || { echo "FAIL: not in the output: $text"; exit 1; }
done
