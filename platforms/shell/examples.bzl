# SPDX-License-Identifier: Apache-2.0
"""Scripts of the simulator that are tests: each against its transcript.

A transcript is examples/testdata/NAME.txt. `bazel run
//platforms/shell:transcripts` writes them all anew.
"""

def example_tests(names):
    """NAME_example_test for each examples/NAME.hf, and :transcripts.

    Args:
      names: the scripts, without folder and suffix.
    """
    for name in names:
        native.sh_test(
            name = name + "_example_test",
            size = "small",
            srcs = ["example_test.sh"],
            args = [
                "$(rootpath :sim_4k)",
                "$(rootpath examples/{}.hf)".format(name),
                "$(rootpath examples/testdata/{}.txt)".format(name),
            ],
            data = [
                "examples/{}.hf".format(name),
                "examples/testdata/{}.txt".format(name),
                ":sim_4k",
            ],
        )
    native.sh_binary(
        name = "transcripts",
        srcs = ["transcripts.sh"],
        args = ["$(rootpath :sim_4k)"] + [
            "$(rootpath examples/{}.hf)".format(name)
            for name in names
        ],
        data = [":sim_4k"] + ["examples/{}.hf".format(name) for name in names],
    )
