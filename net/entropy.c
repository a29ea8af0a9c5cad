// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/entropy.h"
#include <errno.h>
#include <mbedtls/hmac_drbg.h>
#include <string.h>
#include "arch/x86_64/arch.h"

#define JITTER_SAMPLES 8 /* a byte of seed */

static mbedtls_hmac_drbg_context drbg;
static bool ready;
static uint8_t scratch[4096];

/* How long some memory accesses take, and where the clock stands: a few bits of it nobody knows. */
static uint64_t jitter(void)
{
	static uint64_t sum;

	for (unsigned i = 0; i < JITTER_SAMPLES; i++) {
		uint64_t t = rdtsc();
		volatile uint8_t *p = &scratch[(sum ^ t) % sizeof(scratch)];

		*p = (uint8_t)(*p + t);
		sum = (sum << 7 | sum >> 57) ^ (rdtsc_ordered() - t) ^ t << 17;
	}
	return sum;
}

/* Seed: what the processor gives, mixed with jitter; HMAC condenses it. */
static int gather(void *unused, unsigned char *out, size_t n)
{
	(void)unused;
	for (size_t i = 0; i < n; i++) {
		uint64_t v;

		if (!cpu_random(&v))
			v = 0;
		v ^= jitter();
		v ^= v >> 32;
		v ^= v >> 16;
		out[i] = (unsigned char)(v ^ v >> 8);
	}
	return 0;
}

int entropy_init(const uint8_t mac[6])
{
	struct {
		uint64_t tsc_entry, tsc_exit_boot, now, wall, cpu[4], jitter[8];
		uint8_t mac[8];
	} boot = {.tsc_entry = handoff->tsc_entry,
		  .tsc_exit_boot = handoff->tsc_exit_boot,
		  .now = rdtsc(),
		  .wall = host_rtc_seconds()};

	for (unsigned i = 0; i < sizeof(boot.cpu) / sizeof(boot.cpu[0]); i++)
		(void)cpu_random(&boot.cpu[i]);
	for (unsigned i = 0; i < sizeof(boot.jitter) / sizeof(boot.jitter[0]); i++)
		boot.jitter[i] = jitter();
	memcpy(boot.mac, mac, 6);
	mbedtls_hmac_drbg_init(&drbg);
	if (mbedtls_hmac_drbg_seed(&drbg, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), gather,
				   NULL, (const unsigned char *)&boot, sizeof(boot)) != 0)
		return -EIO;
	ready = true;
	return 0;
}

int entropy_random(void *unused, unsigned char *out, size_t n)
{
	(void)unused;
	return mbedtls_hmac_drbg_random(&drbg, out, n);
}

uint64_t entropy_u64(void)
{
	uint64_t v = 0;

	while (ready && !v)
		if (entropy_random(NULL, (unsigned char *)&v, sizeof(v)) != 0)
			break;
	return v;
}
