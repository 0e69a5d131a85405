# SPDX-License-Identifier: Apache-2.0
"""One program, built for each page size.

The page size is a build setting (//base:granule), so a simulator for another
one is another binary. The one for pages of the size that is built anyway is that
binary: a transition would compile all of it again, even to the same setting.
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
    program = ctx.attr.same or ctx.attr.other[0]
    ctx.actions.symlink(
        output = executable,
        target_file = program[DefaultInfo].files_to_run.executable,
        is_executable = True,
    )
    return [DefaultInfo(
        executable = executable,
        files = depset([executable]),
        runfiles = ctx.runfiles([executable]),
    )]

# (Not `binary`: what an aspect that follows that finds is found without it.)
_granule_variant = rule(
    implementation = _granule_variant_impl,
    doc = "`same`, or `other`, built for pages of `granule`.",
    attrs = {
        "same": attr.label(),
        "other": attr.label(cfg = _granule),
        "granule": attr.string(mandatory = True, values = ["4k", "16k", "64k"]),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)

def granule_variant(name, granule, program):
    """A program, built for pages of a size.

    Args:
      name: of the program so built.
      granule: 4k, 16k or 64k.
      program: what to build.
    """
    is_same = {
        "4k": "//base:granule_is_4k",
        "16k": "//base:granule_is_16k",
        "64k": "//base:granule_is_64k",
    }[granule]
    _granule_variant(
        name = name,
        granule = granule,
        other = select({
            is_same: None,
            "//conditions:default": program,
        }),
        same = select({
            is_same: program,
            "//conditions:default": None,
        }),
    )
