#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# docs/states.md and the picture in it are made of what the code says now. The
# picture is compared by the graph that it keeps as a comment: how graphviz lays
# it out depends on its version and on fonts.

cd docs || exit
failed=0
same() { # WHAT KEPT MADE
  diff -u "$2" "$3" | head -n 40
  ((PIPESTATUS[0] == 0)) && return
  echo "$1 is not what the code says any more; bazel run //docs:update writes it anew"
  failed=1
}
same docs/states.md states.md made_states.md
sed -n '/^<!-- Drawn of:$/,/^-->$/p' states.svg | sed '1d;$d' > "$TEST_TMPDIR/graph"
same docs/states.svg "$TEST_TMPDIR/graph" states.dot
exit "$failed"
