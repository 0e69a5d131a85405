#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the EL2 image from a copy of the tree, in another folder and with
# nothing of Bazel's kept, and compares it byte by byte with the one built here.

set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
copied_bazel() { # COMMAND ARGS...
  (cd "$copy/elsewhere" && command bazel --output_base="$copy/base" "$@")
}
clean_up() {
  copied_bazel shutdown &> /dev/null || true
  chmod -R u+w "$copy"
  rm -rf "$copy"
}
trap clean_up EXIT

mkdir "$copy/elsewhere"
# The tree as it is, with what is not committed yet.
git ls-files -z --cached --others --exclude-standard |
  xargs -0 ls -d 2> /dev/null | tar -cf - -T - | tar -xf - -C "$copy/elsewhere"

bazel build //platforms:qemu_virt
printf '+ bazel build //platforms:qemu_virt   (in a copy, with no cache)\n' >&2
copied_bazel build --disk_cache= --noshow_progress //platforms:qemu_virt

here=$(bazel info bazel-bin 2> /dev/null)/platforms
there=$(copied_bazel info bazel-bin 2> /dev/null)/platforms
for kind in bin elf; do
  if ! cmp "$here/qemu_virt.$kind" "$there/qemu_virt.$kind"; then
    printf 'qemu_virt.%s differs between the two folders\n' "$kind" >&2
    exit 1
  fi
done
printf 'The same bytes from both folders: %s\n' \
  "$(sha256sum < "$here/qemu_virt.bin" | cut -c 1-16)"
