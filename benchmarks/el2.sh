#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Boots the EL2 image with el2.cc's host in QEMU, one CPU, -icount, and prints
# what calls cost beside the reference. Status 1: one in the table misses its mark.
#
#   el2.sh RUN_SH BIN ELF [--lines | --memory] [CPU...]
#     CPU: a57, a72, max (default: a72 max)
#     --lines: a line each for other programs, as instructions.sh has them
#     --memory: such lines of the bytes that a host gives for a VM
set -euo pipefail
run=$1 bin=$2 elf=$3
shift 3
what=table
case ${1:-} in
  --lines | --memory) what=${1#--}; shift ;;
esac
(($#)) || set -- a72 max
output=$(mktemp)
trap 'rm -f "$output"' EXIT
missed=0
for cpu in "$@"; do
  case $cpu in
    max) model=max,pauth-impdef=on ;;
    *) model=cortex-$cpu ;;
  esac
  if ! "$run" --bin "$bin" --elf "$elf" --cpu "$model" --cpus 1 --thread single \
    --memory 2G --seconds 120 -- -icount shift=0,sleep=off > "$output" 2>&1 ||
    ! grep -q '^el2: all counted' "$output"; then
    cat "$output" >&2
    exit 2
  fi
  [[ $what != table ]] || printf '%-50s %12s %9s %6s %5s\n' \
    "EL2 instructions a call, $model" Holdfast reference ratio mark
  awk -F'|' -v what="$what" '
    what == "memory" && $1 == "MEMORY" { printf "%s|%s|%s|-1|-1|1\n", $2, $3, $4 }
    what == "memory" || $1 != "EL2" { next }
    {
      reference = $6 > 0 ? $6 : "-"
      mark = $7 > 0 ? $7 : "-"
      ratio = $6 > 0 ? sprintf("%.3f", $4 / $6) : "-"
      miss = $7 > 0 && $4 > $7
    }
    what == "lines" {
      goal = $7 > 0 ? $7 / $6 : 1
      printf "%s|%s|%s|%s|-1|%.6f\n", $2, $3, $4, ($6 > 0 ? $6 : -1), goal
      next
    }
    {
      printf "%-50s %12.2f %9s %6s %5s%s\n", $3, $4, reference, ratio, mark,
             (miss ? " MISS" : "")
      missed = missed || miss
    }
    END { exit missed }' "$output" || missed=1
done
exit "$missed"
