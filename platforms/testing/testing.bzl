# SPDX-License-Identifier: Apache-2.0
"""el2_test_bodies: which tests of a folder also run at EL2."""

load("//platforms/toolchain:el2.bzl", "BARE_METAL", "el2_library")

# Tests have globals, and frames that are larger than EL2's may be: they run on a
# stack of their own, behind constructors. What only a death test uses is unused.
TEST_COPTS = select({
    "//platforms:bare_metal": [
        "-Wno-exit-time-destructors",
        "-Wno-frame-larger-than",
        "-Wno-global-constructors",
        "-Wno-unused-function",
    ],
    "//conditions:default": [],
})

def el2_test_bodies(srcs, deps, name = "el2_tests"):
    """The tests in `srcs`, for //platforms/qemu_virt:el2_tests; skipped on the host.

    Args:
      srcs: test files as the folder's cc_tests have them.
      deps: what those cc_tests have as deps, all together.
      name: of the library.
    """
    el2_library(
        name = name,
        testonly = True,
        srcs = srcs,
        copts = TEST_COPTS,
        target_compatible_with = BARE_METAL,
        visibility = ["//platforms:__subpackages__"],
        deps = deps,
        alwayslink = True,
    )
