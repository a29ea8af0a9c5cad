/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When an event takes place, as its receiver's clocks show it. */
#pragma once
#include <stdint.h>

struct moment {
	uint64_t mono;	 /* ns of a clock that is never set: for repetition and patience */
	uint64_t shared; /* ns of the experiment's shared time: for T and T' */
	/* A participant's only: how far `shared` may be off (WIRE_NEVER: no idea), and by how many
	 * ns a second that grows while its servo is held. */
	uint64_t bound;
	uint32_t drift_ppb;
};
