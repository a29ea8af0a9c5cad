/* build: hv/amdvi.c hv/npt.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One AMD IOMMU: its tables, read as the manual says, how it is started, and what it records. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/amdvi.h"
#include "hv/memmap.h"
#include "test/unit/check.h"

#define DEVICE_TABLE 0x0000u
#define COMMANDS     0x0008u
#define LOG	     0x0010u
#define CONTROL	     0x0018u
#define EXCLUSION    0x0020u
#define FEATURES     0x0030u
#define COMMAND_HEAD 0x2000u
#define COMMAND_TAIL 0x2008u
#define LOG_HEAD     0x2010u
#define LOG_TAIL     0x2018u
#define STATUS	     0x2020u
#define IA_SUP	     (1ull << 6)
#define ADDRESS	     0x000ffffffffff000ull
#define PAGES_MAX    64u

/* --- a unit that does what it is told when somebody waits for it --- */

static uint64_t regs[AMDVI_BYTES / 8];
static void *pages[PAGES_MAX];
static unsigned n_pages, invalidated, flushed, msi_vector;
static bool deaf;
static uint32_t capability; /* of the unit's function */
static unsigned waited_us;

static uint64_t *reg(unsigned offset)
{
	return &regs[offset / 8];
}

void *pages_alloc(size_t count)
{
	void *p = n_pages < PAGES_MAX ? aligned_alloc(PAGE_SIZE, count * PAGE_SIZE) : NULL;

	if (p)
		pages[n_pages++] = memset(p, 0, count * PAGE_SIZE);
	return p;
}

hpa_t virt_to_phys(const void *p)
{
	return (hpa_t){(uintptr_t)p};
}

void wbinvd(void)
{
	flushed++;
}

uint32_t host_pci_get(struct host_pci p, unsigned offset, unsigned size)
{
	CHECK(p.fn == 2 && offset == 0x40 && size == 4);
	return capability;
}

unsigned host_pci_capability(struct host_pci p, uint8_t id)
{
	return p.fn == 2 && id == 5 ? 0x48 : 0;
}

void host_msi_enable(struct host_pci p, unsigned cap, uint8_t vector, uint32_t apic_id)
{
	CHECK(p.fn == 2 && cap == 0x48 && apic_id == 3);
	msi_vector = vector;
}

void tsc_delay_us(uint64_t us)
{
	const uint64_t(*c)[2] = (void *)(*reg(COMMANDS) & ADDRESS);

	waited_us += (unsigned)us;
	/* IommuEn and CmdBufEn; a buffer of 256 entries */
	if (deaf || (*reg(CONTROL) & 0x1001) != 0x1001 || *reg(COMMANDS) >> 56 != 8)
		return;
	for (; *reg(COMMAND_HEAD) != *reg(COMMAND_TAIL);
	     *reg(COMMAND_HEAD) = (*reg(COMMAND_HEAD) + 16) % 4096) {
		const uint64_t *x = c[*reg(COMMAND_HEAD) / 16];

		if (x[0] >> 60 == 8) {
			invalidated++;
			continue;
		}
		CHECK_EQ(x[0] >> 60, 1);
		CHECK(x[0] & 1);
		*(uint64_t *)(x[0] & 0xffffffffffff8ull) = x[1];
	}
}

static struct amdvi unit;
static int begin(uint64_t features, uint8_t flags)
{
	while (n_pages)
		free(pages[--n_pages]);
	memset(regs, 0, sizeof(regs));
	*reg(FEATURES) = features;
	*reg(CONTROL) = *reg(EXCLUSION) = *reg(EXCLUSION + 8) = 1; /* the firmware's */
	capability = 1u << 27;
	invalidated = flushed = msi_vector = 0;
	deaf = false;
	return amdvi_init(&unit, (volatile void *)regs, (struct host_pci){0, 0, 2}, 0x40, flags);
}

/* --- starting --- */

static void is_taken_over_and_started(void)
{
	CHECK_EQ(begin(IA_SUP, 0x2f), 0);
	CHECK_EQ(*reg(CONTROL), 0);
	CHECK_EQ(*reg(EXCLUSION), 0);
	CHECK_EQ(*reg(EXCLUSION + 8), 0);
	CHECK_EQ(amdvi_start(&unit, 0x12345000), 0);
	CHECK_EQ(*reg(STATUS) & 3, 3); /* written: what was there is cleared */
	CHECK_EQ(*reg(DEVICE_TABLE), 0x12345000 | 511);
	CHECK_EQ(*reg(CONTROL), 0x1f07); /* as the flags say; commands, events, translation */
	CHECK_EQ(invalidated, 1);
	CHECK(flushed);
	CHECK_EQ(*reg(LOG) >> 56, 8);
}

