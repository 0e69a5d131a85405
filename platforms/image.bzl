# SPDX-License-Identifier: Apache-2.0
"""EL2 programs and the images made of them.

el2_binary   links an ELF for bare metal, and keeps the linker's map
el2_image    builds such a program for bare metal from wherever it is asked
             for: NAME.elf, NAME.bin and NAME.map, with no flags given
el2_bytes    a program's flat binary as a C++ array, for one that carries it
el2_size     prints what each library takes of an image
"""

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")
load("//platforms/toolchain:el2.bzl", "BARE_METAL", "el2_library")

El2Info = provider(
    doc = "An EL2 program.",
    fields = {
        "bin": "the flat binary (of an image only)",
        "elf": "the linked program, with debug information",
        "map": "the linker's map, or None",
    },
)

# cc_binary cannot declare the map file as an output, so the link is done here,
# with the toolchain's own command line.
def _el2_link_impl(ctx):
    cc_toolchain = find_cc_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    elf = ctx.actions.declare_file(ctx.label.name)
    map_file = ctx.actions.declare_file(ctx.label.name + ".map")

    args = ctx.actions.args()
    args.add_all(cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = ACTION_NAMES.cpp_link_executable,
        variables = cc_common.create_link_variables(
            cc_toolchain = cc_toolchain,
            feature_configuration = features,
            output_file = elf.path,
            is_using_linker = True,
            is_linking_dynamic_library = False,
            is_static_linking_mode = True,
        ),
    ))
    args.add(map_file, format = "-Wl,--Map=%s")
    args.add(ctx.file.linker_script, format = "-Wl,--script=%s")

    inputs = [ctx.file.linker_script]
    linking = cc_common.merge_cc_infos(
        cc_infos = [dep[CcInfo] for dep in ctx.attr.deps],
    ).linking_context
    for linker_input in linking.linker_inputs.to_list():
        inputs += linker_input.additional_inputs
        args.add_all(linker_input.user_link_flags)
        for library in linker_input.libraries:
            archive = library.static_library or library.pic_static_library
            inputs.append(archive)
            if library.alwayslink:
                args.add("-Wl,--whole-archive")
                args.add(archive)
                args.add("-Wl,--no-whole-archive")
            else:
                args.add(archive)

    # Last, since of two definitions in archives the linker takes the first.
    args.add_all(ctx.attr.linkopts)

    ctx.actions.run(
        executable = cc_common.get_tool_for_action(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_link_executable,
        ),
        arguments = [args],
        inputs = depset(inputs, transitive = [cc_toolchain.all_files]),
        outputs = [elf, map_file],
        mnemonic = "El2Link",
        progress_message = "Linking %s for EL2" % ctx.label.name,
    )
    return [
        DefaultInfo(files = depset([elf]), executable = elf),
        El2Info(elf = elf, bin = None, map = map_file),
    ]

