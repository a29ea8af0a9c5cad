/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every unit of a node: lapic_rig.h's CPUs with the board around them, their vCPUs kept by a back
 * end that is a plain struct. Include once, after check.h; VCPU_STATES_SVM for AMD-V's rules.
 */
#pragma once
#define RIG_BOARD
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/bus.h"
#include "hv/cpuid.h"
#include "hv/disk.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/msr.h"
#include "hv/platform.h"
#include "hv/vblk.h"
#include "hv/vcpu_unit.h"
#include "test/unit/card.h"
#include "test/unit/lapic_rig.h"
#include "test/unit/pass_rig.h"
#include "test/unit/vcpu_states.h"
#ifdef VCPU_STATES_SVM
#include "svm/svm.h"
struct svm_shared svm = {.linear_bits = 48, .phys_bits = 40, .cr4_valid = 0x770fff};
#else
#include "vmx/vmx.h"
struct vmx_caps vmx_caps = {.phys_bits = 40, .cr0_fixed1 = 0xe005003f};

uint64_t vmx_cr0_mask(void)
{
	return VCPU_CR0_MASK;
}

uint64_t vmx_cr4_mask(void)
{
	return VCPU_CR4_MASK;
}

uint64_t vmx_cr4_allowed(void)
{
	return 0x770fff;
}

bool vmx_canonical(uint64_t addr)
{
	return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}

bool vmx_pdpte_valid(uint64_t pdpte)
{
	return !(pdpte & 0x1e6);
}
#endif

/* --- what the units ask of the rest of the node --- */

static char whole_out[16]; /* the console's room */
static unsigned whole_out_len, whole_out_room = sizeof(whole_out), whole_resets;

bool console_guest_putc(uint8_t c)
{
	if (whole_out_len >= whole_out_room)
		return false;
	whole_out[whole_out_len++] = (char)c;
	return true;
}

void console_guest_rx_room(void)
{
}

void node_guest_reset(const char *why)
{
	(void)why;
	whole_resets++;
}

void node_guest_poweroff(void)
{
	whole_resets++;
}

/* There is no RAM: no driver gets a queue to work. */
void *guest_ptr(gpa_t gpa, size_t n)
{
	(void)gpa, (void)n;
	return NULL;
}

int guest_read(gpa_t gpa, void *buf, size_t n)
{
	(void)gpa, (void)buf, (void)n;
	return -EFAULT;
}

int guest_write(gpa_t gpa, const void *buf, size_t n)
{
	(void)gpa, (void)buf, (void)n;
	return -EFAULT;
}

void disk_submit(struct disk_request *r)
{
	(void)r;
	abort();
}

void disk_wake(void)
{
}

void disk_stop(void)
{
}

void disk_go(void)
{
}

void *pages_alloc(size_t count)
{
	void *p = aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);

	return p ? memset(p, 0, count * PAGE_SIZE) : NULL;
}

bool cpuid_has(enum guest_feature f)
{
	(void)f;
	return true;
}

bool cpuid_vendor_amd(void)
{
	return false;
}

/* The one processor has SPEC_CTRL, with three bits. */
static uint64_t whole_spec_ctrl;

int rdmsr_safe(uint32_t msr, uint64_t *val)
{
	*val = whole_spec_ctrl;
	return msr == MSR_IA32_SPEC_CTRL ? 0 : -EFAULT;
}

int wrmsr_safe(uint32_t msr, uint64_t val)
{
	if (msr != MSR_IA32_SPEC_CTRL || val & ~7ull)
		return -EFAULT;
	whole_spec_ctrl = val;
	return 0;
}

void vcpu_update_tsc(struct vcpu *v)
{
	(void)v;
}

void vcpu_skip(struct vcpu *v, unsigned len)
{
	v->rip += len;
}

void vcpu_inject(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)has_error, (void)error;
	v->event_pending = vector;
}

/* --- the back end: a vCPU's registers as they are in a processor --- */

static struct vcpu_state whole_cpu[RIG_CPUS];
static unsigned whole_this; /* the CPU that captures or restores */

size_t fpu_save_size(void)
{
	return sizeof(struct xsave_area);
}

uint64_t fpu_xcr0(uint64_t otherwise)
{
	(void)otherwise;
	return whole_cpu[whole_this].xcr0;
}

void fpu_save(void *area, uint64_t guest_xcr0)
{
	(void)guest_xcr0;
	memcpy(area, whole_cpu[whole_this].xsave, fpu_save_size());
}

int fpu_load(const void *area, uint64_t guest_xcr0)
{
	if (!fpu_valid(area))
		return -EINVAL;
	memcpy(whole_cpu[whole_this].xsave, area, fpu_save_size());
	whole_cpu[whole_this].xcr0 = guest_xcr0;
	return 0;
}

