# SPDX-License-Identifier: Apache-2.0
"""clang-tidy as an aspect: with the toolchain's own flags, and cached.

    bazel build //... --aspects=//tools:clang_tidy.bzl%clang_tidy \\
        --output_groups=tidy

Looks at libraries and programs. Tests are left to the compiler's warnings: a
GoogleTest file costs 16 s. Headers are looked at through the sources that
include them, or by themselves where a library has no source. (But in platforms/
such a header may be another machine's.)
"""

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")

_CLANG_TIDY = "/usr/bin/clang-tidy-19"

# $1: the log, the rest: the command.
_RUN = """
log=$1
shift
if ! "$@" > "$log" 2>&1; then
  # Paths as in the tree; and no "N warnings", which counts system headers' too.
  grep -vE '^[0-9]+ warnings? |^Suppressed |^Use -header-filter' "$log" |
    sed "s|$PWD/||g"
  exit 1
fi
"""

def _files(targets, extensions):
    return [
        file
        for target in targets
        for file in target.files.to_list()
        if file.extension in extensions and file.is_source
    ]

def _tidy(target, ctx, file):
    cc_toolchain = find_cc_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features + getattr(ctx.rule.attr, "features", []),
        unsupported_features = ctx.disabled_features,
    )
    context = target[CcInfo].compilation_context
    flags = cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = ACTION_NAMES.cpp_compile,
        variables = cc_common.create_compile_variables(
            cc_toolchain = cc_toolchain,
            feature_configuration = features,
            include_directories = context.includes,
            quote_include_directories = context.quote_includes,
            system_include_directories = context.system_includes,
            preprocessor_defines = depset(
                getattr(ctx.rule.attr, "local_defines", []),
                transitive = [context.defines],
            ),
            user_compile_flags = getattr(ctx.rule.attr, "copts", []),
        ),
    )

    log = ctx.actions.declare_file("{}.{}.tidy".format(ctx.label.name, file.basename))
    args = ctx.actions.args()
    args.add(log)
    args.add(_CLANG_TIDY)
    args.add("--quiet")
    args.add(ctx.file._config, format = "--config-file=%s")
    args.add(file)
    args.add("--")
    args.add("-xc++")
    args.add_all(flags)

    ctx.actions.run_shell(
        command = _RUN,
        arguments = [args],
        inputs = depset(
            [file, ctx.file._config],
            transitive = [context.headers, cc_toolchain.all_files],
        ),
        outputs = [log],
        mnemonic = "ClangTidy",
        progress_message = "clang-tidy %s" % file.short_path,
    )
    return log

def _clang_tidy_impl(target, ctx):
    rule = ctx.rule
    logs = []
    bare = ctx.target_platform_has_constraint(
        ctx.attr._bare[platform_common.ConstraintValueInfo],
    )

    # What both platforms build is looked at once, as the host builds it.
    twice = bare and not getattr(rule.attr, "target_compatible_with", [])
    if (CcInfo in target and not target.label.workspace_name and not twice and
        rule.kind in ["cc_binary", "cc_library"] and
        not getattr(rule.attr, "testonly", False)):
        files = _files(rule.attr.srcs, ["cc"])
        if not files and not target.label.package.startswith("platforms/"):
            files = _files(getattr(rule.attr, "hdrs", []), ["h"])
        logs = [_tidy(target, ctx, file) for file in files]

    below = []
    for name in ["actual", "binary", "deps", "payload"]:
        value = getattr(rule.attr, name, None) or []
        for dep in value if type(value) == "list" else [value]:
            if OutputGroupInfo in dep and hasattr(dep[OutputGroupInfo], "tidy"):
                below.append(dep[OutputGroupInfo].tidy)
    return [OutputGroupInfo(tidy = depset(logs, transitive = below))]

clang_tidy = aspect(
    implementation = _clang_tidy_impl,
    attr_aspects = ["actual", "binary", "deps", "payload"],
    attrs = {
        "_bare": attr.label(default = "@platforms//os:none"),
        "_cc_toolchain": attr.label(default = "@rules_cc//cc:current_cc_toolchain"),
        "_config": attr.label(default = "//:.clang-tidy", allow_single_file = True),
    },
    fragments = ["cpp"],
    toolchains = use_cc_toolchain(),
    incompatible_use_toolchain_transition = True,
)
