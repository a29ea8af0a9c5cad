#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A Debian system as the root file system of a golden image, for the tests that take long:
#   build/debian/disk.img           ext4 without a partition table, 2.25 GiB, sparse
#   build/debian/vmlinuz, initrd    its kernel (linux-image-cloud-amd64) and initramfs
# Root logs in by itself on ttyS0. In /root there is a package that is not installed.
set -eu
dir=$(dirname "$0")
. "$dir/common.sh"

OUT=$BUILD/debian
LOG=$BUILD/setup-debian.log
SIZE=2304M
: >"$LOG"

[ "$(id -u)" = 0 ] || die "root is needed to unpack a Debian system (run 'make debian' as root)"
"$dir/apt-private.sh" depends linux-image-cloud-amd64 linux-image- >/dev/null # the sources

tree=$(mktemp -d "$BUILD/debian.XXXXXX")
trap 'rm -rf "$tree"' EXIT
say "unpacking a Debian system"
# shellcheck disable=SC2016 # the hook's shell expands them
run "$LOG" mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
	--include=systemd-sysv,udev,e2fsprogs,initramfs-tools,linux-image-cloud-amd64 \
	--customize-hook='cd "$1/root" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download hello' \
	bookworm "$tree" "$BUILD"/apt/sources/*

echo guest >"$tree/etc/hostname"
echo '/dev/vda / ext4 defaults,discard 0 1' >"$tree/etc/fstab"
: >"$tree/etc/machine-id"
mkdir -p "$tree/etc/systemd/system/serial-getty@ttyS0.service.d"
cat >"$tree/etc/systemd/system/serial-getty@ttyS0.service.d/root.conf" <<'END'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 %I dumb
END
cat >"$tree/root/.bash_profile" <<'END'
PS1='guest# '
bind 'set enable-bracketed-paste off'
END
# Timers of the archive would write at moments of their own.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer; do
	ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done

mkdir -p "$OUT"
cp -L "$tree/vmlinuz" "$OUT/vmlinuz"
cp -L "$tree/initrd.img" "$OUT/initrd"
rm -f "$OUT/disk.img.tmp"
run "$LOG" /sbin/mke2fs -q -t ext4 -L golden -d "$tree" "$OUT/disk.img.tmp" "$SIZE"
mv "$OUT/disk.img.tmp" "$OUT/disk.img"