static void what_can_not_be_used_is_told(void)
{
	CHECK_EQ(begin(3ull << 10 | IA_SUP, 0), -ENOTSUP); /* no host page tables */
	CHECK_EQ(begin(0, 0), -ENOTSUP);
	CHECK_EQ(*reg(CONTROL), 0);
	CHECK_EQ(begin(IA_SUP, 0), 0);
	capability = 0; /* no features that could be read */
	CHECK_EQ(amdvi_init(&unit, (volatile void *)regs, (struct host_pci){0, 0, 2}, 0x40, 0),
		 -ENOTSUP);
	CHECK_EQ(begin(IA_SUP, 0), 0);
	*reg(STATUS) = 1 << 3; /* it does not stop */
	CHECK_EQ(amdvi_init(&unit, (volatile void *)regs, (struct host_pci){0, 0, 2}, 0x40, 0),
		 -ETIMEDOUT);
	memset(regs, 0xff, sizeof(regs));
	CHECK_EQ(amdvi_init(&unit, (volatile void *)regs, (struct host_pci){0, 0, 2}, 0x40, 0),
		 -ENODEV);
	CHECK_EQ(begin(IA_SUP, 0), 0);
	deaf = true;
	CHECK_EQ(amdvi_start(&unit, 0x12345000), -ETIMEDOUT);
	CHECK_EQ(*reg(CONTROL), 0);
}

/* --- tables --- */

static void *table_page(void *ctx, uint64_t *hpa)
{
	void *p = pages_alloc(1);

	(void)ctx;
	*hpa = (uintptr_t)p;
	return p;
}

static void *table_virt(void *ctx, uint64_t hpa)
{
	(void)ctx;
	return (void *)hpa;
}

static const struct npt_alloc memory = {table_page, table_virt, NULL};

/* 2.2.3: an entry says of which level the next table is; 0: none, it is a page. Only what every
 * entry on the way allows is allowed. */
static bool reaches(const uint64_t dte[4], uint64_t at, bool write, uint64_t *hpa)
{
	uint64_t e = dte[0];
	unsigned level = e >> 9 & 7, above;

	if ((e & 3) != 3)
		return false;
	do {
		if (!(e & 1) || !(e >> (write ? 62 : 61) & 1))
			return false;
		e = ((const uint64_t *)(e & ADDRESS))[at >> (12 + 9 * (level - 1)) & 511];
		above = level;
		level = e >> 9 & 7;
		CHECK(level < above);
	} while (level);
	if (!(e & 1) || !(e >> (write ? 62 : 61) & 1))
		return false;
	*hpa = (e & ADDRESS) | (at & ((1ull << (12 + 9 * (above - 1))) - 1));
	return true;
}

static void tables_lead_where_the_map_says(void)
{
	static struct guest_map m;
	uint64_t root = 0, hpa = 0, dte[4];

	CHECK_EQ(begin(IA_SUP, 0), 0);
	m.n = 3;
	m.range[0] = (struct guest_range){.gpa = 0, .hpa = 0, .size = 0x9f000, .type = MT_WB};
	m.range[1] = (struct guest_range){
		.gpa = 0x200000, .hpa = 0x8200000, .size = 0x3fe00000, .type = MT_WB};
	m.range[2] = (struct guest_range){
		.gpa = 1ull << 32, .hpa = 2ull << 32, .size = 2ull << 30, .type = MT_WB};
	CHECK_EQ(npt_build(&m, &amdvi_format, &memory, &root), 0);
	CHECK_EQ(npt_map_page(root, 0xfe000000, 0x5000, MT_WB, &amdvi_format, &memory), 0);
	amdvi_device_entry(dte, root, true, 3, 0);
	CHECK_EQ(dte[1] & 0xffff, 3);
	CHECK(reaches(dte, 0x1234, false, &hpa) && hpa == 0x1234);
	CHECK(reaches(dte, 0x234567, true, &hpa) && hpa == 0x8234567);
	CHECK(reaches(dte, (1ull << 32) + 0x7654321f, true, &hpa) &&
	      hpa == (2ull << 32) + 0x7654321f);
	CHECK(reaches(dte, 0xfe000abc, true, &hpa) && hpa == 0x5abc);
	CHECK(!reaches(dte, 0x9f000, false, &hpa));
	CHECK(!reaches(dte, 0x40000000, false, &hpa));
	CHECK(!reaches(dte, (1ull << 32) + (2ull << 30), true, &hpa));
	CHECK(!reaches(dte, 0xfe001000, true, &hpa));
	amdvi_device_entry(dte, root, false, 0, 0xd7);
	CHECK(!reaches(dte, 0x1234, false, &hpa));
	CHECK_EQ(dte[0] >> 61 & 3, 2); /* SysMgt 1: IW, and nothing of it */
	CHECK_EQ(dte[2] >> 56, 0xc7);  /* INITPass to NMIPass, Lint0Pass, Lint1Pass */
	CHECK_EQ(dte[1] >> 40 & 3, 1);
	CHECK_EQ(dte[2] & 1, 0); /* interrupts are not remapped */
}

