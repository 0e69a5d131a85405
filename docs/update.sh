#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Writes docs/states.md and its picture anew.

set -euo pipefail
into=$BUILD_WORKSPACE_DIRECTORY/docs
cat docs/made_states.md > "$into/states.md"
# The graph goes along as a comment, for states_test.sh.
{
  dot -Tsvg docs/states.dot
  printf '<!-- Drawn of:\n%s\n-->\n' "$(cat docs/states.dot)"
} > "$into/states.svg"
echo "wrote docs/states.md and docs/states.svg"
