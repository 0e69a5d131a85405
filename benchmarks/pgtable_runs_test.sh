#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
set -eu
"$1" --benchmark_filter='map_range|destroy'
"$1" --count=split
