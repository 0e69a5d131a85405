# SPDX-License-Identifier: Apache-2.0
"""Debian's Abseil as a repository with the registry's packages and targets.

The headers are links to /usr/include/absl; a BUILD file is written beside them
in each folder. /usr/include itself is never on an include path because of it.
"""

# Folder: targets. To use one more target of Abseil, name it here.
FOLDERS = {
    "algorithm": ["algorithm", "container"],
    "base": ["base", "config", "log_severity"],  # and core_headers
    "cleanup": ["cleanup"],
    "container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "debugging": ["failure_signal_handler", "leak_check", "stacktrace", "symbolize"],
    "flags": ["flag", "parse", "reflection", "usage"],
    "functional": ["any_invocable", "bind_front", "function_ref"],
    "hash": ["hash"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "profiling": [],
    "random": ["bit_gen_ref", "distributions", "random", "seed_sequences"],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "strings"],
    "synchronization": [],  # its headers are included by others
    "time": ["time"],
    "types": ["any", "optional", "span", "variant"],
    "utility": ["utility"],
}

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

filegroup(
    name = "headers",
    srcs = glob(["**/*.h", "**/*.inc"]),
)
"""

_TARGET = """
cc_library(
    name = "{}",
    deps = ["//:{}"],
)
"""

def _debian_abseil_impl(ctx):
    absl = ctx.path("/usr/include/absl")
    if not absl.exists:
        fail("{} is missing. Run ./holdfast setup, or as root: apt-get install libabsl-dev".format(absl))
    for folder, targets in FOLDERS.items():
        for child in absl.get_child(folder).readdir():
            ctx.symlink(child, "absl/{}/{}".format(folder, child.basename))
        text = _BUILD + "".join([_TARGET.format(t, "everything") for t in targets])
        if folder == "base":
            text += _TARGET.format("core_headers", "core_headers")
        ctx.file("absl/{}/BUILD.bazel".format(folder), text, executable = False)
    ctx.symlink(ctx.attr._build_file, "BUILD.bazel")
    ctx.file("WORKSPACE", "workspace(name = \"{}\")\n".format(ctx.name))

debian_abseil = repository_rule(
    implementation = _debian_abseil_impl,
    local = True,
    attrs = {
        "_build_file": attr.label(default = "//third_party/abseil-cpp:abseil.BUILD"),
    },
)
