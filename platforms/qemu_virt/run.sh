#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Boots an EL2 image in QEMU, passes its console through, and ends with the
# status the host payload ended with. Puts names to the addresses in a panic
# report, with llvm-symbolizer and the image's ELF file.

set -euo pipefail

usage() {
  cat <<'END'
usage: run.sh --bin FILE --elf FILE [options]
  --cpu MODEL        QEMU's -cpu (default: max,pauth-impdef=on)
  --cpus N           how many (default: 4)
  --thread MODE      TCG threads: multi or single (default: multi)
  --memory SIZE      (default: 1G)
  --its on|off       (default: off)
  --append TEXT      boot arguments for the host
  --seconds N        time limit (default: 60)
  --                 what follows goes to QEMU as it is
END
}

die() {
  printf 'run.sh: %s\n' "$@" >&2
  exit 3
}

bin='' elf='' cpu=max,pauth-impdef=on cpus=4 thread=multi memory=1G append='' seconds=60 its=off
while (($# > 0)); do
  case $1 in
    --bin) bin=$2; shift ;;
    --elf) elf=$2; shift ;;
    --cpu) cpu=$2; shift ;;
    --cpus) cpus=$2; shift ;;
    --thread) thread=$2; shift ;;
    --memory) memory=$2; shift ;;
    --its) its=$2; shift ;;
    --append) append=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --help) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[[ $bin && $elf ]] || { usage >&2; exit 2; }

qemu="qemu-system-aarch64"
command -v "$qemu" > /dev/null ||
  die "$qemu is not installed: run ./holdfast setup, or install Debian's qemu-system-arm"
[[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]] && append+=' colour'

symbolizer=
for name in llvm-symbolizer-19 llvm-symbolizer; do
  if command -v "$name" > /dev/null; then
    symbolizer=$name
    break
  fi
done

# `  #3 0x40201234` of a backtrace gets its function and source line; `  #- `
# is the link register. What inlining hid comes on lines of its own.
name_addresses() {
  local line names
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $symbolizer && $line =~ ^\ \ \#[-0-9]+\ +(0x[0-9a-f]+) ]]; then
      names=$("$symbolizer" --obj="$elf" --functions=linkage --demangle --inlining \
        --relativenames --output-style=GNU --pretty-print "${BASH_REMATCH[1]}")
      names=${names//holdfast::/}
      names=${names//qemu_virt::/}
      names=${names//(anonymous namespace)::/}
      [[ $names != *' at ??:'* ]] || names='(not code of the image)'
      printf '%s  %s\n' "$line" "${names//$'\n'/$'\n                 '}"
    else
      printf '%s\n' "$line"
    fi
  done
}

status=0
# No ITS unless asked for: the device tree would name it, and EL2 hides it.
timeout --foreground "$seconds" "$qemu" \
  -M virt,gic-version=3,virtualization=on,its="$its" -cpu "$cpu" -smp "$cpus" \
  -accel "tcg,thread=$thread" -m "$memory" \
  -nographic -nodefaults -serial stdio -no-reboot \
  -semihosting-config enable=on,target=native \
  -kernel "$bin" -append "$append" "$@" < /dev/null 2>&1 |
  name_addresses || status=${PIPESTATUS[0]}

case $status in
  124) echo "run.sh: no end after $seconds s" >&2 ;;
  70) echo "run.sh: EL2 panicked (report above)" >&2 ;;
esac
exit "$status"
