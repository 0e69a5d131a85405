# SPDX-License-Identifier: Apache-2.0
"""cc_fuzz_test: a libFuzzer program that is also a short test.

    cc_fuzz_test(
        name = "descriptor_fuzz_test",
        srcs = ["descriptor_fuzz_test.cc"],  # LLVMFuzzerTestOneInput
        corpus = glob(["corpus/descriptor/**"]),  # optional
        deps = [":descriptor"],
    )

As a test it tries the corpus and then a fixed number of inputs from a fixed
seed, guided by the coverage of its own source only. To search for long, let
the coverage of everything guide it, and keep what it finds:

    bazel build --config=fuzz //pgtable:descriptor_fuzz_test
    mkdir found
    bazel-bin/pgtable/descriptor_fuzz_test -max_total_time=600 found
"""

load("@rules_cc//cc:defs.bzl", "cc_test")

def cc_fuzz_test(
        name,
        srcs,
        corpus = [],
        runs = 10000,
        max_len = 4096,
        size = "small",
        features = [],
        tags = [],
        **kwargs):
    """See the top of this file.

    Args:
      name: ends in _fuzz_test.
      srcs: with LLVMFuzzerTestOneInput, and no main.
      corpus: files of one folder, each an input.
      runs: how many inputs the test tries.
      max_len: the longest input, in bytes.
      size: the test's size.
      features: more features.
      tags: more tags; `fuzz` is one.
      **kwargs: goes to cc_test.
    """
    # libFuzzer writes what it finds into the folder: a copy, in the sandbox.
    folders = {file[:file.rindex("/")]: True for file in corpus}.keys()
    cc_test(
        name = name,
        size = size,
        srcs = srcs,
        args = [
            "-runs=%d" % runs,
            "-max_len=%d" % max_len,
            "-len_control=0",
            "-seed=1",
            "-print_final_stats=0",
            "-verbosity=0",
        ] + ["%s/%s" % (native.package_name(), folder) for folder in folders],
        data = corpus,
        features = features + ["fuzzer"],
        tags = tags + ["fuzz"],
        **kwargs
    )
