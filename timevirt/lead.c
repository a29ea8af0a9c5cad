// SPDX-License-Identifier: GPL-2.0-or-later
#include "timevirt/lead.h"

void lead_learn(struct lead *l, uint64_t late)
{
	l->late[l->next] = late;
	l->next = (l->next + 1) % LEAD_SAMPLES;
}

uint64_t lead_ticks(const struct lead *l, uint64_t max)
{
	uint64_t first = 0, second = 0;

	for (unsigned i = 0; i < LEAD_SAMPLES; i++) {
		if (l->late[i] > first) {
			second = first;
			first = l->late[i];
		} else if (l->late[i] > second) {
			second = l->late[i];
		}
	}
	return second < max ? second : max;
}
