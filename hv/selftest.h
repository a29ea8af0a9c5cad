/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The standing proof that all of the guest's state lives in units: freeze, save everything but RAM,
 * overwrite the live state with garbage, load, compare, thaw. A node that is frozen already stays
 * so. Boot CPU's loop only.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct roundtrip_result {
	unsigned units;
	size_t bytes;	    /* of the image */
	uint64_t frozen_ns; /* host time the node stood still */
	const char *what;   /* what failed, NULL = all well */
	char section[17];   /* where */
};

int selftest_roundtrip(struct roundtrip_result
			       *r); /* 0; -ETIMEDOUT: a CPU did not park; -ENOMEM; -EIO: see what */
