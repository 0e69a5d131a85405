# SPDX-License-Identifier: Apache-2.0
"""flat_binary: a program on the flat machine, optimised, with no flags given."""

def _flat_impl(_settings, attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:features": ["block_count"] if attr.watch == "work" else [],
        "//platforms/flat": True,
        "//platforms/flat:watch": attr.watch,
    }

_flat = transition(
    implementation = _flat_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:features",
        "//platforms/flat",
        "//platforms/flat:watch",
    ],
)

def _flat_binary_impl(ctx):
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

flat_binary = rule(
    implementation = _flat_binary_impl,
    attrs = {
        "program": attr.label(cfg = _flat, mandatory = True, doc = "a cc_binary, tagged manual"),
        "watch": attr.string(
            default = "nothing",
            doc = "what the machine counts (//platforms/flat:watch); it is slower then",
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
