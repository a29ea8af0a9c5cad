/* build: hv/vcpu_emulate.c hv/emulate.c hv/emulate_operand.c hv/emulate_alu.c hv/emulate_string.c hv/walk.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MMIO exits from end to end: a vCPU's state, its page tables, its code, and who is asked at which
 * address. */
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/emulate.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/vcpu.h"
#include "test/unit/check.h"

#define RAM_SIZE 0x10000
#define HV_BASE	 0x8000000ull
#define DEVICE	 0xfed00000ull
#define CODE	 0x6000ull
#define ALL	 7ull

static uint8_t ram[RAM_SIZE] __attribute__((aligned(4096)));
static struct vcpu v;
static uint64_t cr0, cr2, cr3, cr4, efer;
static struct vcpu_segment segs[NUM_SEG];
static unsigned warnings, injected, inject_error, skips, shadows;
static char last[200]; /* the last device access, as text */

void *guest_ptr(gpa_t gpa, size_t n)
{
	return gpa.v < RAM_SIZE && n <= RAM_SIZE - gpa.v ? ram + gpa.v : NULL;
}

bool guest_gpa_is_hypervisor(gpa_t gpa)
{
	return gpa.v - HV_BASE < 0x4000000;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	warnings += level == LOG_WARN && fmt;
}

bool log_ratelimited(struct log_ratelimit *r)
{
	return r->burst > 0;
}

uint64_t bus_mmio_read(gpa_t gpa, unsigned size)
{
	(void)snprintf(last + strlen(last), 40, "r%u@%llx ", size, (unsigned long long)gpa.v);
	return 0x1122334455667788 >> (64 - 8 * size);
}

void bus_mmio_write(gpa_t gpa, unsigned size, uint64_t val)
{
	(void)snprintf(last + strlen(last), 60, "w%u@%llx=%llx ", size, (unsigned long long)gpa.v,
		       (unsigned long long)val);
}

uint32_t bus_io_read(uint16_t port, unsigned size)
{
	(void)snprintf(last + strlen(last), 40, "i%u@%x ", size, port);
	return 0x41;
}

void bus_io_write(uint16_t port, unsigned size, uint32_t val)
{
	(void)snprintf(last + strlen(last), 60, "o%u@%x=%x ", size, port, val);
}

void vlapic_mmio_read(struct vlapic *l, uint32_t offset, unsigned size, uint64_t *val)
{
	(void)snprintf(last + strlen(last), 40, "lr%u@%x ", size, offset);
	*val = l == &v.lapic ? 0x50014 : 0;
}

void vlapic_mmio_write(struct vlapic *l, uint32_t offset, unsigned size, uint64_t val)
{
	(void)l;
	(void)snprintf(last + strlen(last), 60, "lw%u@%x=%llx ", size, offset,
		       (unsigned long long)val);
}

void vcpu_inject(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	(void)vcpu;
	injected = vector;
	inject_error = has_error ? error : UINT32_MAX;
}

void vcpu_skip(struct vcpu *vcpu, unsigned len)
{
	vcpu->rip += len;
	skips++;
}

static void get_segment(struct vcpu *vcpu, unsigned seg, struct vcpu_segment *s)
{
	(void)vcpu;
	*s = segs[seg];
}

static uint64_t get_cr(struct vcpu *vcpu, unsigned cr)
{
	(void)vcpu;
	return cr == 0 ? cr0 : cr == 2 ? cr2 : cr == 3 ? cr3 : cr4;
}

static int set_cr(struct vcpu *vcpu, unsigned cr, uint64_t val)
{
	(void)vcpu;
	if (cr == 2)
		cr2 = val;
	return 0;
}

static uint64_t get_efer(struct vcpu *vcpu)
{
	(void)vcpu;
	return efer;
}

static uint64_t get_pdpte(struct vcpu *vcpu, unsigned i)
{
	(void)vcpu;
	(void)i;
	return 0;
}

static void clear_shadow(struct vcpu *vcpu)
{
	(void)vcpu;
	shadows++;
}

static const struct vcpu_ops test_ops = {
	.get_segment = get_segment,
	.get_cr = get_cr,
	.set_cr = set_cr,
	.get_efer = get_efer,
	.get_pdpte = get_pdpte,
	.clear_shadow = clear_shadow,
};
const struct vcpu_ops *vcpu_ops = &test_ops;

static void map_page(unsigned index, uint64_t entry)
{
	memcpy(ram + 0x4000 + 8 * index, &entry, 8);
}

/* 64-bit code at linear CODE; linear 2 MiB mapped by a table at 4000: identity below 64 KiB, then
 * the devices. */
