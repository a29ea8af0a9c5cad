/* build: svm/fetch.c svm/regs.c svm/state_check.c svm/npt.c hv/npt_pages.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of svm/ that need no processor: state checks, registers, code bytes, nested entries. */
#include <errno.h>
#include <stdlib.h>
#include "arch/x86_64/arch.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/memmap.h"
#include "hv/msr.h"
#include "svm/svm.h"
#include "test/unit/check.h"
#include "test/unit/quiet.h"

#define RAM_PAGES 1024
#define PTE	  0x27ull /* P RW US A */
#define PTE_BIG	  0xa7ull

struct svm_shared svm = {.linear_bits = 48, .phys_bits = 40, .cr4_valid = 0x7ff | CR4_SMEP};
static uint64_t ram[RAM_PAGES][512] __attribute__((aligned(4096)));
static struct vmcb vmcb;
static struct svm_vcpu sv = {.vmcb = &vmcb};
static struct vcpu vcpu = {.vendor = &sv};

void *guest_ptr(gpa_t gpa, size_t n)
{
	return gpa.v + n <= sizeof(ram) ? (uint8_t *)ram + gpa.v : NULL;
}

int guest_read(gpa_t gpa, void *buf, size_t n)
{
	const void *p = guest_ptr(gpa, n);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, n);
	return 0;
}

const struct guest_map *guest_memory_map(void)
{
	return NULL;
}

int npt_build(const struct guest_map *m, const struct npt_format *f, const struct npt_alloc *a,
	      uint64_t *root)
{
	(void)m, (void)f, (void)a, (void)root;
	return -ENOTSUP;
}

int npt_map_rom(uint64_t root, const struct npt_format *f, const struct npt_alloc *a)
{
	(void)root, (void)f, (void)a;
	return -ENOTSUP;
}

int npt_map_page(uint64_t root_hpa, uint64_t gpa, uint64_t hpa, uint8_t type,
		 const struct npt_format *f, const struct npt_alloc *a)
{
	(void)root_hpa, (void)gpa, (void)hpa, (void)type, (void)f, (void)a;
	return -ENOTSUP;
}

void npt_unmap_page(uint64_t root_hpa, uint64_t gpa, const struct npt_alloc *a)
{
	(void)root_hpa, (void)gpa, (void)a;
}

void *pages_alloc(size_t count)
{
	return calloc(count, PAGE_SIZE);
}

hpa_t virt_to_phys(const void *p)
{
	return (hpa_t){(uintptr_t)p};
}

void *phys_to_virt(hpa_t p)
{
	(void)p;
	return NULL;
}

/* --- state --- */

static struct vcpu_state good; /* 64-bit kernel mode */

static void good_init(void)
{
	svm.efer_valid = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	memset(&good, 0, sizeof(good));
	good.rflags = 0x202;
	good.cr0 = 0x80050033;
	good.cr3 = 0x1000;
	good.cr4 = 0x6f0;
	good.efer = 0xd01;
	good.pat = PAT_RESET;
	good.dr6 = DR6_INIT;
	good.dr7 = DR7_INIT;
	for (unsigned i = 0; i < NUM_SEG; i++)
		good.seg[i] = (struct vcpu_segment){.limit = UINT32_MAX, .attr = 0xc093};
	good.seg[SEG_CS].attr = 0xa09b;
	good.gdtr.limit = good.idtr.limit = 0xfff;
}

static void state_of_a_running_kernel_loads(void)
{
	struct vcpu_state s;

	good_init();
	CHECK(!svm_state_fault(&good));
	s = good;
	s.interruptibility = 9;
	s.idt_vectoring = 0x80000b0e;
	CHECK(!svm_state_fault(&s));
	s.idt_vectoring = 0x80000030; /* external interrupt */
	CHECK(!svm_state_fault(&s));
	/* real mode after power-on */
	s = good;
	s.cr0 = 0x60000010;
	s.cr4 = s.efer = s.cr3 = 0;
	s.seg[SEG_CS].attr = 0x93;
	CHECK(!svm_state_fault(&s));
}

#define REFUSED(change)                     \
	do {                                \
		struct vcpu_state s = good; \
		change;                     \
		CHECK(svm_state_fault(&s)); \
	} while (0)

static void state_that_vmrun_refuses_is_refused(void)
{
	good_init();
	REFUSED(s.cr0 &= ~CR0_PE);
	REFUSED(s.cr0 |= CR0_NW);
	REFUSED(s.cr0 |= 1ull << 32);
	REFUSED(s.cr3 |= 1ull << 40);
	REFUSED(s.cr4 &= ~CR4_PAE);
	REFUSED(s.cr4 |= CR4_LA57);
	REFUSED(s.efer |= EFER_SVME);
	REFUSED(s.efer &= ~EFER_LMA);
	REFUSED(s.dr6 |= 1ull << 32);
	REFUSED(s.dr7 |= 1ull << 32);
	REFUSED(s.seg[SEG_CS].attr = 0xe09b);
	REFUSED(s.seg[SEG_CS].attr = 0xa093);
	REFUSED(s.seg[SEG_FS].base = 1ull << 60);
	REFUSED(s.rflags = 0x200);
	REFUSED(s.rflags |= RFLAGS_VM);
	REFUSED(s.pat = 2);
	REFUSED(s.pat = 8ull << 56);
	REFUSED(s.pending_debug = 1);
	REFUSED(s.interruptibility = 4);
	REFUSED(s.lstar = 1ull << 50);
	REFUSED(s.idtr.limit = 0x10000);
}