void fpu_scramble(uint64_t guest_xcr0)
{
	(void)guest_xcr0;
	memset(whole_cpu[whole_this].xsave, 0xa5, fpu_save_size());
}

static void whole_save(struct vcpu *v, struct vcpu_state *s)
{
	*s = whole_cpu[v->index];
	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	s->rip = v->rip;
	s->rflags = v->rflags;
	memset(s->xsave, 0, sizeof(s->xsave)); /* these are not a back end's */
	s->tsc_adjust = s->xss = s->xcr0 = s->cr8 = s->xsave_size = s->nmi_pending = 0;
	s->activity = s->activity == VCPU_HLT ? VCPU_HLT : VCPU_ACTIVE;
}

static int whole_load(struct vcpu *v, const struct vcpu_state *s)
{
	if (vcpu_ops->state_fault(s))
		return -EINVAL;
	whole_cpu[v->index] = *s;
	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	v->rip = s->rip;
	v->rflags = s->rflags;
	return 0;
}

static void whole_scramble(struct vcpu *v)
{
	memset(&whole_cpu[v->index], 0xa5, sizeof(whole_cpu[0]));
}

static const struct vcpu_ops whole_ops = {
	.keeps_hlt = true,
	.name = "rig",
#ifdef VCPU_STATES_SVM
	.state_fault = svm_state_fault,
#else
	.state_fault = vmx_state_fault,
#endif
	.save = whole_save,
	.load = whole_load,
	.scramble = whole_scramble,
	.map_device = pass_rig_map,
	.unmap_device = pass_rig_unmap,
};
const struct vcpu_ops *vcpu_ops = &whole_ops;

/* The vCPU is in this state. */
static inline void whole_set_cpu(unsigned i, const struct vcpu_state *s)
{
	struct vcpu *v = &rig_vcpu[i];

	whole_cpu[i] = *s;
	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	v->rip = s->rip;
	v->rflags = s->rflags;
	v->tsc_adjust = s->tsc_adjust;
	v->nmi_pending = s->nmi_pending;
	v->activity = s->activity == VCPU_HLT ? VCPU_ACTIVE : (enum vcpu_activity)s->activity;
}

/* As at a freeze, and at the thaw. */
static inline void whole_capture(void)
{
	for (whole_this = 0; whole_this < RIG_CPUS; whole_this++)
		vcpu_capture(&rig_vcpu[whole_this]);
	vclock_stop(&node_clock, rig_host);
}

static inline void whole_restore(void)
{
	vclock_start(&node_clock, rig_host);
	for (whole_this = 0; whole_this < RIG_CPUS; whole_this++)
		vcpu_restore(&rig_vcpu[whole_this]);
}

/* --- the machine --- */

static struct guest_map whole_map = {
	.n = 2,
	.range = {{.size = 0xa0000, .type = MT_WB},
		  {.gpa = 0x100000, .hpa = 0x100000, .size = 0x1ff00000, .type = MT_WB}},
	.pci_base = 0x80000000,
	.pci_end = 0xf0000000,
};
static struct machine whole_machine = {
	.vendor = {'G', 'e', 'n', 'u', 'i', 'n', 'e', 'I', 'n', 't', 'e', 'l'},
	.back_end = "VT-x",
	.signature = 0x306d4,
	.features = 0x12345678,
	.xcr0 = 3,
	.cpus = RIG_CPUS,
	.apic_ids = rig_id,
	.map = &whole_map,
};
static void whole_board_devices(void)
{
	pic_init();
	ioapic_init();
	pit_init(&rig_queue[0]);
	hpet_init(&rig_queue[0]);
	pm_init(&rig_queue[0]);
	rtc_init(&rig_queue[0], 1709251195);
	vuart_init(0x3f8, 4);
	ports_init();
	pci_root_init(&whole_map);
	assert(pci_add(&card) == 0);
	vblk_init(65536, RIG_CPUS);
	pass_rig_add(true);
}

/* Once: everything as after power-on, with the vCPUs captured. */
static inline void whole_start(void)
{
	static struct mtrr_state mtrr[RIG_CPUS];
	struct vcpu_state s = reset_state();

	s.xcr0 = 1;
	s.xsave_size = sizeof(struct xsave_area);
	assert(vclock_init(&node_clock, RIG_HZ, 12345, 0) == 0);
	machine_register(&whole_machine);
	clock_unit_register();
	rig_reset();
	for (unsigned i = 0; i < RIG_CPUS; i++) {
		rig_vcpu[i].mtrr = &mtrr[i];
		vcpu_unit_register(&rig_vcpu[i]);
		whole_set_cpu(i, &s);
	}
	whole_board_devices();
	units_reset();
#ifdef VCPU_STATES_SVM
	svm.efer_valid = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
#endif
	whole_capture();
}
