/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random bytes that nobody can foresee and that don't come twice: NIST SP 800-90A's HMAC_DRBG with
 * SHA-256, seeded (and again now and then) from the processor's generator, the jitter of the TSC,
 * and what tells this boot of this node from others: the TSC since power-on, the wall clock, the
 * card's address. Where the processor has no generator and time is emulated exactly, only the
 * latter differ.
 *
 * Context: the boot CPU. Boot (memory of net/tls.c).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* -EIO: the generator does not start. */
int entropy_init(const uint8_t mac[6]);
int entropy_random(void *unused, unsigned char *out, size_t n); /* 0, or an error of mbedTLS */
uint64_t entropy_u64(void); /* not 0; 0: there is no generator */
