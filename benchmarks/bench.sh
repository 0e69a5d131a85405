#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `./holdfast bench`: measures everything and compares it with what is kept in
# benchmarks/baseline.json: instructions and bytes, which do not drift.
#
#   bench.sh [--check | --update] [FOLDER]
#     --check    instructions and bytes only, and no report: for CI
#     --update   keeps the new numbers as the baseline
#   FOLDER: where the report goes (default: bench/)
#
# Status 1: something takes over 3 % more than it did, or a call grows with its VM.
set -euo pipefail
mode='' folder=bench
for argument in "$@"; do
  case $argument in
    --check | --update) mode=${argument#--} ;;
    -*) echo "bench: there is no option $argument" >&2; exit 2 ;;
    *) folder=$argument ;;
  esac
done

bazel build //benchmarks:all
bin=bazel-bin/benchmarks
mkdir -p "$folder"
failed=0
programs=(pgtable hypercalls)
el2_cpus=(a72 max)
lines=() times=() latency=() scaling=()
# The list of "$@" with commas.
commas() { local IFS=,; echo "$*"; }

for program in "${programs[@]}"; do
  echo "counting instructions: $program" >&2
  sh benchmarks/instructions.sh --lines "$bin/$program" > "$folder/$program.lines"
  lines+=("$program=$folder/$program.lines")
done
el2=(benchmarks/el2.sh platforms/qemu_virt/run.sh "$bin/el2_image.bin" "$bin/el2_image.elf")
for cpu in "${el2_cpus[@]}"; do
  echo "counting EL2's instructions: $cpu" >&2
  "${el2[@]}" --lines "$cpu" > "$folder/el2_$cpu.lines"
  lines+=("el2_$cpu=$folder/el2_$cpu.lines")
done
{ "$bin/memory" && "${el2[@]}" --memory a72; } > "$folder/memory.lines"
lines+=("memory=$folder/memory.lines")
options=(--baseline=benchmarks/baseline.json "--instructions=$(commas "${lines[@]}")")

machine() {
  sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1
  echo "$(nproc) CPUs, $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)"
  clang-19 --version | head -n 1
  qemu-system-aarch64 --version | head -n 1
  valgrind --version
  echo "commit $(git describe --always --dirty), $(date -u '+%Y-%m-%d %H:%M UTC')"
}

if [[ $mode != check ]]; then
  for program in "${programs[@]}"; do
    echo "timing: $program" >&2
    "$bin/$program" --benchmark_out_format=json --benchmark_out="$folder/$program.json" \
      > /dev/null
    times+=("$program=$folder/$program.json")
  done
  # Those that are there.
  for program in latency latency_time scaling; do
    [[ -x $bin/$program ]] || continue
    echo "measuring: $program" >&2
    "$bin/$program" "--lines=$folder/$program.lines" > "$folder/$program.txt" ||
      { cat "$folder/$program.txt" >&2; failed=1; }
    case $program in
      scaling) scaling+=("$folder/$program.lines") ;;
      *) latency+=("$folder/$program.lines") ;;
    esac
  done
  bazel run //platforms:qemu_virt_size > "$folder/size.txt"
  options+=("--times=$(commas "${times[@]}")" "--size=$folder/size.txt"
    "--report=$folder" "--machine=$(machine)"
    "--latency=$(commas ${latency[@]+"${latency[@]}"})"
    "--scaling=$(commas ${scaling[@]+"${scaling[@]}"})")
fi
[[ $mode != update ]] || options+=(--update)
"$bin/report" "${options[@]}" || failed=1
exit "$failed"
