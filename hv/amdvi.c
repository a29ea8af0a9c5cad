// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/amdvi.h"
#include <errno.h>

enum { /* registers (3.4) */
       DEVICE_TABLE = 0x0000,
       COMMAND_BUFFER = 0x0008,
       EVENT_LOG = 0x0010,
       CONTROL = 0x0018,
       EXCLUSION_BASE = 0x0020, /* with its enable bit */
       EXCLUSION_LIMIT = 0x0028,
       EXTENDED_FEATURE = 0x0030,
       COMMAND_HEAD = 0x2000,
       COMMAND_TAIL = 0x2008,
       EVENT_HEAD = 0x2010,
       EVENT_TAIL = 0x2018,
       STATUS = 0x2020,
};
#define BUFFER_PAGE  (8ull << 56) /* 256 entries of 16 bytes */
#define BUFFER_BYTES 4096u
#define ENTRY_BYTES  16u

#define CONTROL_IOMMU_EN     (1ull << 0)
#define CONTROL_HT_TUN_EN    (1ull << 1)
#define CONTROL_EVENT_LOG_EN (1ull << 2)
#define CONTROL_EVENT_INT_EN (1ull << 3)
#define CONTROL_PASS_PW	     (1ull << 8)
#define CONTROL_RES_PASS_PW  (1ull << 9)
#define CONTROL_COHERENT     (1ull << 10)
#define CONTROL_ISOC	     (1ull << 11)
#define CONTROL_CMD_BUF_EN   (1ull << 12)
#define FEATURE_IA_SUP	     (1ull << 6) /* INVALIDATE_IOMMU_ALL */
#define FEATURE_HATS(f)	     ((f) >> 10 & 3)
#define HATS_NONE	     3 /* no host page tables; else 4 levels and more */
#define STATUS_OVERFLOW	     (1ull << 0)
#define STATUS_EVENT_INT     (1ull << 1)
#define STATUS_EVENT_RUN     (1ull << 3)
#define STATUS_COMMAND_RUN   (1ull << 4)
#define CAPABILITY_EFR_SUP   (1u << 27) /* of its function: there is EXTENDED_FEATURE */

/* flags of the IVHD (5.2.2.1) */
#define IVHD_HT_TUN_EN	 (1u << 0)
#define IVHD_PASS_PW	 (1u << 1)
#define IVHD_RES_PASS_PW (1u << 2)
#define IVHD_ISOC	 (1u << 3)
#define IVHD_COHERENT	 (1u << 5)

#define PCI_CAP_MSI 0x05
#define WAIT_US	    100000u
#define STEP_US	    10u
#define WRITTEN_US  1000u /* the log's tail may be there before the entry is */
#define CLEARINGS   8u	  /* of a status bit that the unit sets again meanwhile */

/* --- tables (2.2.2, 2.2.3) --- */

#define PR	 (1ull << 0)
#define LARGE	 (1ull << 7) /* ignored by the unit, which goes by NEXT_LEVEL 0; see npt_map_page */
#define LEVEL(n) ((uint64_t)(n) << 9)
#define FC	 (1ull << 60) /* coherent, whatever the device says of snooping */
#define IR	 (1ull << 61)
#define IW	 (1ull << 62)

#define DTE_V	   (1ull << 0)
#define DTE_TV	   (1ull << 1)
#define SYS_MGT(s) ((uint64_t)((s) >> 4 & 3) << 40)
/* INITPass, EIntPass, NMIPass, Lint0Pass, Lint1Pass. Without a table for remapping (IV) other
 * interrupts pass. */
#define INT_PASS(s) ((uint64_t)((s)&0xc7) << 56)

static uint64_t leaf(uint64_t hpa, unsigned level, uint8_t type, bool exec, bool write)
{
	(void)type;
	(void)exec;
	return hpa | PR | FC | IR | (write ? IW : 0) | (level > 1 ? LARGE : 0);
}

static uint64_t table(uint64_t hpa, unsigned level)
{
	return hpa | PR | LEVEL(level) | IR | IW;
}

const struct npt_format amdvi_format = {.leaf = leaf, .table = table, .has_1g = true};

