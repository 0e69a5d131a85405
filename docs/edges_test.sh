#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# edges_test.sh EDGES.md SOURCE...: all of 1..43 are in the table, and each test
# it names, after the number of its row, is in one of the sources.

set -u
edges=$1
shift
failed=0
complain() { printf '%s\n' "$*"; failed=1; }

numbers=$(sed -n 's/^| \([0-9]*\) | .*/\1/p' "$edges" | tr '\n' ' ')
[[ $numbers == "$(seq -s ' ' 1 43) " ]] || complain "rows, in order: $numbers"
while read -r number test; do
  grep -qE "^TEST[_A-Z]*\([A-Za-z]*, $test\)" "$@" || complain "edge $number: no test $test"
  [[ _${test}_ == *_E$(printf %02d "$number")_* ]] || complain "edge $number: $test is another's"
done < <(sed -n 's/^| \([0-9]*\) | .*| \(.*\) |$/\1 \2/p' "$edges" |
  awk '{ n = $1; while (match($0, /`E[0-9][A-Za-z0-9_]*`/)) {
           print n, substr($0, RSTART + 1, RLENGTH - 2)
           $0 = substr($0, RSTART + RLENGTH) } }')
# And the other way: a test that has a number is in the table.
while read -r test; do
  grep -q "\`$test\`" "$edges" || complain "$test is not in $edges"
done < <(grep -hoE "^TEST[_A-Z]*\([A-Za-z]*, E[0-9]{2}_\w+\)" "$@" | sed 's/.*, \(.*\))/\1/' | sort -u)
exit "$failed"
