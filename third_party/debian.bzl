# SPDX-License-Identifier: Apache-2.0
"""A repository made of a Debian package's headers.

Only the named folders of /usr/include are linked into it, never /usr/include
itself: bare-metal code sees these headers and nothing else of the host.
"""

def _debian_repository_impl(ctx):
    for name in ctx.attr.headers:
        source = ctx.path("/usr/include/" + name)
        if not source.exists:
            fail(("{} is missing. Run ./holdfast setup, or as root: " +
                  "apt-get install {}").format(source, ctx.attr.package))
        ctx.symlink(source, name)
    ctx.symlink(ctx.attr.build_file, "BUILD.bazel")
    ctx.file("WORKSPACE", "workspace(name = \"{}\")\n".format(ctx.name))

debian_repository = repository_rule(
    implementation = _debian_repository_impl,
    local = True,
    attrs = {
        "build_file": attr.label(allow_single_file = True, mandatory = True),
        "headers": attr.string_list(doc = "folders of /usr/include", mandatory = True),
        "package": attr.string(doc = "Debian packages, for the error", mandatory = True),
    },
)
