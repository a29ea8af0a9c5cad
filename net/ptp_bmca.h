/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The best master clock algorithm, IEEE 1588-2008 9.3, for a clock with one port. Pure. */
#pragma once
#include "net/ptp_clock.h"

/* An Announce of another clock. */
void ptp_foreign_heard(struct ptp_clock *p, const struct ptp_message *m, uint64_t now);
/* The best of those that were heard twice in four of their intervals; NULL. */
const struct ptp_foreign *ptp_foreign_best(const struct ptp_clock *p, uint64_t now);
/* Figures 27 and 28. Negative: `a` is better. */
int ptp_compare(const struct ptp_quality *a, const struct ptp_identity *a_port,
		const struct ptp_quality *b, const struct ptp_identity *b_port);
struct ptp_quality ptp_own_quality(const struct ptp_clock *p);
