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
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(
        output = program,
        target_file = ctx.attr.binary[0][DefaultInfo].files_to_run.executable,
        is_executable = True,
    )
    return [DefaultInfo(
        executable = program,
        files = depset([program]),
        runfiles = ctx.runfiles([program]),
    )]

granule_variant = rule(
    implementation = _granule_variant_impl,
    doc = "`binary`, built for pages of `granule`.",
    attrs = {
        "binary": attr.label(cfg = _granule, mandatory = True),
        "granule": attr.string(mandatory = True, values = ["4k", "16k", "64k"]),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
