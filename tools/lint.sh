#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ./holdfast lint: each check prints what it finds as FILE:LINE: WHAT.

# shellcheck disable=SC2317  # check calls them by name
set -u
cd "$(dirname "$0")/.." || exit
failed=0

check() { # NAME COMMAND...
  local start=$SECONDS name=$1
  shift
  if "$@"; then
    printf '%-18s ok (%d s)\n' "$name" $((SECONDS - start))
  else
    printf '%-18s FAILED (%d s)\n' "$name" $((SECONDS - start))
    failed=1
  fi
}

# Fails if its input has a line, which it prints.
none() { ! grep .; }

formatted() {
  git ls-files -z '*.c' '*.cc' '*.h' |
    xargs -0 --no-run-if-empty clang-format-19 --style=file --dry-run --Werror --ferror-limit=1
}

# An SPDX line near the top of each file that can have a comment.
licensed() {
  git ls-files -z -- ':!LICENSE' ':!LICENSES/*' ':!*.json' ':!*.png' ':!*.svg' ':!*/corpus/*' \
    ':!*/testdata/*' |
    xargs -0 awk '
      FNR == 1 { if (file != "" && !found) print file ":1: no SPDX line"
                 file = FILENAME; found = 0 }
      FNR <= 5 && /SPDX-License-Identifier: / { found = 1 }
      END { if (file != "" && !found) print file ":1: no SPDX line" }' |
    none
}

# Only the ABI header, which C includes too, and the Linux driver differ.
licences() {
  git grep -nE '^(//|#|/\*|<!--)? ?SPDX-License-Identifier: ' |
    grep -vE ': (Apache-2\.0|GPL-2\.0-only|BSD-2-Clause OR GPL-2\.0-only)( |$)' |
    sed 's/$/  (unknown licence)/' | none
}

scripts() {
  local -a files
  mapfile -t files < <(git grep -lE '^#!.*\b(ba)?sh\b' | sort)
  # SC2100 takes x=qemu-system-aarch64 for a subtraction.
  shellcheck --external-sources --exclude=SC2100 "${files[@]}"
}

# hyp -> mem_protect -> vm_table -> pgtable -> base: a room may use those below
# it. Backends of the machine know base/ only. Tests beside a library, and what
# they share (it includes GoogleTest), may use the simulated machine and tests/.
arrows() {
  local -a files
  mapfile -t files < <(git ls-files base pgtable vm_table mem_protect hyp \
    platforms/aarch64 platforms/sim | grep -E '\.(c|cc|h|S|inc)$')
  # Twice: first for which are tests.
  awk '
      BEGIN {
        rooms = split("base pgtable vm_table mem_protect hyp", name, " ")
        for (i = 1; i <= rooms; i++) floor[name[i]] = i
        floor["platforms"] = 1
      }
      /^#include "[a-z_]+\// {
        split(FILENAME, from, "/")
        split($2, to, "[\"/]")
        if (to[2] ~ /^g(test|mock)$/) test[FILENAME] = 1
        if (++times[FILENAME, FNR] == 1) next
        if (!(to[2] in floor)) bad = !test[FILENAME] && to[2] !~ /^(absl|tl)$/
        else if (to[2] == "platforms") bad = from[1] != "platforms" && !test[FILENAME]
        else bad = floor[to[2]] > floor[from[1]]
        if (bad) printf "%s:%d: %s may not include %s\n", FILENAME, FNR, from[1], $2
      }' "${files[@]}" "${files[@]}" |
    none
}

# Nothing of the machine that it was written on.
no_paths() {
  git grep -nIE '(^|[^[:alnum:]_.}/-])/(home|root|tmp|work)/' -- ':!tools/lint.sh' | none
}

# Each deliberate bug still fits the code.
mutants() { tests/mutants/run.sh --check; }

tidy() {
  bazel build --keep_going //... //platforms:qemu_virt \
    --aspects=//tools:clang_tidy.bzl%clang_tidy --output_groups=tidy
}

check format formatted
check 'SPDX lines' licensed
check licences licences
check shellcheck scripts
check 'include arrows' arrows
check 'no local paths' no_paths
check mutants mutants
check clang-tidy tidy
exit "$failed"
