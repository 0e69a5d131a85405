#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
echo "bazel coverage is not set up: use ./holdfast coverage" >&2
exit 1
