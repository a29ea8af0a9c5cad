#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The guests of the tests, as Debian ships them:
#   build/guest/vmlinuz, build/guest/modules   linux-image-amd64, unpacked and not installed
#   build/guest/di-vmlinuz, di-initrd.gz       the installer's netboot images
set -eu
. "$(dirname "$0")/common.sh"

OUT=$BUILD/guest
APT=$(dirname "$0")/apt-private.sh
LOG=$BUILD/setup-guest.log
: >"$LOG"

# The meta package names the one with the kernel.
kernel=$("$APT" depends linux-image-amd64 linux-image-)
[ -n "$kernel" ] || die "linux-image-amd64 depends on no linux-image-*: cannot tell the kernel's version"
mkdir -p "$OUT"
"$APT" binary "$kernel" "$BUILD/src/linux"
version=${kernel#linux-image-}
ln -sfn "../src/linux/boot/vmlinuz-$version" "$OUT/vmlinuz"
ln -sfn "../src/linux/lib/modules/$version" "$OUT/modules"
[ -e "$OUT/vmlinuz" ] && [ -e "$OUT/modules/kernel" ] || die "package $kernel is not laid out as expected"
run "$LOG" /sbin/depmod -b "$BUILD/src/linux" "$version"

installer=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
for f in linux initrd.gz; do
	[ -e "$installer/$f" ] || die "no $installer/$f (package debian-installer-12-netboot-amd64)"
done
ln -sfn "$installer/linux" "$OUT/di-vmlinuz"
ln -sfn "$installer/initrd.gz" "$OUT/di-initrd.gz"
