# SPDX-License-Identifier: Apache-2.0
"""The native C++ rules of Bazel 4, under the names of the registry's rules_cc."""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
