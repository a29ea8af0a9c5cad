// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/vtd.h"
#include <errno.h>
#include "arch/x86_64/arch.h"

enum { /* registers (11.4) */
       VER = 0x00,
       CAP = 0x08,
       ECAP = 0x10,
       GCMD = 0x18,
       GSTS = 0x1c,
       RTADDR = 0x20,
       FSTS = 0x34,
       FECTL = 0x38,
       FEDATA = 0x3c,
       FEADDR = 0x40,
       FEUADDR = 0x44,
       PMEN = 0x64,
       IQT = 0x88,
       IQA = 0x90,
};
#define CAP_RWBF     (1ull << 4)
#define CAP_SAGAW_3  (1ull << 9)  /* 3-level tables, 39 bits */
#define CAP_SAGAW_4  (1ull << 10) /* 4-level tables, 48 bits */
#define CAP_FRO(c)   (((c) >> 24 & 0x3ff) * 16)
#define CAP_SLLPS_2M (1ull << 34)
#define CAP_SLLPS_1G (1ull << 35)
#define CAP_NFR(c)   (((c) >> 40 & 0xff) + 1)
#define ECAP_QI	     (1ull << 1)

/* commands, and the status bits of the same numbers */
#define G_TE	     (1u << 31)
#define G_RTP	     (1u << 30)
#define G_WBF	     (1u << 27)
#define G_QIE	     (1u << 26)
#define G_IRE	     (1u << 25)
#define G_KEPT	     0x96ffffffu /* of the status: the others are done once (11.4.4.1) */
#define PMEN_PRS     (1u << 0)
#define FSTS_PFO     (1u << 0)
#define FSTS_CLEARED 0x7du /* all that are cleared by writing 1 */
#define FECTL_IM     (1u << 31)

/* a fault record (11.4.14): address, source, and in its last word */
#define FAULT_BYTES	16ull
#define FAULT_F		(1u << 31) /* cleared by writing 1 */
#define FAULT_READ	(1u << 30)
#define FAULT_REASON(w) ((uint8_t)(w))

#define WAIT_US 100000u
#define STEP_US 10u

/* --- tables (9.1, 9.3, 9.8) --- */

#define PRESENT	 1ull
#define READABLE 1ull
#define WRITABLE 2ull
#define LARGE	 (1ull << 7)

void vtd_root_entry(uint64_t entry[2], uint64_t context_hpa)
{
	entry[0] = context_hpa | PRESENT;
	entry[1] = 0;
}

void vtd_context_entry(uint64_t entry[2], uint64_t table_hpa, unsigned levels, uint16_t domain)
{
	entry[0] = table_hpa | PRESENT; /* translation type 0: what the device has translated by
					   itself is refused */
	entry[1] = (levels - 2) | (uint64_t)domain << 8;
}

static uint64_t leaf(uint64_t hpa, unsigned level, uint8_t type, bool exec, bool write)
{
	(void)type;
	(void)exec;
	return hpa | READABLE | (write ? WRITABLE : 0) | (level > 1 ? LARGE : 0);
}

static uint64_t table(uint64_t hpa, unsigned level)
{
	(void)level;
	return hpa | READABLE | WRITABLE;
}

const struct npt_format vtd_format = {.leaf = leaf, .table = table};

/* --- registers --- */

static uint32_t read32(const struct vtd *u, unsigned reg)
{
	return *(volatile uint32_t *)(u->regs + reg);
}

static void write32(const struct vtd *u, unsigned reg, uint32_t v)
{
	*(volatile uint32_t *)(u->regs + reg) = v;
}

static uint64_t read64(const struct vtd *u, unsigned reg)
{
	return *(volatile uint64_t *)(u->regs + reg);
}

static void write64(const struct vtd *u, unsigned reg, uint64_t v)
{
	*(volatile uint64_t *)(u->regs + reg) = v;
}

static int wait_for(const struct vtd *u, unsigned reg, uint32_t bit, bool set)
{
	for (unsigned us = 0; us < WAIT_US; us += STEP_US) {
		if (!!(read32(u, reg) & bit) == set)
			return 0;
		tsc_delay_us(STEP_US);
	}
	return -ETIMEDOUT;
}

/* One at a time, and what is on stays on. */
static int command(const struct vtd *u, uint32_t bit, bool set)
{
	uint32_t now = read32(u, GSTS) & G_KEPT;

	write32(u, GCMD, set ? now | bit : now & ~bit);
	return wait_for(u, GSTS, bit, set && bit != G_WBF);
}

bool vtd_has_1g(const struct vtd *u)
{
	return u->cap & CAP_SLLPS_1G;
}

unsigned vtd_levels(const struct vtd *u)
{
	return u->cap & CAP_SAGAW_4 ? 4 : 3;
}

