/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the datagrams of a numbered stream begin; test/lib/flow.py knows the same. Big-endian. */
#pragma once
#include <stdint.h>

#define NUMBERED_MAGIC 0x53746653u

struct numbered {
	uint32_t magic, stream;
	uint32_t number; /* from 0 */
};
