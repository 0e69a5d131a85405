# SPDX-License-Identifier: Apache-2.0
"""flat_binary: a program on the flat machine, optimised, with no flags given."""

def _flat_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:features": [],
        "//platforms/flat": True,
    }

_flat = transition(
    implementation = _flat_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:features",
        "//platforms/flat",
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
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)