static void events_that_vmrun_refuses_are_refused(void)
{
	good_init();
	REFUSED(s.idt_vectoring = 0x80000302); /* NMI as an exception */
	REFUSED(s.idt_vectoring = 0x80000320); /* no exception */
	REFUSED(s.idt_vectoring = 0x80000309); /* reserved vector */
	REFUSED(s.idt_vectoring = 0x80000305); /* BOUND in 64-bit mode */
	REFUSED(s.idt_vectoring = 0x80000100); /* reserved type */
	REFUSED(s.idt_vectoring = 0x80000480); /* INT n is executed again instead */
}

/* --- registers --- */

static void segments_survive_both_formats(void)
{
	struct vcpu_segment in = {
		.base = 0x12345000, .limit = UINT32_MAX, .attr = 0xc0f3, .selector = 0x2b};
	struct vcpu_segment out;

	svm_set_segment(&vmcb, SEG_SS, &in);
	CHECK_EQ(vmcb.ss.attrib, 0xcf3);
	CHECK_EQ(vmcb.cpl, 3);
	svm_get_segment(&vcpu, SEG_SS, &out);
	CHECK_EQ(out.attr, in.attr);
	CHECK_EQ(out.base, in.base);
	CHECK_EQ(out.limit, in.limit);
	CHECK_EQ(out.selector, in.selector);
	in.attr = 0x10000;
	in.limit = 0;
	svm_set_segment(&vmcb, SEG_LDTR, &in);
	svm_get_segment(&vcpu, SEG_LDTR, &out);
	CHECK_EQ(out.attr, 0x10000);
}

static void control_registers_fault_as_the_processor_does(void)
{
	good_init();
	memset(&vmcb, 0, sizeof(vmcb));
	CHECK_EQ(svm_set_cr(&vcpu, 0, CR0_PG), -EINVAL);
	CHECK_EQ(svm_set_cr(&vcpu, 0, CR0_NW), -EINVAL);
	CHECK_EQ(svm_set_efer(&vcpu, EFER_SVME), -EINVAL);
	CHECK_EQ(svm_set_efer(&vcpu, EFER_LME), 0);
	CHECK_EQ(svm_get_efer(&vcpu), EFER_LME);
	CHECK_EQ(svm_set_cr(&vcpu, 0, CR0_PG | CR0_PE), -EINVAL); /* no PAE yet */
	CHECK_EQ(svm_set_cr(&vcpu, 4, CR4_PAE), 0);
	CHECK_EQ(svm_set_cr(&vcpu, 0, CR0_PG | CR0_PE), 0);
	CHECK_EQ(svm_get_efer(&vcpu), EFER_LME | EFER_LMA);
	CHECK_EQ(vmcb.efer & EFER_SVME, EFER_SVME);
	CHECK_EQ(svm_set_efer(&vcpu, 0), -EINVAL); /* LME under paging */
	CHECK_EQ(svm_set_cr(&vcpu, 4, 0), -EINVAL);
	CHECK_EQ(svm_set_cr(&vcpu, 4, CR4_PAE | CR4_LA57), -EINVAL);
	CHECK_EQ(svm_set_msr(&vcpu, MSR_IA32_PAT, 3), -EINVAL);
	CHECK_EQ(svm_set_msr(&vcpu, MSR_GS_BASE, 1ull << 60), -EINVAL);
	CHECK_EQ(svm_set_msr(&vcpu, MSR_GS_BASE, 0xffff800000000000ull), 0);
	CHECK_EQ(vmcb.gs.base, 0xffff800000000000ull);
}

/* --- instruction bytes --- */

#define OP_CPUID 0xa20fu

/* 4 KiB page at linear 0x5000, 2 MiB page at 0x200000, code at physical 0x5000 and 0x200000. */
static void tables_init(void)
{
	memset(&vmcb, 0, sizeof(vmcb));
	svm_fetch_flush(&sv);
	svm.nrips = false;
	vmcb.cr3 = 0x1000;
	vmcb.efer = EFER_LME | EFER_LMA | EFER_SVME;
	vmcb.cs.attrib = ATTRIB_P | ATTRIB_L;
	ram[1][0] = 0x2000 | PTE;
	ram[2][0] = 0x3000 | PTE;
	ram[3][0] = 0x4000 | PTE;
	ram[3][1] = 0x200000 | PTE_BIG;
	ram[3][2] = 0x40000000 | PTE_BIG; /* not RAM */
	ram[4][5] = 0x5000 | PTE;
	memcpy(&ram[5][0], "\x0f\xa2\xf3\x0f\xa2\xf4", 6);
	memcpy(&ram[0x201][0], "\x0f\xa2", 2);
}

