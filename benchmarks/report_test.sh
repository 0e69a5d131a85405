#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What report makes of made-up files: its status, and which sections there are.
# In gnuplot's place is a program that draws nothing.
set -euo pipefail
report=$PWD/$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir bin page
printf '#!/bin/sh\nexec cat > /dev/null\n' > bin/gnuplot
chmod +x bin/gnuplot
PATH=$folder/bin:$PATH

fail() { echo "FAIL: $1"; exit 1; }
status_of() { local status=0; "$report" "$@" > out 2>&1 || status=$?; echo "$status"; }
with() { printf 'a|an operation|%s|1000|50|0.2\n' "$1" > lines; }
kept=(--baseline=kept.json --instructions=el2_max=lines)

with 100
[[ $(status_of "${kept[@]}" --update) == 0 ]] || fail 'no baseline can be kept'
grep -q '"a": 100' kept.json || fail 'it keeps another number'
with 102.9
[[ $(status_of "${kept[@]}") == 0 ]] || fail '2.9 % more is no regression'
with 103.1
[[ $(status_of "${kept[@]}") == 1 ]] || fail '3.1 % more is one'
grep -q 'MORE: el2_max, an operation' out || fail 'it does not say what is more'
! grep -q 'misses its goal' out || fail '0.1031 of the reference reaches 0.2'
with 201
status_of "${kept[@]}" > /dev/null
grep -q 'misses its goal' out || fail '0.201 of the reference misses 0.2'
echo 'a|an operation|many' > lines
[[ $(status_of "${kept[@]}") == 2 ]] || fail 'a line that is none is taken'

with 100
printf 'LATENCY|1|donate|%s\n' '300|98' '400|1' '7777|1' > latency
printf 'SCALING|share|%s\n' '1|own_vm|1e6' '2|own_vm|1.9e6' '2|same_vm|1e6' > scaling
printf '%s\n' 'library text rodata data bss total' 'hyp 1024 0 0 512 1536' > size
[[ $(status_of "${kept[@]}" --report=page) == 0 ]] || fail 'no report'
! grep -qE 'single calls|Several CPUs|by library' page/index.html ||
  fail 'there is a section of what nobody measured'
[[ $(status_of "${kept[@]}" --report=page --latency=latency --scaling=scaling \
  --size=size) == 0 ]] || fail 'no report of all'
for text in 'single calls' 'Several CPUs' 'by library' \
  '<td>100</td><td>300</td><td>400</td><td>7777</td><td>7777</td>'; do
  grep -q "$text" page/index.html || fail "the report has no $text"
done
! grep -qi '<script' page/index.html || fail 'there is a script in it'