static void reset(const void *code, unsigned size)
{
	static const uint64_t upper[] = {0x2000 | ALL, 0x3000 | ALL, 0x4000 | ALL};

	memset(ram, 0, sizeof(ram));
	for (unsigned i = 0; i < 3; i++)
		memcpy(ram + 0x1000 + i * 0x1000, &upper[i], 8);
	for (unsigned i = 0; i < 16; i++)
		map_page(i, i << 12 | ALL);
	map_page(0x20, LAPIC_BASE | ALL);
	map_page(0x21, DEVICE | ALL);
	map_page(0x22, (DEVICE + 0x5000) | ALL);
	map_page(0x23, HV_BASE | ALL);
	map_page(0x24, DEVICE | 5); /* the device, read-only */
	memcpy(ram + CODE, code, size);
	cr0 = 0x80010001;
	cr3 = 0x1000;
	cr4 = 0x20;
	efer = 0x500;
	memset(&v, 0, sizeof(v));
	memset(segs, 0, sizeof(segs));
	segs[SEG_CS].attr = 0xa09b;
	segs[SEG_SS].attr = 0xc093;
	v.rip = CODE;
	v.rflags = 2;
	v.lapic.base_msr = LAPIC_BASE | 0x900;
	warnings = injected = skips = shadows = 0;
	last[0] = 0;
}

#define RESET(...) reset((uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void the_local_apic_has_a_short_way(void)
{
	RESET(0x8b, 0x83, 0x20, 0, 0, 0); /* mov eax, [rbx+20h] */
	v.gpr[RBX] = 0x20000;
	exit_mmio(&v, (gpa_t){LAPIC_BASE + 0x20}, false, false);
	CHECK_STR(last, "lr4@20 ");
	CHECK_EQ(v.gpr[RAX], 0x50014);
	CHECK_EQ(v.rip, CODE + 6);
	CHECK_EQ(skips, 1);
	RESET(0xc7, 0x83, 0xb0, 0, 0, 0, 0, 0, 0, 0); /* EOI */
	v.gpr[RBX] = 0x20000;
	exit_mmio(&v, (gpa_t){LAPIC_BASE + 0xb0}, true, false);
	CHECK_STR(last, "lw4@b0=0 ");
	RESET(0x8b, 0x83, 0x20, 0, 0, 0); /* x2APIC mode: the page is nobody's */
	v.gpr[RBX] = 0x20000;
	v.lapic.base_msr |= 0x400;
	exit_mmio(&v, (gpa_t){LAPIC_BASE + 0x20}, false, false);
	CHECK_STR(last, "");
	CHECK_EQ(v.gpr[RAX], 0xffffffff);
	CHECK_EQ(warnings, 1);
	RESET(0xc7, 0x83, 0x20, 0, 0, 0, 0, 0, 0, 0);
	v.gpr[RBX] = 0x20000;
	v.lapic.base_msr |= 0x400;
	exit_mmio(&v, (gpa_t){LAPIC_BASE + 0x20}, true, false);
	CHECK_STR(last, "");
	CHECK_EQ(warnings, 1);
	CHECK_EQ(v.rip, CODE + 10);
	RESET(0x8b, 0x83, 0x20, 0, 0, 0); /* disabled */
	v.gpr[RBX] = 0x20000;
	v.lapic.base_msr = LAPIC_BASE;
	exit_mmio(&v, (gpa_t){LAPIC_BASE + 0x20}, false, false);
	CHECK_STR(last, "");
	CHECK_EQ(v.gpr[RAX], 0xffffffff);
}

static void devices_are_read_and_written(void)
{
	RESET(0x48, 0x89, 0x4b, 0x10);
	v.gpr[RBX] = 0x21000;
	v.gpr[RCX] = 0xabcdef0123456789;
	exit_mmio(&v, (gpa_t){DEVICE + 0x10}, true, false);
	CHECK_STR(last, "w8@fed00010=abcdef0123456789 ");
	RESET(0x83, 0x4b, 0x10, 0x01); /* or dword [rbx+10h], 1 */
	v.gpr[RBX] = 0x21000;
	exit_mmio(&v, (gpa_t){DEVICE + 0x10}, true, false);
	CHECK_STR(last, "r4@fed00010 w4@fed00010=11223345 ");
}

static void copies_between_ram_and_devices(void)
{
	RESET(0xf3, 0xa5); /* rep movsd from RAM */
	memcpy(ram + 0x8000, "\1\0\0\0\2\0\0\0", 8);
	v.gpr[RSI] = 0x8000;
	v.gpr[RDI] = 0x21000;
	v.gpr[RCX] = 2;
	exit_mmio(&v, (gpa_t){DEVICE}, true, false);
	CHECK_STR(last, "w4@fed00000=1 w4@fed00004=2 ");
	CHECK_EQ(v.rip, CODE + 2);
	RESET(0xf3, 0xa4); /* a long one stops and goes on */
	v.gpr[RSI] = 0x20000;
	v.gpr[RDI] = 0x8000;
	v.gpr[RCX] = 1000;
	v.lapic.base_msr = 0;
	map_page(0x20, 0x7000 | ALL);
	exit_mmio(&v, (gpa_t){0x7000}, false, false);
	CHECK_EQ(v.rip, CODE);
	CHECK_EQ(v.gpr[RCX], 1000 - EMU_REP_MAX);
	CHECK_EQ(skips, 0);
	CHECK_EQ(shadows, 1);
}

