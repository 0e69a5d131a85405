#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
set -eu
"$1" --benchmark_filter='map_range|destroy' --benchmark_min_time=0.001
"$1" --count=split
