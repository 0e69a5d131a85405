# SPDX-License-Identifier: Apache-2.0
"""What the two toolchains pass to clang, and when.

Features one may turn on (see the configs in .bazelrc), host only:
  asan, ubsan, tsan     sanitizers
  fuzz                  instruments everything for libFuzzer
  fuzzer                one program with libFuzzer's main (cc_fuzz_test sets it)
  source_coverage       clang's source-based coverage
  block_count           calls __sanitizer_cov_trace_pc_guard in each basic block
                        (platforms/flat counts them)
  el2                   the rules of EL2 code: no exceptions, no RTTI, nothing
                        that runs before main (el2_library sets it)

Sanitizers are features and never --copt, which would leak through the platform
transition into the EL2 image. The bare-metal toolchain does not know them.
"""

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load(
    "@rules_cc//cc:cc_toolchain_config_lib.bzl",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
    "with_feature_set",
)

_LLVM = "/usr/lib/llvm-19"

# Bare metal uses the cross compiler's libstdc++ and libc headers: of these,
# what needs no library at run time.
_BARE_INCLUDES = [
    "/usr/aarch64-linux-gnu/include/c++/12",
    "/usr/aarch64-linux-gnu/include/c++/12/aarch64-linux-gnu",
    _LLVM + "/lib/clang/19/include",
    "/usr/aarch64-linux-gnu/include",
]

_HOST_INCLUDES = [
    _LLVM + "/lib/clang/19/include",
    _LLVM + "/lib/clang/19/share",  # the sanitizers' default ignore lists
    "/usr/include",
]

_C = [ACTION_NAMES.c_compile]

_CPP = [
    ACTION_NAMES.cpp_compile,
    ACTION_NAMES.cpp_header_parsing,
    ACTION_NAMES.cpp_module_compile,
    ACTION_NAMES.linkstamp_compile,
]

_ASSEMBLE = [
    ACTION_NAMES.assemble,
    ACTION_NAMES.preprocess_assemble,
]

_COMPILE = _C + _CPP

_LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wimplicit-fallthrough",
    "-Wnon-virtual-dtor",
    "-Wthread-safety",
    "-Werror",
] + [
    # Bazel finds these by -iquote, which alone would make them our code.
    "--system-header-prefix=%s/" % folder
    for folder in ["absl", "benchmark", "editline", "gmock", "gtest", "nlohmann", "tl"]
] + [
    # And //base:machine's backend by -isystem, although it is our code.
    "--no-system-header-prefix=machine_backend.h",
]

# The same bytes from any folder, on any day.
_REPRODUCIBLE = [
    "-no-canonical-prefixes",
    "-ffile-compilation-dir=.",
    "-Wno-builtin-macro-redefined",
    "-D__DATE__=\"redacted\"",
    "-D__TIME__=\"redacted\"",
    "-D__TIMESTAMP__=\"redacted\"",
]

# Nobody runs constructors or destructors of globals at EL2.
_EL2 = [
    "-fno-exceptions",
    "-fno-rtti",
    "-Wexit-time-destructors",
    "-Wglobal-constructors",
]

def _flags(actions, flags, when = None):
    """One flag_set; `when` names the features it needs."""
    return flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags)],
        with_features = [with_feature_set(features = [f]) for f in when or []],
    )

def _always(name, flag_sets):
    return feature(name = name, enabled = True, flag_sets = flag_sets)

def _common_features():
    return [
        feature(name = "dbg"),
        feature(name = "fastbuild"),
        feature(name = "opt"),
        # Instead of Bazel's own of this name: our programs keep their debug
        # information, which the backtraces need.
        feature(name = "strip_debug_symbols"),
    ]

def _tools():
    return [
        tool_path(name = tool, path = "{}/bin/{}".format(_LLVM, program))
        for tool, program in {
            "ar": "llvm-ar",
            "cpp": "clang-cpp",
            "dwp": "llvm-dwp",
            "gcc": "clang",
            "gcov": "llvm-cov",
            "ld": "ld.lld",
            "llvm-cov": "llvm-cov",
            "nm": "llvm-nm",
            "objcopy": "llvm-objcopy",
            "objdump": "llvm-objdump",
            "strip": "llvm-strip",
        }.items()
    ]

