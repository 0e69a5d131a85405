#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Counts the instructions of each operation of a program here with callgrind and
# prints them beside the reference's. Exact for one binary. Status 1: one misses
# its goal.
#
#   instructions.sh [--lines] PROGRAM [OPERATION...]
#
# With --lines a line each for other programs: key|name|ir|reference|bound|goal.
set -eu
lines=
[ "$1" != --lines ] || { lines=yes; shift; }
program=$1
shift
if ! command -v valgrind > /dev/null; then
  echo "valgrind is not installed (apt install valgrind)" >&2
  exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
[ -n "$lines" ] ||
  printf '%-52s %9s %9s %6s %5s %7s\n' 'operation' 'Ir' 'reference' 'ratio' 'goal' 'bound'
missed=0
"$program" --count=list > "$folder/list"
while IFS='|' read -r key name reference bound goal _ units; do
  case " ${*:-$key} " in *" $key "*) ;; *) continue ;; esac
  valgrind --tool=callgrind --callgrind-out-file="$folder/out" --collect-atstart=no \
    --toggle-collect=holdfast_measured --cache-sim=no --branch-sim=no \
    "$program" "--count=$key" < /dev/null > "$folder/log" 2>&1 || {
    cat "$folder/log" >&2
    exit 1
  }
  total=$(sed -n 's/^\(totals\|summary\): //p' "$folder/out" | tail -n 1)
  awk -v key="$key" -v name="$name" -v total="$total" -v units="$units" \
    -v reference="$reference" -v goal="$goal" -v bound="$bound" -v lines="$lines" 'BEGIN {
      ir = total / units
      met = reference < 0 || ir <= goal * reference
      if (lines) printf "%s|%s|%.2f|%s|%s|%s\n", key, name, ir, reference, bound, goal
      else if (reference < 0) printf "%-52s %9.1f %9s %6s %5s %7s\n", name, ir, "-", "-", "-", "-"
      else printf "%-52s %9.1f %9d %6.3f %5s %7s\n", name, ir, reference, ir / reference,
                  met ? "met" : "MISS", bound
      exit !met
    }' || missed=1
done < "$folder/list"
[ -n "$lines" ] || exit $missed
