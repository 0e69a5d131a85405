# SPDX-License-Identifier: Apache-2.0
"""qemu_test: boots an EL2 image and looks at how it ends and what it says."""

load("//platforms:image.bzl", "el2_image")

# QEMU's -cpu, by the short names tests go by.
CPUS = {
    "a57": "cortex-a57",
    "a72": "cortex-a72",
    "max": "max,pauth-impdef=on",
}

def payload_image(
        name,
        payload = None,
        binary = "//platforms/qemu_virt:el2",
        granule = "",
        stream = False,
        **kwargs):
    """An image, with its two files as NAME_bin and NAME_elf.

    Args:
      name: of the image.
      payload: the el2_binary that runs as its host, if any.
      binary: the el2_binary at EL2.
      granule: 4k, 16k or 64k; if not given, that of the build.
      stream: whether it writes its event stream.
      **kwargs: passed on to all three.
    """
    el2_image(
        name = name,
        binary = binary,
        granule = granule,
        payload = payload,
        stream = stream,
        **kwargs
    )
    for kind in ["bin", "elf"]:
        native.filegroup(
            name = name + "_" + kind,
            srcs = [name],
            output_group = kind,
            **kwargs
        )

def qemu_test(
        name,
        image,
        cpu = "max",
        cpus = 4,
        thread = "multi",
        seconds = 60,
        append = "",
        its = "off",
        status = 0,
        expect = [],
        reject = [],
        quiet = False,
        tags = [],
        size = "medium",
        **kwargs):
    """Boots `image` and fails unless it ends with `status` and says what is expected.

    Args:
      name: of the test.
      image: a payload_image.
      cpu: a key of CPUS.
      cpus: how many.
      thread: TCG's mode, multi or single.
      seconds: the limit for QEMU.
      append: boot arguments.
      its: whether the board has an ITS, on or off.
      status: QEMU's exit status: what the payload ended with; 70 is a panic.
      expect: texts that must be in the output.
      reject: texts that must not.
      quiet: whether QEMU must have nothing to say of what the guest does wrong.
      tags: besides qemu and cpu:2.
      size: Bazel's.
      **kwargs: goes to the sh_test.
    """
    args = [
        "--status %d" % status,
        "--bin $(rootpath %s_bin)" % image,
        "--elf $(rootpath %s_elf)" % image,
        "--cpu " + CPUS[cpu],
        "--cpus %d" % cpus,
        "--thread " + thread,
        "--its " + its,
        "--seconds %d" % seconds,
    ]
    if quiet:
        args.append("--quiet")
    if append:
        args.append("--append '%s'" % append)
    args += ["--expect '%s'" % text for text in expect]
    args += ["--reject '%s'" % text for text in reject]
    native.sh_test(
        name = name,
        srcs = ["//platforms/qemu_virt:qemu_test.sh"],
        args = args,
        data = [
            image + "_bin",
            image + "_elf",
            "//platforms/qemu_virt:run.sh",
        ],
        tags = tags + ["cpu:2", "qemu"],
        # QEMU has its own, shorter limit.
        size = size,
        **kwargs
    )
