// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The statistics registers (8254x manual, 13.7; 82574 datasheet, 10.2.9) clear when they are read.
 * What the hypervisor reads for an image is kept and added when the guest reads. A pair's low half
 * is read first, and its high half clears both.
 */
#include "hv/nic_internal.h"

#define FIRST 0x4000u
#define MPC   4 /* missed packets: index */

static const uint16_t pairs[] = {0x4088, 0x4090, 0x40c0, 0x40c8}; /* GORC, GOTC, TOR, TOT */

/* The low half's index of the pair that the register is in; -1: none. */
static int pair_of(unsigned index)
{
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if ((index & ~1u) == (pairs[i] - FIRST) / 4)
			return (int)(index & ~1u);
	return -1;
}

static void collect_pair(struct nic *n, unsigned low)
{
	uint64_t kept = (uint64_t)n->statistics[low + 1] << 32 | n->statistics[low];
	uint64_t v = get(n, FIRST + 4 * low);

	v |= (uint64_t)get(n, FIRST + 4 * low + 4) << 32;
	kept += v;
	n->statistics[low] = (uint32_t)kept;
	n->statistics[low + 1] = (uint32_t)(kept >> 32);
}

static uint32_t collect(struct nic *n, unsigned index)
{
	uint32_t v = get(n, FIRST + 4 * index);

	if (__builtin_add_overflow(n->statistics[index], v, &n->statistics[index]))
		n->statistics[index] = UINT32_MAX; /* they stick at their largest */
	return v;
}

uint32_t nic_statistics_missed(struct nic *n)
{
	return collect(n, MPC);
}

void nic_statistics_collect(struct nic *n)
{
	for (unsigned i = 0; i < NIC_STATISTICS; i++) {
		if (pair_of(i) < 0)
			(void)collect(n, i);
		else if (pair_of(i) == (int)i)
			collect_pair(n, i);
	}
}

/* What the card has counted itself since its reset. */
void nic_statistics_forget(struct nic *n)
{
	for (unsigned i = 0; i < NIC_STATISTICS; i++)
		(void)get(n, FIRST + 4 * i);
}

uint32_t nic_statistics_read(struct nic *n, unsigned reg)
{
	unsigned i = (reg - FIRST) / 4;
	uint32_t v;
	int low;

	if (i >= NIC_STATISTICS)
		return get(n, reg);
	low = pair_of(i);
	if (low < 0)
		(void)collect(n, i);
	else
		collect_pair(n, (unsigned)low);
	v = n->statistics[i];
	if (low < 0 || (unsigned)low != i)
		n->statistics[i] = 0;
	if (low >= 0 && (unsigned)low != i)
		n->statistics[low] = 0;
	return v;
}
