# SPDX-License-Identifier: Apache-2.0
"""Tests that a mistake does not compile.

    cc_negative_compile_test(
        name = "addr_no_mixing_test",
        src = "addr_no_mixing_test.cc",
        expect = "no viable conversion",
        deps = [":addr"],
    )

The file holds the right code, and the wrong code under #ifdef HOLDFAST_WRONG.
It must compile without that macro, which proves that nothing else is amiss, and
must fail with it, with an error that matches the regular expression `expect`
(as for grep -E). Both use the toolchain's own flags: -Werror=thread-safety too.
"""

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")

# $1: stderr of the right code, $2: of the wrong code; each ends in the status.
# The rest is the compiler's command line.
_COMPILE = """
right=$1 wrong=$2
shift 2
"$@" > "$right" 2>&1
echo "exit status $?" >> "$right"
"$@" -DHOLDFAST_WRONG > "$wrong" 2>&1
echo "exit status $?" >> "$wrong"
"""

_CHECK = """#!/bin/sh
if ! grep -qx 'exit status 0' {right}; then
  echo "FAILED: {src} must compile without HOLDFAST_WRONG, but:"
  cat {right}
  exit 1
fi
if grep -qx 'exit status 0' {wrong}; then
  echo "FAILED: {src} compiles with HOLDFAST_WRONG, and must not"
  exit 1
fi
if ! grep -Eq -e {expect} {wrong}; then
  echo "FAILED: no line of the error for HOLDFAST_WRONG in {src} matches: "{expect}
  cat {wrong}
  exit 1
fi
echo "As it must be, HOLDFAST_WRONG in {src} does not compile:"
cat {wrong}
"""

def _cc_negative_compile_test_impl(ctx):
    cc_toolchain = find_cc_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    context = cc_common.merge_cc_infos(
        cc_infos = [dep[CcInfo] for dep in ctx.attr.deps],
    ).compilation_context
    command = [cc_common.get_tool_for_action(
        feature_configuration = features,
        action_name = ACTION_NAMES.cpp_compile,
    )] + cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = ACTION_NAMES.cpp_compile,
        variables = cc_common.create_compile_variables(
            cc_toolchain = cc_toolchain,
            feature_configuration = features,
            source_file = ctx.file.src.path,
            include_directories = context.includes,
            quote_include_directories = context.quote_includes,
            system_include_directories = context.system_includes,
            preprocessor_defines = depset(
                ctx.attr.local_defines,
                transitive = [context.defines],
            ),
        ),
    )

    right = ctx.actions.declare_file(ctx.label.name + ".right.log")
    wrong = ctx.actions.declare_file(ctx.label.name + ".wrong.log")
    args = ctx.actions.args()
    args.add(right)
    args.add(wrong)
    args.add_all(command)

    # Only the diagnosis is wanted. (-c may be among the flags already.)
    args.add("-fsyntax-only")
    ctx.actions.run_shell(
        command = _COMPILE,
        arguments = [args],
        inputs = depset([ctx.file.src], transitive = [context.headers, cc_toolchain.all_files]),
        outputs = [right, wrong],
        mnemonic = "CppNegativeCompile",
        progress_message = "Compiling %s rightly and wrongly" % ctx.file.src.short_path,
    )

    test = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        output = test,
        content = _CHECK.format(
            src = ctx.file.src.short_path,
            right = right.short_path,
            wrong = wrong.short_path,
            expect = "'" + ctx.attr.expect.replace("'", "'\\''") + "'",
        ),
        is_executable = True,
    )
    return [DefaultInfo(executable = test, runfiles = ctx.runfiles([right, wrong]))]

_cc_negative_compile_test = rule(
    implementation = _cc_negative_compile_test_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "expect": attr.string(
            doc = "a regular expression that a line of the error must match",
            mandatory = True,
        ),
        "local_defines": attr.string_list(),
        "src": attr.label(allow_single_file = [".cc"], mandatory = True),
        "_cc_toolchain": attr.label(default = "@rules_cc//cc:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    test = True,
    toolchains = use_cc_toolchain(),
    incompatible_use_toolchain_transition = True,
)

def cc_negative_compile_test(name, size = "small", tags = [], **kwargs):
    """See the top of this file."""
    _cc_negative_compile_test(
        name = name,
        size = size,
        tags = tags + ["nosan"],
        **kwargs
    )
