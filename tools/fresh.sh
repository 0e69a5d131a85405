#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Proves the set-up from nothing: in a bare Debian 12 made for it, with the
# committed tree and no more, `./holdfast setup` (from the network) and then,
# with no network names to look up, `./holdfast test` and `./holdfast demo`.

set -euo pipefail
cd "$(dirname "$0")/.."

if ((EUID != 0)); then
  echo "fresh: making a Debian root and mounting in it needs root" >&2
  exit 1
fi
if ! unshare --mount --pid --fork true 2> /dev/null; then
  echo "fresh: this machine (a container?) allows no mount namespaces" >&2
  exit 1
fi

root=$(mktemp -d)
# Its mounts live and die with the namespace below; here it is files only.
trap 'rm -rf --one-file-system "$root"' EXIT

echo "== a bare Debian 12 in $root"
mmdebstrap --variant=minbase --quiet bookworm "$root"
mkdir "$root/holdfast"
git archive HEAD | tar -xf - -C "$root/holdfast"

cat > "$root/prove" << 'END'
set -euo pipefail
cd /holdfast
step() {
  local start=$SECONDS
  echo "== $*"
  "$@" < /dev/null
  echo "== $* took $((SECONDS - start)) s"
}
step ./holdfast setup
# From here on nobody can be asked for anything.
rm /etc/resolv.conf
step ./holdfast setup
step ./holdfast test
step ./holdfast demo
bazel shutdown
END

# pivot_root, because Bazel's sandbox does not work in a chroot.
# shellcheck disable=SC2016
unshare --mount --pid --fork --kill-child bash -euc '
  root=$1
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/tmp"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  cd "$root"
  pivot_root . mnt
  umount --lazy /mnt
  exec env -i CI=true HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    bash /prove' fresh "$root"
echo "Set up, tested and shown from nothing."
