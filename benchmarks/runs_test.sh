#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# runs_test.sh PROGRAM FILTER OPERATION
set -eu
"$1" --benchmark_filter="$2"
"$1" --count="$3"
