#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# readme_test.sh SIM README: the script in README prints what README says.
set -euo pipefail

# The lines of README's block of that language.
block() { awk -v start="\`\`\`$1" '$0 == start { on = 1; next } /^```/ { on = 0 } on' "$2"; }

status=0
"$1" <(block hf "$2") > "$TEST_TMPDIR/printed" || status=$?
[[ -s $TEST_TMPDIR/printed ]]
diff -u <(block text "$2") "$TEST_TMPDIR/printed"
exit "$status"
