# SPDX-License-Identifier: Apache-2.0
"""One program, built for each page size.

The page size is a build setting (//base:granule), so a simulator for another
one is another binary.
"""

def _granule_impl(settings, attr):
    return {"//base:granule": attr.granule}

_granule = transition(
    implementation = _granule_impl,
    inputs = [],
    outputs = ["//base:granule"],
)

def _granule_variant_impl(ctx):
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = executable,
        target_file = ctx.attr.program[0][DefaultInfo].files_to_run.executable,
        is_executable = True,
    )
    return [DefaultInfo(
        executable = executable,
        files = depset([executable]),
        runfiles = ctx.runfiles([executable]),
    )]

# (Not `binary`: what an aspect that follows that finds is found without it.)
granule_variant = rule(
    implementation = _granule_variant_impl,
    doc = "`program`, built for pages of `granule`.",
    attrs = {
        "program": attr.label(cfg = _granule, mandatory = True),
        "granule": attr.string(mandatory = True, values = ["4k", "16k", "64k"]),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
