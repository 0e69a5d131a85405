# SPDX-License-Identifier: Apache-2.0
"""granule_tests: the same test, built for other page sizes.

    granule_tests(tests = [":matrix_test"])

makes matrix_16k_test and matrix_64k_test, which run matrix_test as it is with
--//base:granule=16k and 64k. They are in the tier `all_tier`.
"""

def _granule_transition_impl(settings, attr):
    return {"//base:granule": attr.granule}

_granule_transition = transition(
    implementation = _granule_transition_impl,
    inputs = [],
    outputs = ["//base:granule"],
)

def _granule_test_impl(ctx):
    test = ctx.attr.test[0]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = executable,
        target_file = test[DefaultInfo].files_to_run.executable,
        is_executable = True,
    )
    return [DefaultInfo(
        executable = executable,
        runfiles = test[DefaultInfo].default_runfiles,
    )]

_granule_test = rule(
    implementation = _granule_test_impl,
    attrs = {
        "granule": attr.string(mandatory = True),
        "test": attr.label(cfg = _granule_transition, mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    test = True,
)

def granule_tests(tests, size = "small", tags = []):
    """See the top of this file.

    Args:
      tests: cc_tests of this package, ":..._test".
      size: of each.
      tags: more tags.
    """
    for test in tests:
        for granule in ["16k", "64k"]:
            _granule_test(
                name = "%s_%s_test" % (test[1:].replace("_test", ""), granule),
                size = size,
                granule = granule,
                tags = tags + ["all_tier"],
                test = test,
            )
