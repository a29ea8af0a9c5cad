/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much before a time its timer must be set, on a machine whose timers come late: learnt from
 * how late the latest ones came. One that was very late, because its CPU was busy, has no say: the
 * lead is the second longest of the latest lateness.
 *
 * Units: host TSC ticks. Not locked.
 */
#pragma once
#include <stdint.h>

#define LEAD_SAMPLES 8

struct lead {
	uint64_t late[LEAD_SAMPLES];
	unsigned next;
};

/* A timer came this late after the time that it was set for. */
void lead_learn(struct lead *l, uint64_t late);

/* At most `max`; 0 before there are two samples. */
uint64_t lead_ticks(const struct lead *l, uint64_t max);
