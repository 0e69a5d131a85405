#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests with clang's source-based coverage and prints, for each file of
# the libraries, the lines and branches that they reach. (gcov would count the
# edges of exceptions as branches.) Arguments are targets instead of //...

set -euo pipefail
cd "$(dirname "$0")/.."
(($#)) || set -- //...

profiles=$(mktemp -d)
trap 'rm -rf "$profiles"' EXIT

# Each test writes its profile outside its sandbox; nothing cached, or it is not
# written. Parallel tests that merge into one file lock it (%m).
bazel test --config=coverage --build_tests_only --nocache_test_results \
  --test_env=LLVM_PROFILE_FILE="$profiles/%m.profraw" \
  --sandbox_writable_path="$profiles" "$@"

bin=$(bazel info --config=coverage bazel-bin 2> /dev/null)
objects=()
# (A test that its tags left out was not built, or by an earlier run.)
while IFS=: read -r package name; do
  program=$bin/${package#//}/$name
  [[ ! -x $program ]] || objects+=(-object "$program")
done < <(bazel query "kind(cc_test, set($*))" 2> /dev/null)

llvm-profdata-19 merge --sparse "$profiles"/*.profraw -o "$profiles/all.profdata"
llvm-cov-19 report "${objects[@]:1}" --instr-profile="$profiles/all.profdata" \
  --show-region-summary=false \
  --ignore-filename-regex='^(\./)?(benchmarks|external|tests)/|^/usr/|_test\.(cc|h)$'
