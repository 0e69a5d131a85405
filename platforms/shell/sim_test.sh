#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# sim_test.sh SIM: the program itself. Scripts from files and from standard input,
# other page sizes, exit statuses, and whose relative paths are.
set -euo pipefail

sim=$PWD/$1
cd "$TEST_TMPDIR"
failed=0

check() { # WHAT WANTED-STATUS WANTED-OUTPUT ARGS... < script
  local what=$1 wanted=$2 output=$3 got status=0
  shift 3
  got=$("$sim" 4k "$@" 2>&1) || status=$?
  if [[ $status != "$wanted" || $got != *"$output"* ]]; then
    printf 'FAILED: %s: status %s, output:\n%s\n' "$what" "$status" "$got"
    failed=1
  fi
}

check 'standard input' 0 'host_share_hyp(0x40000) = 0' <<< 'call host_share_hyp @0x40000000'
check 'no newline at the end' 0 'a' < <(printf 'echo a')
check 'an expectation' 1 'stdin:1: vcpu_put() = -EINVAL, and no expect follows' <<< 'call vcpu_put'
check 'a bad line' 2 'right: call' <<< 'cal'
check 'an option' 2 'there is no option --colour' --colour < /dev/null
check 'a file that is not there' 2 'cannot open nowhere.hf' nowhere.hf
check 'JSON' 0 '{"schema":1,' --json <<< 'echo a'
check 'no check' 0 'a' --check=off <<< 'echo a'

# Another page size is another program, which goes on from the same line.
for granule in 16k:0x10000 64k:0x4000; do
  printf '%s\n' 'echo once' "machine granule=${granule%:*}" \
    'call host_share_hyp @0x40000000' 'call vcpu_put' > granule.hf
  wanted="once
host_share_hyp(${granule#*:}) = 0
    page ${granule#*:}: HOST -> HOST+EL2
vcpu_put() = -EINVAL"
  check "$granule of a file" 1 "$wanted" granule.hf
  check "$granule of standard input" 1 "$wanted" < granule.hf
  check "$granule of a pipe" 1 "$wanted" < <(cat granule.hf)
  check "$granule of an included file" 1 "$wanted" <<< 'include granule.hf'
  check "$granule, lines" 1 'stdin:4: vcpu_put()' < granule.hf
done

# Relative paths are the user's, wherever `bazel run` starts the program.
mkdir -p home
printf 'echo at home\n' > home/here.hf
BUILD_WORKING_DIRECTORY=$PWD/home check 'relative paths' 0 'at home' here.hf
BUILD_WORKING_DIRECTORY=$PWD/home check 'included paths' 0 'at home' <<< 'include here.hf'

exit "$failed"
