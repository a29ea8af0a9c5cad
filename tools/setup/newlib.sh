#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds newlib (Debian's newlib-source) with the host's gcc for the hypervisor's code model:
#   build/newlib/include, build/newlib/libc.a   the whole library; SSE, so only between fpu_begin/fpu_end
#   build/libgpr.a                              the part that hv/, vmx/, svm/ may use anywhere: general registers only
set -eu
. "$(dirname "$0")/common.sh"

SRC=$BUILD/src/newlib
OBJ=$BUILD/src/newlib-obj
OUT=$BUILD/newlib
LOG=$BUILD/setup-newlib.log
: >"$LOG"

unpack()
{
	tar=$(ls /usr/src/newlib/newlib-*.tar.* 2>/dev/null | tail -n 1)
	[ -n "$tar" ] || die "no /usr/src/newlib/newlib-*.tar.* (package newlib-source)"
	rm -rf "$SRC" "$OBJ"
	mkdir -p "$SRC" "$OBJ"
	run "$LOG" tar -xf "$tar" -C "$SRC" --strip-components=1
}

# The host's tools stand in for an x86_64-elf tool chain: same instruction set, same object format.
build()
{
	cd "$OBJ"
	export CC_FOR_TARGET=gcc AR_FOR_TARGET=ar RANLIB_FOR_TARGET=ranlib AS_FOR_TARGET=as
	export LD_FOR_TARGET=ld NM_FOR_TARGET=nm STRIP_FOR_TARGET=strip
	export OBJDUMP_FOR_TARGET=objdump READELF_FOR_TARGET=readelf
	export CFLAGS_FOR_TARGET="-O2 $HV_ARCH_FLAGS"
	run "$LOG" "$SRC/configure" --target=x86_64-elf --prefix="$BUILD/src/newlib-inst" \
		--disable-multilib --disable-libgloss --disable-newlib-supplied-syscalls \
		--enable-newlib-io-c99-formats --enable-newlib-io-long-long \
		--disable-newlib-multithread --disable-newlib-mb --disable-shared --disable-nls
	run "$LOG" make -j"$(nproc)" all-target-newlib MAKEINFO=true
	run "$LOG" make install-target-newlib MAKEINFO=true
	rm -rf "$OUT"
	mkdir -p "$OUT"
	cp -r "$BUILD/src/newlib-inst/x86_64-elf/include" "$OUT/include"
	cp "$BUILD/src/newlib-inst/x86_64-elf/lib/libc.a" "$OUT/libc.a"
}

# One string conversion or formatting function per file, and the tables that they read.
GPR_SOURCES="
string/memchr string/memcmp string/memcpy string/memmem string/memmove string/memrchr string/memset
string/strcat string/strchr string/strchrnul string/strcmp string/strcpy string/strcspn
string/strlcat string/strlcpy string/strlen string/strncat string/strncmp string/strncpy
string/strnlen string/strpbrk string/strrchr string/strsep string/strspn string/strstr
string/strtok_r string/strcasecmp string/strncasecmp
ctype/ctype_ ctype/isalnum ctype/isalpha ctype/isdigit ctype/islower ctype/isprint
ctype/isspace ctype/isupper ctype/isxdigit ctype/tolower ctype/toupper
stdlib/strtol stdlib/strtoll stdlib/strtoul stdlib/strtoull stdlib/mbtowc_r stdlib/wctomb_r
stdio/sniprintf stdio/vsniprintf
locale/locale locale/localeconv reent/impure
"

build_gpr()
{
	lib=$SRC/newlib/libc
	obj=$BUILD/src/gpr-obj
	flags="-std=gnu11 -O2 -mgeneral-regs-only -ffreestanding -fno-builtin
		$HV_ARCH_FLAGS -nostdinc -isystem $(gcc -print-file-name=include)
		-isystem $OUT/include -I $OBJ/x86_64-elf/newlib -D_COMPILING_NEWLIB
		-I $lib/stdio -I $lib/locale -I $lib/ctype -I $lib/stdlib -w"
	rm -rf "$obj" "$BUILD/libgpr.a"
	mkdir -p "$obj"
	for s in $GPR_SOURCES; do
		run "$LOG" gcc $flags -c "$lib/$s.c" -o "$obj/$(basename "$s").o"
	done
	# The integer-only formatter that writes to strings, behind sniprintf and vsniprintf.
	run "$LOG" gcc $flags -DINTEGER_ONLY -DSTRING_ONLY -c "$lib/stdio/vfprintf.c" \
		-o "$obj/svfiprintf.o"
	run "$LOG" ar rcs "$BUILD/libgpr.a" "$obj"/*.o
	without_sse "$BUILD/libgpr.a"
}

say "building newlib (about a minute)"
unpack
build
build_gpr