static void accesses_across_pages(void)
{
	RESET(0x8b, 0x03); /* device, another device */
	v.gpr[RBX] = 0x21ffe;
	exit_mmio(&v, (gpa_t){DEVICE + 0xffe}, false, false);
	CHECK_STR(last, "r1@fed00ffe r1@fed00fff r1@fed05000 r1@fed05001 ");
	CHECK_EQ(v.gpr[RAX], 0x11111111);
	RESET(0x89, 0x03); /* the second page is not there: nothing is written */
	map_page(0x22, 0);
	v.gpr[RBX] = 0x21ffe;
	exit_mmio(&v, (gpa_t){DEVICE + 0xffe}, true, false);
	CHECK_STR(last, "");
	CHECK_EQ(injected, 14);
	CHECK_EQ(inject_error, 2);
	CHECK_EQ(cr2, 0x22000);
	CHECK_EQ(v.rip, CODE);
}

static void a_read_exit_gives_no_right_to_write(void)
{
	RESET(0x89, 0x03); /* the code has been changed since the exit */
	v.gpr[RBX] = 0x24010;
	exit_mmio(&v, (gpa_t){DEVICE + 0x10}, false, false);
	CHECK_STR(last, "");
	CHECK_EQ(injected, 14);
	CHECK_EQ(inject_error, 3);
	CHECK_EQ(cr2, 0x24010);
}

static void the_hypervisors_memory_is_out_of_reach(void)
{
	RESET(0x8b, 0x03);
	v.gpr[RBX] = 0x23008;
	exit_mmio(&v, (gpa_t){HV_BASE + 8}, false, false);
	CHECK_EQ(v.gpr[RAX], 0xffffffff);
	CHECK_EQ(warnings, 1);
	CHECK_STR(last, "");
	RESET(0x89, 0x03);
	v.gpr[RBX] = 0x23008;
	exit_mmio(&v, (gpa_t){HV_BASE + 8}, true, false);
	CHECK_EQ(warnings, 1);
	CHECK_STR(last, "");
	CHECK_EQ(v.rip, CODE + 2);
}

static void jumps_into_holes_end_in_ud(void)
{
	RESET(0x90);
	exit_mmio(&v, (gpa_t){DEVICE}, false, true);
	CHECK_EQ(injected, 6);
	CHECK_EQ(warnings, 1);
}

static void unknown_instructions_end_in_ud(void)
{
	RESET(0x0f, 0x28, 0x03); /* movaps xmm0, [rbx] */
	v.gpr[RBX] = 0x21000;
	exit_mmio(&v, (gpa_t){DEVICE}, false, false);
	CHECK_EQ(injected, 6);
	CHECK_EQ(warnings, 1);
	CHECK_EQ(v.rip, CODE);
	CHECK_STR(last, "");
}

/* A page directory in a hole: linear 40000000 on is unreachable. */
static void reset_walk(const void *code, unsigned size)
{
	uint64_t pdpte = 0xd0000000 | ALL;

	reset(code, size);
	memcpy(ram + 0x2000 + 8, &pdpte, 8);
	cr2 = 0;
}
#define RESET_WALK(...) reset_walk((uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void check_walk_fault(uint64_t linear, uint32_t error)
{
	CHECK_EQ(injected, 14);
	CHECK_EQ(inject_error, error);
	CHECK_EQ(cr2, linear);
	CHECK_EQ(v.rip, CODE);
	CHECK_EQ(warnings, 1);
	CHECK_STR(last, "");
}

static void page_tables_in_holes_end_in_page_faults(void)
{
	const gpa_t gpa = {0xd0000000};
	uint64_t linear = 0x40000123;

	RESET_WALK(0x0f, 0x28, 0x03); /* whatever the instruction, if the processor says where */
	exit_page_walk(&v, gpa, &linear);
	check_walk_fault(linear, 9);
	RESET_WALK(0x89, 0x03); /* where it doesn't: an operand */
	v.gpr[RBX] = linear;
	exit_page_walk(&v, gpa, NULL);
	check_walk_fault(linear, 11);
	RESET_WALK(0x53); /* push rbx */
	v.gpr[RSP] = 0x40000ff8;
	exit_page_walk(&v, gpa, NULL);
	check_walk_fault(0x40000ff0, 11);
	RESET_WALK(0xc3); /* ret */
	v.gpr[RSP] = 0x40000000;
	exit_page_walk(&v, gpa, NULL);
	check_walk_fault(0x40000000, 9);
	RESET_WALK(0x0f, 0x28, 0x03); /* movaps xmm0, [rbx]: nobody knows */
	v.gpr[RSP] = 0x8000;
	v.gpr[RBX] = linear;
	exit_page_walk(&v, gpa, NULL);
	CHECK_EQ(injected, 13);
	CHECK_EQ(v.rip, CODE);
}

