#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds QEMU from Debian's source package for the tests that load several CPUs with threads of their own for long:
#   build/qemu/qemu-system-x86_64   TCG and user networking only; firmware and ROMs are those of Debian's packages
# One line differs: the first CPU's flags are written by another CPU's thread only where there is something to clear
# (docs/testing.md says what else happens).
set -eu
dir=$(dirname "$0")
. "$dir/common.sh"

SRC=$BUILD/src/qemu
OUT=$BUILD/qemu
LOG=$BUILD/setup-qemu.log
: >"$LOG"

FLAGS=target/i386/tcg/sysemu/fpu_helper.c
RACE='env->hflags2 &= ~HF2_IGNNE_MASK;'

mend()
{
	[ "$(grep -cF "$RACE" "$SRC/$FLAGS")" = 1 ] ||
		die "this QEMU's $FLAGS is not as known: see whether the race that docs/testing.md describes is gone"
	sed -i "s/\($RACE\)/if (env->hflags2 \& HF2_IGNNE_MASK) { \1 }/" "$SRC/$FLAGS"
}

build()
{
	rm -rf "$OUT"
	mkdir -p "$OUT"
	cd "$OUT"
	run "$LOG" "$SRC/configure" --target-list=x86_64-softmmu --without-default-features --enable-tcg --enable-slirp \
		--firmwarepath=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu
	run "$LOG" ninja qemu-system-x86_64
}

"$dir/packages.sh" "$dir/packages-qemu.txt"
say "building QEMU (some ten minutes)"
"$dir/apt-private.sh" source qemu "$SRC"
mend
build