static unsigned length_at(uint64_t rip)
{
	vcpu.rip = rip;
	return svm_insn_length(&vcpu, OP_CPUID, 2);
}

static void plain_instructions_are_recognized(void)
{
	tables_init();
	CHECK_EQ(length_at(0x5000), 2);
	CHECK_EQ(length_at(0x201000), 2);
	CHECK_EQ(length_at(0x5002), 0);	  /* prefix */
	CHECK_EQ(length_at(0x5fff), 0);	  /* page end */
	CHECK_EQ(length_at(0x6000), 0);	  /* not mapped */
	CHECK_EQ(length_at(0x400000), 0); /* not RAM */
	vcpu.rip = 0x5005;
	CHECK_EQ(svm_insn_length(&vcpu, 0xf4, 1), 1);
	((uint8_t *)ram[5])[0] = 0x66; /* the cache keeps the page, not its contents */
	CHECK_EQ(length_at(0x5000), 0);
	vmcb.cs.attrib = ATTRIB_P;
	CHECK_EQ(length_at(0x201000), 0);
}

static void a_mov_to_cr_names_its_register(void)
{
	static const struct {
		uint8_t code[4];
		int gpr;
	} insns[] = {
		{{0x0f, 0x22, 0xe0}, 0},	/* mov cr4, rax */
		{{0x0f, 0x22, 0xdf}, 7},	/* mov cr3, rdi */
		{{0x44, 0x0f, 0x22, 0xc3}, 3},	/* mov cr8, rbx */
		{{0x45, 0x0f, 0x22, 0xc7}, 15}, /* mov cr8, r15 */
		{{0x0f, 0x20, 0xe0}, -1},	/* mov rax, cr4 */
		{{0x90, 0x0f, 0x22, 0xe0}, -1},
	};

	tables_init();
	for (unsigned i = 0; i < sizeof(insns) / sizeof(insns[0]); i++) {
		memcpy(&ram[5][0], insns[i].code, sizeof(insns[i].code));
		vcpu.rip = 0x5000;
		CHECK_EQ(svm_mov_to_cr(&vcpu), insns[i].gpr);
	}
	vcpu.rip = 0x6000; /* not mapped */
	CHECK_EQ(svm_mov_to_cr(&vcpu), -1);
}

static void next_rip_is_used_where_there_is_one(void)
{
	tables_init();
	svm.nrips = true;
	vmcb.nrip = 0x5003;
	CHECK_EQ(length_at(0x5000), 3);
	vmcb.nrip = 0;
	CHECK_EQ(length_at(0x5000), 0);
}

/* --- nested page tables --- */

static void nested_entries_carry_types_by_the_pat(void)
{
	struct npt_format f;

	CHECK_EQ(svm_npt_format(PAT_RESET, &f), 0);
	CHECK_EQ(f.leaf(0x200000, 2, MT_WB, true, true), 0x200000 | 0xe7);
	CHECK_EQ(f.leaf(0x1000, 1, MT_UC, true, true), 0x1000 | 0x67 | 0x18);
	CHECK_EQ(f.leaf(0x1000, 1, MT_WT, true, false), 0x1000 | 0x65 | 0x08);
	CHECK_EQ(f.leaf(0x1000, 1, MT_WC, false, true), (1ull << 63) | 0x1000 | 0x67 | 0x10);
	CHECK_EQ(f.table(0x3000, 1), 0x3027);
	/* WC in entry 5, WP in entry 6 */
	CHECK_EQ(svm_npt_format(0x0005010600070406ull, &f), 0);
	CHECK_EQ(f.leaf(0x1000, 1, MT_WC, true, true), 0x1000 | 0xe7 | 0x08);
	CHECK_EQ(f.leaf(0x200000, 2, MT_WP, true, true), 0x200000 | 0x10e7 | 0x10);
	CHECK_EQ(svm_npt_format(0x0606060606060606ull, &f), -ENOTSUP);
}

int main(void)
{
	RUN(state_of_a_running_kernel_loads);
	RUN(state_that_vmrun_refuses_is_refused);
	RUN(events_that_vmrun_refuses_are_refused);
	RUN(segments_survive_both_formats);
	RUN(control_registers_fault_as_the_processor_does);
	RUN(plain_instructions_are_recognized);
	RUN(a_mov_to_cr_names_its_register);
	RUN(next_rip_is_used_where_there_is_one);
	RUN(nested_entries_carry_types_by_the_pat);
	return check_result();
}
