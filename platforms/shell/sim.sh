#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# sim.sh GRANULE ARGS...: the simulator, built for pages of that size. It knows
# where the others are, should a script ask for one.
set -euo pipefail

# As a data dependency it stands in its user's runfiles, else beside its own.
runfiles=${RUNFILES_DIR:-${TEST_SRCDIR:-}}
[[ -n $runfiles ]] || runfiles=$0.runfiles
[[ -d $runfiles ]] || runfiles=${0%.runfiles/*}.runfiles
programs=$(cd "$runfiles/holdfast/platforms/shell" && pwd)
exec "$programs/sim_$1" --programs="$programs" "${@:2}"