def _host_impl(ctx):
    features = _common_features() + [
        _always("warnings", [_flags(_COMPILE, _WARNINGS)]),
        _always("reproducible", [_flags(_COMPILE + _ASSEMBLE, _REPRODUCIBLE)]),
        _always("language", [
            _flags(_CPP, ["-std=c++20"]),
            _flags(_C, ["-std=c11"]),
        ]),
        _always("modes", [
            _flags(_COMPILE, ["-O1", "-gline-tables-only"], when = ["fastbuild"]),
            _flags(_COMPILE, ["-O0", "-g"], when = ["dbg"]),
            _flags(_COMPILE, ["-O2", "-DNDEBUG"], when = ["opt"]),
            # Bounds of std::span and std::array, checked in tests.
            _flags(_CPP, ["-D_GLIBCXX_ASSERTIONS"], when = ["dbg", "fastbuild"]),
            _flags(_COMPILE, ["-fno-omit-frame-pointer", "-pthread"]),
        ]),
        _always("linking", [
            _flags(_LINK, [
                "--driver-mode=g++",
                "-no-canonical-prefixes",
                "-fuse-ld=lld",
                "-pthread",
                "-Wl,--build-id=none",
                "-Wl,-z,relro,-z,now",
            ]),
        ]),
        feature(name = "el2", flag_sets = [_flags(_CPP, _EL2)]),
        # asan and tsan exclude each other.
        feature(
            name = "asan",
            provides = ["memory_runtime"],
            flag_sets = [
                _flags(_COMPILE + _LINK, ["-fsanitize=address"]),
                _flags(_COMPILE, ["-DHOLDFAST_SANITIZED=1"]),
            ],
        ),
        feature(
            name = "tsan",
            provides = ["memory_runtime"],
            flag_sets = [
                _flags(_COMPILE + _LINK, ["-fsanitize=thread"]),
                _flags(_COMPILE, ["-DHOLDFAST_SANITIZED=1"]),
            ],
        ),
        feature(
            name = "ubsan",
            flag_sets = [
                # vptr needs the RTTI that EL2 code does not have.
                _flags(_COMPILE + _LINK, ["-fsanitize=undefined", "-fno-sanitize=vptr"]),
                _flags(_COMPILE, ["-fno-sanitize-recover=all", "-DHOLDFAST_SANITIZED=1"]),
            ],
        ),
        feature(
            name = "fuzz",
            flag_sets = [_flags(_COMPILE, ["-fsanitize=fuzzer-no-link"])],
        ),
        feature(
            name = "fuzzer",
            flag_sets = [
                _flags(_COMPILE, ["-fsanitize=fuzzer-no-link"]),
                _flags(_LINK, ["-fsanitize=fuzzer"]),
            ],
        ),
        feature(
            name = "block_count",
            flag_sets = [_flags(
                _COMPILE,
                ["-fsanitize-coverage=bb,no-prune,trace-pc-guard"],
            )],
        ),
        feature(
            name = "source_coverage",
            flag_sets = [
                _flags(_COMPILE + _LINK, ["-fprofile-instr-generate"]),
                _flags(_COMPILE, ["-fcoverage-mapping"]),
            ],
        ),
    ]
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        toolchain_identifier = "host",
        compiler = "clang",
        features = features,
        tool_paths = _tools(),
        cxx_builtin_include_directories = _HOST_INCLUDES,
        host_system_name = "local",
        target_system_name = "local",
        target_cpu = "host",
        target_libc = "glibc",
        abi_version = "local",
        abi_libc_version = "local",
    )

def _bare_impl(ctx):
    features = _common_features() + [
        _always("warnings", [_flags(_COMPILE, _WARNINGS + ["-Wframe-larger-than=2048"])]),
        _always("reproducible", [_flags(_COMPILE + _ASSEMBLE, _REPRODUCIBLE)]),
        _always("language", [
            # libstdc++ takes _GNU_SOURCE for granted.
            _flags(_CPP, ["-std=c++20", "-D_GNU_SOURCE"] + _EL2),
            _flags(_C, ["-std=c11"]),
        ]),
        _always("target", [
            _flags(_COMPILE + _ASSEMBLE + _LINK, ["--target=aarch64-none-elf"]),
            _flags(_COMPILE + _ASSEMBLE, [
                "-march=armv8-a",
                "-fno-pic",
                "-nostdinc",
            ] + ["-isystem" + path for path in _BARE_INCLUDES]),
            # Hosted headers, although nothing is hosted: GCC 12's freestanding
            # set lacks <array>, <optional> and <span>.
            _flags(_COMPILE, [
                "-mgeneral-regs-only",
                "-mstrict-align",
                "-mno-outline-atomics",
                "-mbranch-protection=standard",
                "-fno-threadsafe-statics",
                "-fno-asynchronous-unwind-tables",
                "-fno-unwind-tables",
                "-fno-omit-frame-pointer",
                "-fstack-protector-strong",
                "-ftrivial-auto-var-init=zero",
                "-ffunction-sections",
                "-fdata-sections",
            ]),
        ]),
        # One image, whatever the mode of the build around it.
        _always("modes", [
            _flags(_COMPILE, ["-O2"]),
            _flags(_COMPILE + _ASSEMBLE, ["-g"]),
        ]),
        _always("linking", [
            _flags(_LINK, [
                "-no-canonical-prefixes",
                "-fuse-ld=lld",
                "-nostdlib",
                "-static",
                "-Wl,--build-id=none",
                "-Wl,--fatal-warnings",
                "-Wl,--gc-sections",
                "-Wl,-z,max-page-size=4096",
                "-Wl,-z,noexecstack",
            ]),
        ]),
        # Always on here.
        feature(name = "el2"),
    ]
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        toolchain_identifier = "aarch64_bare",
        compiler = "clang",
        features = features,
        tool_paths = _tools(),
        cxx_builtin_include_directories = _BARE_INCLUDES,
        host_system_name = "local",
        target_system_name = "aarch64-none-elf",
        target_cpu = "aarch64",
        target_libc = "none",
        abi_version = "aapcs64",
        abi_libc_version = "none",
    )

host_toolchain_config = rule(
    implementation = _host_impl,
    provides = [CcToolchainConfigInfo],
)

bare_toolchain_config = rule(
    implementation = _bare_impl,
    provides = [CcToolchainConfigInfo],
)
