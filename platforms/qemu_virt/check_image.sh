#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: check_image.sh ELF BIN
#
# What holds for every EL2 image: no memory is both writable and executable, not
# in the file either; no relocation is left; EL2 uses no FP or SIMD register
# (they are the host's, and nobody saves them); profiling and trace buffers are
# drained; no path of the machine that built it is in it.

set -euo pipefail

elf=$1 bin=$2 failed=0
fail() {
  echo "FAIL: $1"
  failed=1
}

segments=$(llvm-readelf-19 -lW "$elf" | awk '$1 == "LOAD" { print $3, $7 $8 $9 }')
[[ $(wc -l <<< "$segments") -ge 3 ]] || fail "no three segments: $segments"
while read -r address flags; do
  [[ $flags != *W*E* ]] || fail "segment $address is writable and executable"
  [[ $((address % 65536)) == 0 ]] || fail "segment $address does not start a page"
done <<< "$segments"

sections=$(llvm-readelf-19 -SW "$elf" | sed 's/^ *\[ *[0-9]*\] *//')
writable_code=$(awk '$7 ~ /W/ && $7 ~ /X/' <<< "$sections")
[[ -z $writable_code ]] || fail "sections are writable and executable: $writable_code"
[[ $(awk '$7 ~ /X/' <<< "$sections" | wc -l) == 1 ]] || fail "more than .text is code"
[[ $(llvm-readelf-19 -rW "$elf") != *R_AARCH64* ]] || fail "relocations are left"

# But for the functions that save and restore those of hosts and guests
# (platforms/aarch64/guest_fp.S): v0, q0, d0, s0, h0, b0, and z0 and p0 of SVE, as operands.
disassembly=$(llvm-objdump-19 -d --no-show-raw-insn --no-leading-addr "$elf")
code=$(printf '%s\n' "$disassembly" | sed 's/<[^>]*>//g')
rest=$(awk '/^<.*>:$/ { skip = /^<(SaveFp|LoadFp|SaveSve|LoadSve)>:$/ } !skip' <<< "$disassembly" |
  sed 's/<[^>]*>//g')
[[ $(wc -l <<< "$rest") -lt $(wc -l <<< "$code") ]] || fail "guest_fp.S is not there"
[[ $(wc -l <<< "$code") -gt 1000 ]] || fail "there is no code"
register='[vqdshbzp]([0-9]|[12][0-9]|3[01])(\.[0-9a-z]+)?'
registers=$(grep -E "^[[:space:]]+[a-z][a-z0-9.]*[[:space:]](.*[[:space:]{,])?$register([][:space:],}/[]|\$)" \
  <<< "$rest" | head -20) || true
[[ -z $registers ]] || fail "FP or SIMD registers at EL2:
$registers"

# Buffers of SPE and TRBE, which QEMU has not, are drained before they are turned
# off, and off before they change hands.
order='msr PMSCR_EL2,psb csync,dsb nsh,msr PMBLIMITR_EL1'
order+=',msr TRFCR_EL2,tsb csync,dsb nsh,msr TRBLIMITR_EL1,msr MDCR_EL2'
awk -v order="$order" '
  BEGIN { count = split(order, want, ","); at = 1 }
  { gsub(/[ \t]+/, " "); if (at <= count && index($0, want[at])) at++ }
  END { exit at <= count }' <<< "$code" || fail "not in this order: $order"

# Accesses and walks under one VTTBR_EL2 are complete before there is another
# (stage2_switch.h): no DSB of the caller's need be one for loads.
awk '
  /mrs.*VTTBR_EL2/ { waits = 0; switches++ }
  /dsb[ \t]+nsh/ { waits = 1 }
  /msr[ \t]+VTTBR_EL2/ && switches && !waits { bad = 1 }
  END { exit bad || !switches }' <<< "$code" || fail "VTTBR_EL2 is switched without DSB NSH"

for file in "$elf" "$bin"; do
  # Not by name: what looks like a folder in which things are built.
  paths=$(llvm-strings-19 -n 6 "$file" | grep -E '(^|[^a-z.])/(home|root|tmp|work|build|builds|var|mnt|srv)/|/sandbox/|/execroot/' | head -5) || true
  [[ -z $paths ]] || fail "paths of this machine in ${file##*/}: $paths"
done

exit "$failed"