static void the_walk_of_a_fetch(void)
{
	const gpa_t gpa = {0xd0000000};
	uint64_t linear = 0x40000000;

	RESET_WALK(0x90);
	efer |= 0x800; /* NXE: the error code says that it was a fetch */
	v.rip = linear;
	exit_page_walk(&v, gpa, &linear);
	CHECK_EQ(injected, 14);
	CHECK_EQ(inject_error, 0x19);
	CHECK_EQ(cr2, linear);
	RESET_WALK(0x90);
	efer |= 0x800;
	v.rip = linear;
	exit_page_walk(&v, gpa, NULL);
	CHECK_EQ(injected, 14);
	CHECK_EQ(inject_error, 0x19);
	/* another CPU has put the tables right meanwhile: once more */
	RESET(0x90);
	linear = 0x21000;
	exit_page_walk(&v, gpa, &linear);
	CHECK_EQ(injected, 0);
	CHECK_EQ(v.rip, CODE);
}

static void port_strings_need_checked_privilege(void)
{
	RESET(0x6e); /* outsb from user mode, after a mere MMIO exit */
	segs[SEG_SS].attr = 0xc0f3;
	v.gpr[RSI] = 0x21000;
	v.gpr[RDX] = 0x80;
	exit_mmio(&v, (gpa_t){DEVICE}, false, false);
	CHECK_EQ(injected, 6);
	CHECK_STR(last, "");
	RESET(0x6e);
	segs[SEG_SS].attr = 0xc0f3;
	v.gpr[RSI] = 0x8000;
	v.gpr[RDX] = 0x80;
	CHECK_EQ(vcpu_emulate(&v), EMU_OK);
	CHECK_STR(last, "o1@80=0 ");
	RESET(0x6e);
	v.gpr[RSI] = 0x21000;
	v.gpr[RDX] = 0x80;
	exit_mmio(&v, (gpa_t){DEVICE}, false, false);
	CHECK_STR(last, "r1@fed00000 o1@80=11 ");
}

static void code_across_pages_and_lengths(void)
{
	RESET(0x90);
	memcpy(ram + 0x6fff, "\x8b\x03", 2);
	v.rip = 0x6fff;
	v.gpr[RBX] = 0x21000;
	exit_mmio(&v, (gpa_t){DEVICE}, false, false);
	CHECK_STR(last, "r4@fed00000 ");
	CHECK_EQ(v.rip, 0x7001);
	v.rip = 0x6fff;
	CHECK_EQ(vcpu_insn_length(&v), 2);
	map_page(7, 0);
	CHECK_EQ(vcpu_insn_length(&v), 0);
	CHECK_EQ(injected, 0);
	exit_mmio(&v, (gpa_t){DEVICE}, false, false);
	CHECK_EQ(injected, 14);
	CHECK_EQ(cr2, 0x7000);
}

static void real_mode_guests(void)
{
	RESET(0xa3, 0x10, 0x00); /* mov [10h], ax */
	cr0 = 0x10;
	efer = 0;
	segs[SEG_CS] = (struct vcpu_segment){.limit = 0xffff, .attr = 0x9b};
	segs[SEG_SS] = (struct vcpu_segment){.limit = 0xffff, .attr = 0x93};
	segs[SEG_DS] = (struct vcpu_segment){.base = 0xa0000, .limit = 0xffff, .attr = 0x93};
	v.gpr[RAX] = 0x1234;
	exit_mmio(&v, (gpa_t){0xa0010}, true, false);
	CHECK_STR(last, "w2@a0010=1234 ");
	CHECK_EQ(v.rip, CODE + 3);
}

int main(void)
{
	RUN(the_local_apic_has_a_short_way);
	RUN(devices_are_read_and_written);
	RUN(copies_between_ram_and_devices);
	RUN(accesses_across_pages);
	RUN(a_read_exit_gives_no_right_to_write);
	RUN(the_hypervisors_memory_is_out_of_reach);
	RUN(jumps_into_holes_end_in_ud);
	RUN(unknown_instructions_end_in_ud);
	RUN(page_tables_in_holes_end_in_page_faults);
	RUN(the_walk_of_a_fetch);
	RUN(port_strings_need_checked_privilege);
	RUN(code_across_pages_and_lengths);
	RUN(real_mode_guests);
	return check_result();
}
