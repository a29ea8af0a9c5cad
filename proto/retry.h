/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long to wait before the nth repetition, from 0: twice as long each time, up to a limit. */
#pragma once
#include <stdint.h>

static inline uint64_t retry_delay(uint64_t first, uint64_t limit, unsigned n)
{
	return n < 32 && first << n < limit ? first << n : limit;
}
