# SPDX-License-Identifier: Apache-2.0
"""el2_library: a C++ library that goes to EL2, and is tested on the host."""

load("@rules_cc//cc:defs.bzl", "cc_library")

# For target_compatible_with, where a library has no meaning on the host.
BARE_METAL = [
    "@platforms//cpu:aarch64",
    "@platforms//os:none",
]

def el2_library(name, features = [], **kwargs):
    """A cc_library that keeps the rules of EL2 code on the host as well.

    No exceptions, no RTTI, no constructors or destructors of globals.
    """
    cc_library(
        name = name,
        features = features + ["el2"],
        **kwargs
    )
