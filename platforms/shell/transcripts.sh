#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# transcripts.sh SIM SCRIPT...: writes the transcript of each example anew, into
# the source tree.
set -euo pipefail

sim=$PWD/$1
shift
cd "$BUILD_WORKSPACE_DIRECTORY"
for script in "$@"; do
  transcript=$(dirname "$script")/testdata/$(basename "$script" .hf).txt
  echo "$transcript"
  "$sim" "$script" > "$transcript" || echo "$script fails: see its transcript"
done