void amdvi_device_entry(uint64_t entry[4], uint64_t table_hpa, bool reaches, uint16_t domain,
			uint8_t settings)
{
	/* Where interrupts travel as writes (SysMgt 1) early units want IW: the table denies. */
	uint64_t rights = reaches ? IR | IW : SYS_MGT(settings) == SYS_MGT(1u << 4) ? IW : 0;

	entry[0] = DTE_V | DTE_TV | LEVEL(AMDVI_LEVELS) | table_hpa | rights;
	entry[1] = domain | SYS_MGT(settings);
	entry[2] = INT_PASS(settings);
	entry[3] = 0;
}

/* --- registers --- */

static uint64_t get(const struct amdvi *u, unsigned reg)
{
	return *(volatile uint64_t *)(u->regs + reg);
}

static void put(const struct amdvi *u, unsigned reg, uint64_t v)
{
	*(volatile uint64_t *)(u->regs + reg) = v;
}

static uint64_t control_for(uint8_t flags)
{
	return (flags & IVHD_HT_TUN_EN ? CONTROL_HT_TUN_EN : 0) |
	       (flags & IVHD_PASS_PW ? CONTROL_PASS_PW : 0) |
	       (flags & IVHD_RES_PASS_PW ? CONTROL_RES_PASS_PW : 0) |
	       (flags & IVHD_ISOC ? CONTROL_ISOC : 0) |
	       (flags & IVHD_COHERENT ? CONTROL_COHERENT : 0);
}

static int await_stopped(const struct amdvi *u, uint64_t bits)
{
	for (unsigned us = 0; us < WAIT_US; us += STEP_US) {
		if (!(get(u, STATUS) & bits))
			return 0;
		tsc_delay_us(STEP_US);
	}
	return -ETIMEDOUT;
}

static bool is_able(const struct amdvi *u, uint16_t capability)
{
	uint64_t features;

	if (!(host_pci_get(u->at, capability, 4) & CAPABILITY_EFR_SUP))
		return false;
	features = get(u, EXTENDED_FEATURE);
	return features & FEATURE_IA_SUP && FEATURE_HATS(features) != HATS_NONE;
}

int amdvi_init(struct amdvi *u, volatile void *regs, struct host_pci at, uint16_t capability,
	       uint8_t flags)
{
	int err;

	*u = (struct amdvi){.regs = regs, .at = at, .control = control_for(flags)};
	if (get(u, CONTROL) == UINT64_MAX)
		return -ENODEV;
	put(u, CONTROL, 0);
	err = await_stopped(u, STATUS_EVENT_RUN | STATUS_COMMAND_RUN);
	if (err)
		return err;
	put(u, EXCLUSION_BASE, 0);
	put(u, EXCLUSION_LIMIT, 0);
	if (!is_able(u, capability))
		return -ENOTSUP;
	u->commands = pages_alloc(1);
	u->log = pages_alloc(1);
	return u->commands && u->log ? 0 : -ENOMEM;
}

/* --- commands (2.4) --- */

#define COMMAND(code)	 ((uint64_t)(code) << 60)
#define COMPLETION_WAIT	 1u
#define INVALIDATE_ALL	 8u
#define COMPLETION_STORE 1ull
#define LAST		 (BUFFER_BYTES / ENTRY_BYTES - 1) /* never reached: the end is told there */
#define DONE		 1u

static uint64_t physical(const volatile void *p)
{
	return virt_to_phys((const void *)(uintptr_t)p).v;
}

static int invalidate_all(const struct amdvi *u)
{
	volatile uint64_t(*c)[2] = u->commands;

	c[0][0] = COMMAND(INVALIDATE_ALL);
	c[0][1] = 0;
	c[1][0] = COMMAND(COMPLETION_WAIT) | physical(&c[LAST]) | COMPLETION_STORE;
	c[1][1] = DONE;
	c[LAST][0] = 0;
	wbinvd();
	put(u, COMMAND_TAIL, 2ull * ENTRY_BYTES);
	for (unsigned us = 0; us < WAIT_US; us += STEP_US) {
		if (c[LAST][0] == DONE)
			return 0;
		tsc_delay_us(STEP_US);
	}
	return -ETIMEDOUT;
}

