#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests with clang's source-based coverage. Prints, for each file of the
# libraries, the lines and branches that they reach, and writes pages to look at
# which ones they don't. Fails if a library is below what it promises. (gcov
# would count the edges of exceptions as branches.)
#   tools/coverage.sh [DIRECTORY for the pages]

set -euo pipefail
cd "$(dirname "$0")/.."
pages=${1:-coverage}
readonly lines_wanted=95 branches_wanted=90

profiles=$(mktemp -d)
trap 'rm -rf "$profiles"' EXIT

# Each test writes its profile outside its sandbox; nothing cached, or it is not
# written. Parallel tests that merge into one file lock it (%m).
bazel test --config=coverage --build_tests_only --nocache_test_results \
  --test_env=LLVM_PROFILE_FILE="$profiles/%m.profraw" \
  --sandbox_writable_path="$profiles" //...

bin=$(bazel info --config=coverage bazel-bin 2> /dev/null)
objects=()
# (A test that its tags left out was not built, or by an earlier run.)
while IFS=: read -r package name; do
  program=$bin/${package#//}/$name
  [[ ! -x $program ]] || objects+=(-object "$program")
done < <(bazel query 'kind(cc_test, //...)' 2> /dev/null)

llvm-profdata-19 merge --sparse "$profiles"/*.profraw -o "$profiles/all.profdata"
common=("${objects[@]:1}" --instr-profile="$profiles/all.profdata"
  --ignore-filename-regex='^(\./)?(benchmarks|external|tests)/|^/usr/|_test\.(cc|h)$|/(test_table|booted|test_tables)\.h$')
# The pages name sources as they are in the tree.
llvm-cov-19 show "${common[@]}" --format=html --output-dir="$pages" \
  --show-branches=count --show-instantiations=false > /dev/null
llvm-cov-19 report "${common[@]}" --show-region-summary=false

# FILE FUNCTIONS MISSED % LINES MISSED % BRANCHES MISSED %
llvm-cov-19 report "${common[@]}" --show-region-summary=false |
  awk -v lines_wanted="$lines_wanted" -v branches_wanted="$branches_wanted" '
    match($1, /^(pgtable|vm_table|mem_protect|hyp)\//) {
      split($1, part, "/")
      lines[part[1]] += $5; no_line[part[1]] += $6
      branches[part[1]] += $8; no_branch[part[1]] += $9
    }
    END {
      printf "\n%-12s %8s %9s\n", "library", "lines", "branches"
      for (name in lines) {
        line = 100 - 100 * no_line[name] / lines[name]
        branch = 100 - 100 * no_branch[name] / branches[name]
        low = line < lines_wanted || branch < branches_wanted
        printf "%-12s %7.2f%% %8.2f%%%s\n", name, line, branch, low ? "  too low" : ""
        failed += low
      }
      printf "%-12s %7d%% %8d%%\n", "wanted", lines_wanted, branches_wanted
      exit failed != 0
    }'
printf '\nPages: %s/index.html\n' "$pages"
