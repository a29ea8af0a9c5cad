#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds Zydis's decoder (Debian source package zydis) twice:
#   build/zydis/libzydis.a        for the hypervisor: general registers only, no libc
#   build/zydis/libzydis-host.a   for host tests, with the sanitizers
#   build/zydis/include           <Zydis/Zydis.h>, <Zycore/...> and the options both were built with
# Of Zycore the decoder needs nothing but headers, and those are in libzycore-dev.
set -eu
. "$(dirname "$0")/common.sh"

SRC=$BUILD/src/zydis
OUT=$BUILD/zydis
LOG=$BUILD/setup-zydis.log
: >"$LOG"

SOURCES="Decoder DecoderData MetaInfo Mnemonic Register SharedData Utils Zydis"
# Callers get the same options: structures and prototypes depend on them.
OPTIONS="ZYAN_NO_LIBC ZYDIS_STATIC_BUILD ZYCORE_STATIC_BUILD ZYDIS_DISABLE_FORMATTER
ZYDIS_DISABLE_ENCODER ZYDIS_DISABLE_SEGMENT ZYDIS_DISABLE_AVX512 ZYDIS_DISABLE_KNC"

includes()
{
	rm -rf "$OUT"
	mkdir -p "$OUT/include"
	cp -r "$SRC/include/Zydis" "$OUT/include/"
	cp -r "$BUILD/src/zycore/usr/include/Zycore" "$OUT/include/"
	{
		echo "/* Written by tools/setup/zydis.sh: how the library was built. */"
		echo "#pragma once"
		for o in $OPTIONS; do
			printf '#ifndef %s\n#define %s\n#endif\n' "$o" "$o"
		done
	} >"$OUT/include/Zydis/Options.h"
	sed -i '1i #include <Zydis/Options.h>' "$OUT/include/Zydis/Zydis.h" \
		"$OUT/include/Zydis/Defines.h"
}

# build ARCHIVE COMPILER-AND-FLAGS...
build()
{
	library=$1
	shift
	archive "$OUT/$library" "$SRC/src" "$@" -std=gnu11 -w -include Zydis/Options.h -I "$OUT/include" -I "$SRC/src"
}

say "building Zydis"
"$(dirname "$0")/apt-private.sh" source zydis "$SRC"
"$(dirname "$0")/apt-private.sh" binary libzycore-dev "$BUILD/src/zycore"
includes
build libzydis.a gcc -Os -mgeneral-regs-only -ffreestanding \
	$HV_ARCH_FLAGS -isystem "$BUILD/newlib/include"
build libzydis-host.a gcc -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
without_sse "$OUT/libzydis.a"