/* Off with what the firmware may have set up, which would stop our devices' DMA and messages: its
 * own protection from DMA, too. */
static int take_over(const struct vtd *u)
{
	static const uint32_t off[] = {G_TE, G_IRE, G_QIE};
	int err = 0;

	for (unsigned i = 0; i < sizeof(off) / sizeof(off[0]) && !err; i++)
		if (read32(u, GSTS) & off[i])
			err = command(u, off[i], false);
	if (!err && read32(u, PMEN) & PMEN_PRS) {
		write32(u, PMEN, 0);
		err = wait_for(u, PMEN, PMEN_PRS, false);
	}
	return err;
}

int vtd_init(struct vtd *u, volatile void *regs)
{
	int err;

	*u = (struct vtd){.regs = regs};
	u->cap = read64(u, CAP);
	u->ecap = read64(u, ECAP);
	if (u->cap == UINT64_MAX)
		return -ENODEV;
	err = take_over(u);
	if (err)
		return err;
	if (!(u->cap & (CAP_SAGAW_3 | CAP_SAGAW_4)) || !(u->ecap & ECAP_QI) ||
	    !(u->cap & CAP_SLLPS_2M))
		return -ENOTSUP;
	u->queue = pages_alloc(1);
	return u->queue ? 0 : -ENOMEM;
}

/* --- invalidation, by queue (6.5.2) --- */

#define INV_CONTEXT 0x1u
#define INV_IOTLB   0x2u
#define INV_WAIT    0x5u
#define INV_GLOBAL  (1u << 4)
#define INV_DRAIN   (3u << 6) /* writes and reads that are under way */
#define WAIT_STATUS (1u << 5)
#define ENTRIES	    3u
#define LAST	    255u /* of the page; in its place, for it is never reached: the end is told */
#define DONE	    1u

static int invalidate_all(const struct vtd *u)
{
	volatile struct vtd_invalidation *q = u->queue;
	uint64_t hpa = virt_to_phys((const void *)(uintptr_t)q).v;
	int err;

	q[0].type = INV_CONTEXT | INV_GLOBAL;
	q[1].type = INV_IOTLB | INV_GLOBAL | INV_DRAIN;
	q[2].type = INV_WAIT | WAIT_STATUS;
	q[2].data = DONE;
	q[2].address = hpa + LAST * sizeof(q[0]);
	q[LAST].type = 0;
	wbinvd();
	write64(u, IQT, 0);
	write64(u, IQA, hpa);
	err = command(u, G_QIE, true);
	if (err)
		return err;
	write64(u, IQT, ENTRIES * sizeof(q[0]));
	for (unsigned us = 0; us < WAIT_US; us += STEP_US) {
		if (q[LAST].type == DONE)
			return 0;
		tsc_delay_us(STEP_US);
	}
	return -ETIMEDOUT;
}

int vtd_start(struct vtd *u, uint64_t root_hpa)
{
	int err = 0;

	wbinvd(); /* it may read the tables past the caches (ECAP.C) */
	if (u->cap & CAP_RWBF)
		err = command(u, G_WBF, true);
	write64(u, RTADDR, root_hpa);
	if (!err)
		err = command(u, G_RTP, true);
	if (!err)
		err = invalidate_all(u);
	if (!err)
		err = command(u, G_TE, true);
	if (err)
		vtd_stop(u);
	return err;
}

void vtd_stop(const struct vtd *u)
{
	(void)command(u, G_TE, false);
}

/* --- faults (7.3) --- */

void vtd_fault_interrupt(const struct vtd *u, uint8_t vector, uint32_t apic_id)
{
	write32(u, FEDATA, vector);
	write32(u, FEADDR, HOST_MSI_ADDRESS(apic_id));
	write32(u, FEUADDR, 0);
}

void vtd_fault_mask(const struct vtd *u, bool masked)
{
	write32(u, FECTL, masked ? FECTL_IM : 0);
	(void)read32(u, FECTL); /* it has got there */
}

bool vtd_fault_next(const struct vtd *u, struct iommu_fault *f, bool *lost)
{
	*lost |= read32(u, FSTS) & FSTS_PFO;
	for (unsigned i = 0; i < CAP_NFR(u->cap); i++) {
		unsigned reg = (unsigned)(CAP_FRO(u->cap) + i * FAULT_BYTES);
		uint32_t last = read32(u, reg + 12), source;

		if (!(last & FAULT_F))
			continue;
		source = read32(u, reg + 8);
		*f = (struct iommu_fault){.id = (uint16_t)source,
					  .reason = FAULT_REASON(last),
					  .read = last & FAULT_READ,
					  .address = read64(u, reg) & ~0xfffull};
		write32(u, reg + 12, FAULT_F);
		return true;
	}
	write32(u, FSTS, FSTS_CLEARED);
	return false;
}
