#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds mbedTLS (Debian source package mbedtls) three times, with the options of net/port/mbedtls_config.h:
#   build/mbedtls/libmbedtls.a        for the hypervisor: general registers only
#   build/mbedtls/libmbedtls-host.a   for host tests, with the sanitizers
#   build/mbedtls/libmbedtls-fuzz.a   for fuzzers, which look at its branches, too
#   build/mbedtls/include             <mbedtls/...>
set -eu
. "$(dirname "$0")/common.sh"

SRC=$BUILD/src/mbedtls
OUT=$BUILD/mbedtls
LOG=$BUILD/setup-mbedtls.log
: >"$LOG"

SOURCES="aes chacha20 chachapoly cipher cipher_wrap constant_time gcm hmac_drbg md memory_buffer_alloc platform
platform_util poly1305 sha256 ssl_ciphersuites ssl_cli ssl_msg ssl_srv ssl_tls"

# build ARCHIVE COMPILER-AND-FLAGS...
build()
{
	library=$1
	shift
	archive "$OUT/$library" "$SRC/library" "$@" -std=gnu11 -w '-DMBEDTLS_CONFIG_FILE=<mbedtls_config.h>' -I "$OUT/include" \
		-I "$ROOT/net/port" -I "$SRC/library"
}

say "building mbedTLS"
[ -d "$SRC/library" ] || "$(dirname "$0")/apt-private.sh" source mbedtls "$SRC"
rm -rf "$OUT"
mkdir -p "$OUT/include"
cp -r "$SRC/include/mbedtls" "$OUT/include/"
build libmbedtls.a gcc -O2 -g -mgeneral-regs-only -ffreestanding -ffunction-sections -fdata-sections \
	$HV_ARCH_FLAGS -nostdinc -isystem "$(gcc -print-file-name=include)" -isystem "$BUILD/newlib/include"
build libmbedtls-host.a gcc -O1 -g -DHOST_TEST -fsanitize=address,undefined -fno-sanitize-recover=all
build libmbedtls-fuzz.a clang -O1 -g -DHOST_TEST -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
without_sse "$OUT/libmbedtls.a"