int amdvi_start(struct amdvi *u, uint64_t table_hpa)
{
	int err;

	wbinvd(); /* without CONTROL_COHERENT it reads the tables past the caches */
	put(u, DEVICE_TABLE, table_hpa | (AMDVI_TABLE_BYTES / PAGE_SIZE - 1));
	put(u, COMMAND_BUFFER, physical(u->commands) | BUFFER_PAGE);
	put(u, COMMAND_HEAD, 0);
	put(u, COMMAND_TAIL, 0);
	put(u, EVENT_LOG, physical(u->log) | BUFFER_PAGE);
	put(u, EVENT_HEAD, 0);
	put(u, EVENT_TAIL, 0);
	put(u, STATUS, STATUS_OVERFLOW | STATUS_EVENT_INT);
	u->control |= CONTROL_IOMMU_EN | CONTROL_CMD_BUF_EN | CONTROL_EVENT_LOG_EN;
	put(u, CONTROL, u->control);
	err = invalidate_all(u);
	if (err)
		amdvi_stop(u);
	return err;
}

void amdvi_stop(const struct amdvi *u)
{
	put(u, CONTROL, 0);
}

/* --- events (2.5) --- */

enum { ILLEGAL_DEV_TABLE_ENTRY = 1, IO_PAGE_FAULT = 2, INVALID_DEVICE_REQUEST = 8 };
#define EVENT_CODE(e) ((uint8_t)((e) >> 60))
#define EVENT_RW      (1ull << 53) /* it wanted to write */

void amdvi_fault_interrupt(const struct amdvi *u, uint8_t vector, uint32_t apic_id)
{
	unsigned cap = host_pci_capability(u->at, PCI_CAP_MSI);

	if (cap) /* else events are found when another unit's are */
		host_msi_enable(u->at, cap, vector, apic_id);
}

void amdvi_fault_mask(struct amdvi *u, bool masked)
{
	if (masked)
		u->control &= ~CONTROL_EVENT_INT_EN;
	else
		u->control |= CONTROL_EVENT_INT_EN;
	put(u, CONTROL, u->control);
}

/* Only a bit that was clear raises the interrupt. */
static void clear_status(const struct amdvi *u, uint64_t bits)
{
	for (unsigned i = 0; i < CLEARINGS && get(u, STATUS) & bits; i++)
		put(u, STATUS, bits);
}

/* What is recorded from now on raises an interrupt, unless it is masked. */
static void acknowledge(const struct amdvi *u)
{
	clear_status(u, STATUS_EVENT_INT);
	if (!(get(u, STATUS) & STATUS_OVERFLOW))
		return;
	/* it records no more before this is done */
	put(u, CONTROL, u->control & ~CONTROL_EVENT_LOG_EN);
	(void)await_stopped(u, STATUS_EVENT_RUN);
	clear_status(u, STATUS_OVERFLOW);
	put(u, CONTROL, u->control);
}

static bool is_empty(const struct amdvi *u)
{
	return u->log_head == (get(u, EVENT_TAIL) & (BUFFER_BYTES - ENTRY_BYTES));
}

static struct iommu_fault decode(const volatile uint64_t e[2])
{
	uint8_t code = EVENT_CODE(e[0]);

	return (struct iommu_fault){.unit = code != ILLEGAL_DEV_TABLE_ENTRY &&
					    code != IO_PAGE_FAULT && code != INVALID_DEVICE_REQUEST,
				    .id = (uint16_t)e[0],
				    .reason = code,
				    .read = !(e[0] & EVENT_RW),
				    .address = e[1] & ~0xfffull};
}

bool amdvi_fault_next(struct amdvi *u, struct iommu_fault *f, bool *lost)
{
	volatile uint64_t *e = u->log[u->log_head / ENTRY_BYTES];

	*lost |= get(u, STATUS) & STATUS_OVERFLOW;
	if (is_empty(u))
		acknowledge(u);
	if (is_empty(u))
		return false;
	for (unsigned us = 0; !e[0]; us++) {
		if (us == WRITTEN_US)
			return false; /* next time */
		tsc_delay_us(1);
	}
	*f = decode(e);
	e[0] = e[1] = 0;
	u->log_head = (u->log_head + ENTRY_BYTES) % BUFFER_BYTES;
	put(u, EVENT_HEAD, u->log_head);
	return true;
}
