# SPDX-License-Identifier: Apache-2.0
"""find_cc_toolchain, as in the registry's rules_cc."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", _find_cpp_toolchain = "find_cpp_toolchain")

CC_TOOLCHAIN_TYPE = "@bazel_tools//tools/cpp:toolchain_type"

find_cc_toolchain = _find_cpp_toolchain

def use_cc_toolchain():
    return [CC_TOOLCHAIN_TYPE]
