// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/ptp_bmca.h"
#include <string.h>

#define WINDOW_INTERVALS 4 /* FOREIGN_MASTER_TIME_WINDOW */
#define STEPS_MAX	 255

struct ptp_quality ptp_own_quality(const struct ptp_clock *p)
{
	struct ptp_quality q = {
		.priority1 = p->config.priority1,
		.class = p->config.class,
		.accuracy = p->config.accuracy,
		.variance = p->config.variance,
		.priority2 = p->config.priority2,
	};

	memcpy(q.grandmaster, p->config.identity, sizeof(q.grandmaster));
	return q;
}

int ptp_compare(const struct ptp_quality *a, const struct ptp_identity *a_port,
		const struct ptp_quality *b, const struct ptp_identity *b_port)
{
	int same = memcmp(a->grandmaster, b->grandmaster, sizeof(a->grandmaster));

	if (same != 0) {
		if (a->priority1 != b->priority1)
			return a->priority1 - b->priority1;
		if (a->class != b->class)
			return a->class - b->class;
		if (a->accuracy != b->accuracy)
			return a->accuracy - b->accuracy;
		if (a->variance != b->variance)
			return a->variance - b->variance;
		if (a->priority2 != b->priority2)
			return a->priority2 - b->priority2;
		return same;
	}
	if (a->steps_removed != b->steps_removed)
		return a->steps_removed - b->steps_removed;
	same = memcmp(a_port->clock, b_port->clock, sizeof(a_port->clock));
	return same ? same : a_port->port - b_port->port;
}

static bool qualified(const struct ptp_foreign *f, uint64_t now)
{
	uint64_t window = WINDOW_INTERVALS * ptp_interval(f->log_interval);

	return f->heard[1] && now - f->heard[1] <= window + ptp_interval(f->log_interval);
}

static struct ptp_foreign *find(struct ptp_clock *p, const struct ptp_identity *port)
{
	struct ptp_foreign *oldest = &p->foreign[0];

	for (unsigned i = 0; i < PTP_FOREIGN_MASTERS; i++) {
		struct ptp_foreign *f = &p->foreign[i];

		if (f->heard[0] && ptp_same_port(&f->port, port))
			return f;
		if (f->heard[0] < oldest->heard[0])
			oldest = f;
	}
	*oldest = (struct ptp_foreign){.port = *port};
	return oldest;
}

void ptp_foreign_heard(struct ptp_clock *p, const struct ptp_message *m, uint64_t now)
{
	struct ptp_foreign *f;

	if (m->quality.steps_removed >= STEPS_MAX || (m->flags & PTP_ALTERNATE_MASTER))
		return;
	f = find(p, &m->source);
	if (f->heard[0] && m->sequence == f->sequence) /* the network has repeated it */
		return;
	f->heard[1] = f->heard[0];
	f->heard[0] = now;
	f->sequence = m->sequence;
	f->log_interval = m->log_interval;
	f->quality = m->quality;
}

const struct ptp_foreign *ptp_foreign_best(const struct ptp_clock *p, uint64_t now)
{
	const struct ptp_foreign *best = NULL;

	for (unsigned i = 0; i < PTP_FOREIGN_MASTERS; i++) {
		const struct ptp_foreign *f = &p->foreign[i];

		if (qualified(f, now) &&
		    (!best || ptp_compare(&f->quality, &f->port, &best->quality, &best->port) < 0))
			best = f;
	}
	return best;
}