_el2_link = rule(
    implementation = _el2_link_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "linker_script": attr.label(allow_single_file = [".ld", ".lds"], mandatory = True),
        "linkopts": attr.string_list(),
        "_cc_toolchain": attr.label(default = "@rules_cc//cc:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    executable = True,
    toolchains = use_cc_toolchain(),
    incompatible_use_toolchain_transition = True,
)

def el2_binary(
        name,
        linker_script,
        srcs = [],
        deps = [],
        copts = [],
        linkopts = [],
        visibility = None,
        testonly = False,
        **kwargs):
    """A bare-metal program. Built for the host (as `//...` does) it is skipped.

    Args:
      name: names the ELF file.
      linker_script: the .ld file.
      srcs: C++, C or assembler; always linked, unlike those of the deps.
      deps: libraries.
      copts: for srcs.
      linkopts: more flags for the link.
      visibility: who may use it.
      testonly: whether it is for tests only.
      **kwargs: goes to the library of srcs (defines, includes ...).
    """
    el2_library(
        name = name + "_objects",
        srcs = srcs,
        deps = deps,
        copts = copts,
        alwayslink = True,
        target_compatible_with = BARE_METAL,
        testonly = testonly,
        visibility = ["//visibility:private"],
        **kwargs
    )
    _el2_link(
        name = name,
        deps = [":" + name + "_objects"],
        linker_script = linker_script,
        linkopts = linkopts,
        target_compatible_with = BARE_METAL,
        testonly = testonly,
        visibility = visibility,
    )

# The image is the same whatever the build around it was told, but for the
# project's own settings (such as the granule), which pass through unless the
# image has its own.
def _bare_metal_impl(settings, attr):
    return {
        "//base:granule": attr.granule or settings["//base:granule"],
        "//platforms/stream:el2": attr.stream or settings["//platforms/stream:el2"],
        "//command_line_option:compilation_mode": "opt",
        "//command_line_option:conlyopt": [],
        "//command_line_option:copt": [],
        "//command_line_option:cxxopt": [],
        "//command_line_option:features": [],
        "//command_line_option:linkopt": [],
        "//command_line_option:platforms": "//platforms/toolchain:aarch64_bare",
    }

_bare_metal = transition(
    implementation = _bare_metal_impl,
    inputs = [
        "//base:granule",
        "//platforms/stream:el2",
    ],
    outputs = [
        "//base:granule",
        "//platforms/stream:el2",
        "//command_line_option:compilation_mode",
        "//command_line_option:conlyopt",
        "//command_line_option:copt",
        "//command_line_option:cxxopt",
        "//command_line_option:features",
        "//command_line_option:linkopt",
        "//command_line_option:platforms",
    ],
)

_OBJCOPY = "/usr/bin/llvm-objcopy-19"
_READELF = "/usr/bin/llvm-readelf-19"

# $1: the ELF, $2: its flat binary, $3: the payload's flat binary, $4: output.
# What the program takes of memory is more than its file (.bss, stacks), so the
# 2 MiB boundary is counted from its segments.
_APPEND = """
set -eu
low= high=0
while read -r type _ _ address _ size _; do
  [ "$type" = LOAD ] || continue
  [ -n "$low" ] || low=$((address))
  [ $((address)) -ge "$low" ] || low=$((address))
  [ $((address + size)) -le "$high" ] || high=$((address + size))
done <<END
$({readelf} -lW "$1")
END
mib2=$((2 << 20))
cp "$2" "$4" && chmod u+w "$4"
truncate -s $(((high - low + mib2 - 1) / mib2 * mib2)) "$4"
cat "$3" >> "$4"
# An arm64 Image header says at byte 16 how much memory the whole takes.
if [ "$(dd if="$4" bs=1 skip=56 count=4 2> /dev/null)" = "$(printf 'ARM\\144')" ]; then
  size=$(stat -c %s "$4")
  for byte in 0 1 2 3 4 5 6 7; do
    printf "\\\\$(printf %03o $((size >> (8 * byte) & 255)))"
  done | dd of="$4" bs=1 seek=16 conv=notrunc 2> /dev/null
fi
""".replace("{readelf}", _READELF)

def _flat(ctx, elf, name):
    flat = ctx.actions.declare_file(name)
    ctx.actions.run(
        executable = _OBJCOPY,
        arguments = ["-O", "binary", elf.path, flat.path],
        inputs = [elf],
        outputs = [flat],
        mnemonic = "El2Flat",
    )
    return flat

def _el2_image_impl(ctx):
    name = ctx.label.name

    # A label with a transition of its own is a list.
    program = ctx.attr.binary[0][El2Info]
    elf = ctx.actions.declare_file(name + ".elf")
    map_file = ctx.actions.declare_file(name + ".map")
    ctx.actions.symlink(output = elf, target_file = program.elf)
    ctx.actions.symlink(output = map_file, target_file = program.map)

    if not ctx.attr.payload:
        flat = _flat(ctx, program.elf, name + ".bin")
    else:
        payload = ctx.attr.payload[0][El2Info].elf
        alone = _flat(ctx, program.elf, name + ".alone.bin")
        appendix = _flat(ctx, payload, name + ".payload.bin")
        flat = ctx.actions.declare_file(name + ".bin")
        ctx.actions.run_shell(
            command = _APPEND,
            arguments = [program.elf.path, alone.path, appendix.path, flat.path],
            inputs = [program.elf, alone, appendix],
            outputs = [flat],
            mnemonic = "El2Append",
        )

    outputs = [elf, flat, map_file]
    return [
        DefaultInfo(files = depset(outputs), runfiles = ctx.runfiles(outputs)),
        El2Info(elf = elf, bin = flat, map = map_file),
        OutputGroupInfo(
            bin = depset([flat]),
            elf = depset([elf]),
            map = depset([map_file]),
        ),
    ]

el2_image = rule(
    implementation = _el2_image_impl,
    doc = "NAME.elf, NAME.bin (flat, with the payload if any) and NAME.map.",
    attrs = {
        "binary": attr.label(
            doc = "an el2_binary",
            cfg = _bare_metal,
            mandatory = True,
            providers = [El2Info],
        ),
        "granule": attr.string(
            doc = "the page size of both programs; if not given, the build's",
            values = ["", "4k", "16k", "64k"],
        ),
        "payload": attr.label(
            doc = "an el2_binary that is appended at the next 2 MiB boundary",
            cfg = _bare_metal,
            providers = [El2Info],
        ),
        "stream": attr.bool(
            doc = "writes its event stream to a file, whatever the build says",
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

def _el2_size_impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        output = script,
        content = "#!/bin/sh\nexec awk -f {} {}\n".format(
            ctx.file._awk.short_path,
            ctx.attr.image[El2Info].map.short_path,
        ),
        is_executable = True,
    )
    return [DefaultInfo(
        executable = script,
        runfiles = ctx.runfiles([ctx.file._awk, ctx.attr.image[El2Info].map]),
    )]

el2_size = rule(
    implementation = _el2_size_impl,
    doc = "`bazel run` prints the bytes of each library in an image.",
    attrs = {
        "image": attr.label(mandatory = True, providers = [El2Info]),
        "_awk": attr.label(default = "//tools:size.awk", allow_single_file = True),
    },
    executable = True,
)

# $1: the flat binary, $2: the symbol, $3: output.
_BYTES = """
set -eu
{
  echo "#include <cstdint>"
  echo "extern \\"C\\" const unsigned char $2[] = {"
  od -An -v -tu1 "$1" | sed 's/  */,/g; s/^,//; s/$/,/'
  echo "};"
  echo "extern \\"C\\" const uint64_t $2_size = sizeof($2);"
} > "$3"
"""

def _el2_bytes_impl(ctx):
    flat = _flat(ctx, ctx.attr.program[El2Info].elf, ctx.label.name + ".flat")
    source = ctx.actions.declare_file(ctx.label.name + ".cc")
    ctx.actions.run_shell(
        command = _BYTES,
        arguments = [flat.path, ctx.attr.symbol, source.path],
        inputs = [flat],
        outputs = [source],
        mnemonic = "El2Bytes",
    )
    return [DefaultInfo(files = depset([source]))]

el2_bytes = rule(
    implementation = _el2_bytes_impl,
    doc = "NAME.cc: `extern \"C\" const unsigned char SYMBOL[]`, and SYMBOL_size.",
    attrs = {
        "program": attr.label(mandatory = True, providers = [El2Info]),
        "symbol": attr.string(mandatory = True),
    },
)
