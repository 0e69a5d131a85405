#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `./holdfast bench`: measures everything and compares it with what is kept in
# benchmarks/baseline.json (instructions, which do not drift).
#
#   bench.sh [--check | --update] [FOLDER]
#     --check    instructions only, and no report: for CI
#     --update   keeps the new numbers as the baseline
#   FOLDER: where the report goes (default: bench/)
#
# Status 1: something takes over 3 % more instructions than it did.
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
programs=(pgtable hypercalls)
of_all() { # SUFFIX: PROGRAM=FILE of each, with commas
  local program list=
  for program in "${programs[@]}"; do list+=,$program=$folder/$program$1; done
  echo "${list#,}"
}
for program in "${programs[@]}"; do
  echo "counting instructions: $program" >&2
  sh benchmarks/instructions.sh --lines "$bin/$program" > "$folder/$program.lines"
done
options=(--baseline=benchmarks/baseline.json "--instructions=$(of_all .lines)")
if [[ $mode != check ]]; then
  for program in "${programs[@]}"; do
    echo "timing: $program" >&2
    "$bin/$program" --benchmark_out_format=json --benchmark_out="$folder/$program.json" \
      > /dev/null
  done
  options+=("--times=$(of_all .json)")
  bazel run //platforms:qemu_virt_size > "$folder/size.txt"
  options+=("--size=$folder/size.txt" "--report=$folder")
fi
[[ $mode != update ]] || options+=(--update)
"$bin/report" "${options[@]}"
