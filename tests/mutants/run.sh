#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Puts deliberate bugs (*.patch beside this file) into a copy of the tree, one at
# a time, runs the engines on it, and demands that at least one of them fails. A
# mutant that no engine notices is a hole in the tests; so is one that no longer
# applies, or that does not compile (unless its text says "Caught by the compiler").
#
#   bazel run //tests/mutants -- [OPTION...] [NAME...]      all, or those named
#     --check     only: does each patch still apply
#     --list      the names, with what is wrong
#     --some N    N of them, others every day
#     --quick     of each, only until the first engine has caught it, and those of
#                 the rooms it changes first
#     --begin-within M   begins none later than M minutes after the start; at
#                 least one is run
#     --shard I/N the I-th of N parts, from 0

set -uo pipefail
cd "${BUILD_WORKSPACE_DIRECTORY:-$(git rev-parse --show-toplevel)}" || exit
root=$PWD
patches=$root/tests/mutants

# Every engine runs on every mutant, so that the report says who catches what.
read -ra engines <<< "$(sed '/^#/d' "$patches/engines" | tr '\n' ' ')"

what() { sed -n 3p "$1"; } # PATCH

mode=run some='' shard='' quick='' within=''
names=()
while (($#)); do
  case $1 in
    --check | --list) mode=${1#--} ;;
    --quick) quick=yes ;;
    --some | --shard | --begin-within)
      (($# > 1)) || { echo "mutants: $1 needs a number" >&2; exit 2; }
      case $1 in
        --some) some=$2 ;;
        --shard) shard=$2 ;;
        *) within=$2 ;;
      esac
      shift
      ;;
    -*)
      echo "mutants: there is no option $1; see the top of tests/mutants/run.sh" >&2
      exit 2
      ;;
    *) names+=("$1") ;;
  esac
  shift
done

if ((${#names[@]} == 0)); then
  mapfile -t names < <(cd "$patches" && printf '%s\n' *.patch | sed 's/\.patch$//')
fi
if [[ -n $some ]]; then
  # Days since 1970 turn the list, so that all have their turn.
  days=$(($(date +%s) / 86400))
  first=$((days * some % ${#names[@]}))
  names=("${names[@]:first}" "${names[@]:0:first}")
  names=("${names[@]:0:some}")
elif [[ -n $shard ]]; then
  part=()
  for i in "${!names[@]}"; do
    ((i % ${shard#*/} != ${shard%/*})) || part+=("${names[i]}")
  done
  names=("${part[@]}")
fi

for name in "${names[@]}"; do
  [[ -e $patches/$name.patch ]] && continue
  echo "mutants: there is no $name; --list names them" >&2
  exit 2
done

case $mode in
  list)
    for name in "${names[@]}"; do printf '%-36s %s\n' "$name" "$(what "$patches/$name.patch")"; done
    exit
    ;;
  check)
    failed=0
    for name in "${names[@]}"; do
      git apply --check "$patches/$name.patch" || { echo "tests/mutants/$name.patch:1: no longer applies"; failed=1; }
    done
    exit "$failed"
    ;;
esac

scratch=$(mktemp -d)
tree=$scratch/tree
mkdir "$tree"
read -ra bazel <<< "${BAZEL:-bazel}"
clean_up() {
  (cd "$tree" && "${bazel[@]}" shutdown &> /dev/null)
  chmod -R u+w "$scratch"
  rm -rf "$scratch"
}
trap clean_up EXIT
# What git knows, as it is now, whether committed or not.
git ls-files -z | xargs -0 cp --parents -t "$tree" || exit
[[ ! -e .bazelrc.user ]] || cp .bazelrc.user "$tree"
cd "$tree" || exit

# What Bazel says goes to $scratch/log, and its record to $scratch/record.
run_engines() { # ENGINE...
  "${bazel[@]}" --output_base="$scratch/out" test \
    --"$([[ -z $quick ]] || echo notest_)"keep_going \
    --disk_cache="${MUTANTS_DISK_CACHE:-$scratch/cache}" \
    --build_event_json_file="$scratch/record" --test_output=errors \
    --noshow_progress --test_tag_filters= "$@" &> "$scratch/log"
}
# The engines of the rooms that a patch changes; perhaps none.
near() { # PATCH
  sed -n 's|^+++ b/\([^/]*\)/.*|//\1:|p' "$1" | sort -u |
    grep -F -f - <(printf '%s\n' "${engines[@]}")
}
# The targets of a record whose tests failed. (Of one that was stopped, or whose
# summary was not written before the end, there is only each run's result.)
failed_in() { # RECORD
  awk 'match($0, /^\{"id":\{"(testSummary|testResult)":\{"label":"[^"]*"/) {
      split(substr($0, RSTART, RLENGTH), id, "\"")
      if (/"(overallStatus|status)":"(FAILED|TIMEOUT)"/) print id[8]
    }' "$1" | sort -u | tr '\n' ' '
}

printf '%d mutants by %d engines\n' "${#names[@]}" "${#engines[@]}"
start=$SECONDS
if ! run_engines "${engines[@]}"; then
  tail -n 40 "$scratch/log"
  echo "mutants: without any mutant the engines fail already, see above" >&2
  exit 1
fi
printf '%-36s ok (%d s)\n' '(none)' $((SECONDS - start))

killed=0
run=0
survivors=()
declare -A kills=()
for name in "${names[@]}"; do
  [[ -z $within ]] || ((run == 0 || SECONDS < within * 60)) || break
  ((++run))
  start=$SECONDS
  if ! git apply "$patches/$name.patch"; then
    verdict='no longer applies'
    survivors+=("$name")
  else
    status=0
    mapfile -t first < <([[ -z $quick ]] || near "$patches/$name.patch")
    ((${#first[@]} == 0)) || run_engines "${first[@]}" || status=$?
    ((status != 0)) || run_engines "${engines[@]}" || status=$?
    git apply --reverse "$patches/$name.patch" || exit
    by=$(failed_in "$scratch/record")
    if ((status == 0)); then
      verdict=SURVIVED
      survivors+=("$name")
    elif ((status == 3)); then
      verdict="caught by $by"
      ((++killed))
      for engine in $by; do ((++kills[$engine])); done
    elif ((status == 1)) && grep -q 'Caught by the compiler' "$patches/$name.patch"; then
      verdict='caught by the compiler'
      ((++killed))
      ((++kills[compiler]))
    else
      verdict="does not build (Bazel's status $status)"
      grep -m 3 'error:' "$scratch/log"
      survivors+=("$name")
    fi
  fi
  printf '%-36s %s(%d s)\n' "$name" "${verdict% } " $((SECONDS - start))
done

printf '\n%d of %d caught\n' "$killed" "$run"
for engine in "${!kills[@]}"; do printf '  %3d by %s\n' "${kills[$engine]}" "$engine"; done | sort -rn
for name in "${survivors[@]}"; do
  printf 'NOT CAUGHT: %s: %s\n' "$name" "$(what "$patches/$name.patch")"
done
((${#survivors[@]} == 0))
