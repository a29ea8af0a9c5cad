#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds lwIP (Debian source package lwip) three times, with the options of net/port/lwipopts.h:
#   build/lwip/liblwip.a        for the hypervisor: general registers only
#   build/lwip/liblwip-host.a   for host tests, with the sanitizers
#   build/lwip/liblwip-fuzz.a   for fuzzers, which look at its branches, too
#   build/lwip/include          <lwip/...>, <netif/...>
set -eu
. "$(dirname "$0")/common.sh"

SRC=$BUILD/src/lwip/src
OUT=$BUILD/lwip
LOG=$BUILD/setup-lwip.log
: >"$LOG"

SOURCES="core/init core/def core/inet_chksum core/ip core/mem core/memp core/netif core/pbuf core/raw
core/sys core/altcp core/altcp_alloc core/altcp_tcp core/tcp core/tcp_in core/tcp_out core/timeouts
core/udp core/ipv4/dhcp core/ipv4/etharp core/ipv4/icmp core/ipv4/igmp core/ipv4/ip4_frag
core/ipv4/ip4 core/ipv4/ip4_addr netif/ethernet"

# build ARCHIVE COMPILER-AND-FLAGS...
build()
{
	library=$1
	shift
	archive "$OUT/$library" "$SRC" "$@" -std=gnu11 -w -I "$OUT/include" -I "$ROOT/net/port"
}

say "building lwIP"
[ -d "$SRC/core" ] || "$(dirname "$0")/apt-private.sh" source lwip "$BUILD/src/lwip"
rm -rf "$OUT"
mkdir -p "$OUT"
cp -r "$SRC/include" "$OUT/include"
build liblwip.a gcc -O2 -g -mgeneral-regs-only -ffreestanding -ffunction-sections -fdata-sections \
	$HV_ARCH_FLAGS -nostdinc -isystem "$(gcc -print-file-name=include)" -isystem "$BUILD/newlib/include"
build liblwip-host.a gcc -O1 -g -DHOST_TEST -fsanitize=address,undefined -fno-sanitize-recover=all
build liblwip-fuzz.a clang -O1 -g -DHOST_TEST -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
without_sse "$OUT/liblwip.a"
