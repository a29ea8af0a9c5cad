#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The guests of the tests, as Debian ships them:
#   build/guest/vmlinuz, build/guest/modules   linux-image-amd64, unpacked and not installed
#   build/guest/vmlinuz-cloud, modules-cloud   linux-image-cloud-amd64: small, for slow emulators and benchmarks
#   build/guest/di-vmlinuz, di-initrd.gz       the installer's netboot images
set -eu
. "$(dirname "$0")/common.sh"

OUT=$BUILD/guest
APT=$(dirname "$0")/apt-private.sh
LOG=$BUILD/setup-guest.log
: >"$LOG"

# unpack META SUFFIX: the kernel that the meta package names, as vmlinuz$SUFFIX and modules$SUFFIX
unpack()
{
	kernel=$("$APT" depends "$1" linux-image-)
	[ -n "$kernel" ] || die "$1 depends on no linux-image-*: cannot tell the kernel's version"
	version=${kernel#linux-image-}
	[ -e "$BUILD/src/linux$2/boot/vmlinuz-$version" ] || "$APT" binary "$kernel" "$BUILD/src/linux$2"
	ln -sfn "../src/linux$2/boot/vmlinuz-$version" "$OUT/vmlinuz$2"
	ln -sfn "../src/linux$2/lib/modules/$version" "$OUT/modules$2"
	[ -e "$OUT/vmlinuz$2" ] && [ -e "$OUT/modules$2/kernel" ] ||
		die "package $kernel is not laid out as expected"
	run "$LOG" /sbin/depmod -b "$BUILD/src/linux$2" "$version"
}

mkdir -p "$OUT"
unpack linux-image-amd64 ""
unpack linux-image-cloud-amd64 -cloud

installer=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
for f in linux initrd.gz; do
	[ -e "$installer/$f" ] || die "no $installer/$f (package debian-installer-12-netboot-amd64)"
done
ln -sfn "$installer/linux" "$OUT/di-vmlinuz"
ln -sfn "$installer/initrd.gz" "$OUT/di-initrd.gz"