/* --- events --- */

static void record_code(unsigned code, uint16_t id, bool write, uint64_t address)
{
	uint64_t(*log)[2] = (void *)(*reg(LOG) & ADDRESS), *e = log[*reg(LOG_TAIL) / 16];
	uint64_t next = (*reg(LOG_TAIL) + 16) % 4096;

	if (next == *reg(LOG_HEAD)) {
		*reg(STATUS) |= 1;
		return;
	}
	e[0] = (uint64_t)code << 60 | (uint64_t)write << 53 | id;
	e[1] = address;
	*reg(LOG_TAIL) = next;
	*reg(STATUS) |= 2;
}

static void record(uint16_t id, bool write, uint64_t address)
{
	record_code(2, id, write, address);
}

/* A register of memory keeps what a real one clears. */
static void begin_log(void)
{
	CHECK_EQ(begin(IA_SUP, 0), 0);
	CHECK_EQ(amdvi_start(&unit, 0x12345000), 0);
	*reg(STATUS) = 0;
}

static void events_are_told_one_by_one(void)
{
	struct iommu_fault f;
	bool lost = false;

	begin_log();
	amdvi_fault_interrupt(&unit, 0x51, 3);
	CHECK_EQ(msi_vector, 0x51);
	CHECK(!(*reg(CONTROL) & 8));
	amdvi_fault_mask(&unit, false);
	CHECK(*reg(CONTROL) & 8);
	amdvi_fault_mask(&unit, true);
	CHECK(!(*reg(CONTROL) & 8) && *reg(CONTROL) & 1);
	CHECK(!amdvi_fault_next(&unit, &f, &lost));
	for (unsigned round = 0; round < 300; round++) { /* more than the log has room for */
		record(0x0210, round & 1, 0x8000123 + 0x1000ull * round);
		CHECK(amdvi_fault_next(&unit, &f, &lost));
		CHECK(f.id == 0x0210 && f.reason == 2 && !f.unit);
		CHECK_EQ(f.read, !(round & 1));
		CHECK_EQ(f.address, 0x8000000 + 0x1000ull * round);
		CHECK(!amdvi_fault_next(&unit, &f, &lost));
	}
	CHECK(!lost);
}

static void too_many_are_told_as_lost(void)
{
	struct iommu_fault f;
	bool lost = false;
	unsigned n = 0;

	begin_log();
	for (unsigned i = 0; i < 1000; i++)
		record(0x10, false, 0x1000);
	while (amdvi_fault_next(&unit, &f, &lost))
		n++;
	CHECK_EQ(n, 255);
	CHECK(lost);
	CHECK(*reg(CONTROL) & 4); /* it goes on */
}

static void a_unit_s_own_trouble_is_nobody_s_access(void)
{
	struct iommu_fault f;
	bool lost = false;

	begin_log();
	for (unsigned code = 1; code <= 8; code++) {
		record_code(code, 0x10, false, 0x8000000);
		CHECK(amdvi_fault_next(&unit, &f, &lost));
		CHECK_EQ(f.reason, code);
		CHECK_EQ(f.unit, code != 1 && code != 2 && code != 8);
	}
}

static void an_entry_may_come_after_the_tail(void)
{
	struct iommu_fault f;
	uint64_t(*log)[2];
	bool lost = false;

	begin_log();
	log = (void *)(*reg(LOG) & ADDRESS);
	record(0x10, false, 0x1000);
	log[0][0] = 0;
	waited_us = 0;
	CHECK(!amdvi_fault_next(&unit, &f, &lost));
	CHECK_EQ(waited_us, 1000);
	CHECK_EQ(*reg(LOG_HEAD), 0);
	log[0][0] = 2ull << 60 | 0x10;
	CHECK(amdvi_fault_next(&unit, &f, &lost));
	CHECK_EQ(f.id, 0x10);
	CHECK(!amdvi_fault_next(&unit, &f, &lost));
}

int main(void)
{
	RUN(is_taken_over_and_started);
	RUN(what_can_not_be_used_is_told);
	RUN(tables_lead_where_the_map_says);
	RUN(events_are_told_one_by_one);
	RUN(too_many_are_told_as_lost);
	RUN(a_unit_s_own_trouble_is_nobody_s_access);
	RUN(an_entry_may_come_after_the_tail);
	return check_result();
}
