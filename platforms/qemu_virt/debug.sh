#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An EL2 image in QEMU, stopped at its first instruction, with gdb attached and
# the commands of gdb/holdfast.py. The console comes to the same terminal. What
# follows `--` goes to gdb: `-- -batch -ex hf-vms`, for instance.

set -euo pipefail

bin='' elf='' helpers='' cpu=max,pauth-impdef=on
while (($# > 0)); do
  case $1 in
    --bin) bin=$2; shift ;;
    --elf) elf=$2; shift ;;
    --helpers) helpers=$2; shift ;;
    --cpu) cpu=$2; shift ;;
    --) shift; break ;;
    *) break ;;
  esac
  shift
done

for tool in qemu-system-aarch64:qemu-system-arm gdb-multiarch:gdb-multiarch; do
  command -v "${tool%%:*}" > /dev/null || {
    echo "debug.sh: ${tool%%:*} is not installed: run ./holdfast setup --all," \
      "or install Debian's ${tool##*:}" >&2
    exit 3
  }
done

folder=$(mktemp -d)
qemu=
trap '[[ -z $qemu ]] || kill -KILL "$qemu" 2> /dev/null || true; rm -rf "$folder"' EXIT

# A session of its own: Ctrl-C is for gdb. A socket file: no port to be in use.
setsid qemu-system-aarch64 \
  -M virt,gic-version=3,virtualization=on,its=off -cpu "$cpu" -smp 4 \
  -accel tcg,thread=single -m 1G -nographic -nodefaults -serial stdio -no-reboot \
  -semihosting-config enable=on,target=native -kernel "$bin" -S \
  -chardev "socket,path=$folder/gdb,server=on,wait=off,id=gdb" -gdb chardev:gdb \
  < /dev/null &
qemu=$!
for _ in {1..50}; do
  [[ -S $folder/gdb ]] && break
  sleep 0.1
done

gdb-multiarch -q -nx "$elf" \
  -iex "directory ${BUILD_WORKSPACE_DIRECTORY:-.}" -iex 'set confirm off' -iex 'set pagination off' -iex 'set debuginfod enabled off' \
  -ex 'set architecture aarch64' -ex "target remote $folder/gdb" -x "$helpers" "$@"
