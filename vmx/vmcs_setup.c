// SPDX-License-Identifier: GPL-2.0-or-later
/* The VMCS of a vCPU: controls, bitmaps and host state, written once. */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/log.h"
#include "hv/msr.h"
#include "vmx/vmx.h"

/* #DB and #AC: their delivery can go on without end (SDM vol. 3, "Exception Bitmap"); #MC: the
 * host's business */
#define EXCEPTIONS ((1u << 1) | (1u << 17) | (1u << 18))

/* MSR bitmap (SDM vol. 3, "MSR-Bitmap Address"): a set bit is an exit */
enum {
	BITMAP_READ_LOW = 0,
	BITMAP_READ_HIGH = 1024,
	BITMAP_WRITE_LOW = 2048,
	BITMAP_WRITE_HIGH = 3072
};
#define MSRS_PER_RANGE 0x2000u
#define MSR_HIGH_BASE  0xc0000000u

#define MSR_X2APIC_TPR	    0x808u
#define MSR_X2APIC_EOI	    0x80bu
#define MSR_X2APIC_ISR0	    0x810u
#define MSR_X2APIC_TMR7	    0x81fu
#define MSR_X2APIC_SELF_IPI 0x83fu

/* vmx_caps.bochs: what the guest's IF = 0 hides is looked for so many times a second. (Another CPU
 * may be spinning for it; the UART asks at 8 bytes, and 0.7 ms later it has lost one.) */
#define LOOKS 4000

static uint8_t *msr_bitmap, *msr_bitmap_x2apic;

static void set_bit(uint8_t *map, uint32_t n)
{
	map[n / 8] |= (uint8_t)(1u << n % 8);
}

static void clear_bit(uint8_t *map, uint32_t n)
{
	map[n / 8] &= (uint8_t) ~(1u << n % 8);
}

static void bitmap_range(uint32_t base, unsigned reads, unsigned writes)
{
	for (uint32_t i = 0; i < MSRS_PER_RANGE; i++) {
		if (!msr_passthrough(base + i, false))
			set_bit(msr_bitmap + reads, i);
		if (!msr_passthrough(base + i, true))
			set_bit(msr_bitmap + writes, i);
	}
}

/* In x2APIC mode the processor carries out these accesses on the virtual-APIC page. */
static void bitmap_x2apic(void)
{
	memcpy(msr_bitmap_x2apic, msr_bitmap, PAGE_SIZE);
	if (!vmx_caps.x2apic)
		return;
	clear_bit(msr_bitmap_x2apic + BITMAP_READ_LOW, MSR_X2APIC_TPR);
	clear_bit(msr_bitmap_x2apic + BITMAP_WRITE_LOW, MSR_X2APIC_TPR);
	if (vmx_caps.apic_registers)
		for (uint32_t msr = MSR_X2APIC_ISR0; msr <= MSR_X2APIC_TMR7; msr++)
			clear_bit(msr_bitmap_x2apic + BITMAP_READ_LOW, msr);
	if (vmx_caps.vid) {
		clear_bit(msr_bitmap_x2apic + BITMAP_WRITE_LOW, MSR_X2APIC_EOI);
		clear_bit(msr_bitmap_x2apic + BITMAP_WRITE_LOW, MSR_X2APIC_SELF_IPI);
	}
}

int vmx_bitmaps_setup(void)
{
	msr_bitmap = pages_alloc(1);
	msr_bitmap_x2apic = pages_alloc(1);
	if (!msr_bitmap || !msr_bitmap_x2apic)
		return -ENOMEM;
	bitmap_range(0, BITMAP_READ_LOW, BITMAP_WRITE_LOW);
	bitmap_range(MSR_HIGH_BASE, BITMAP_READ_HIGH, BITMAP_WRITE_HIGH);
	bitmap_x2apic();
	return 0;
}

uint64_t vmx_msr_bitmap(bool x2apic)
{
	return virt_to_phys(x2apic ? msr_bitmap_x2apic : msr_bitmap).v;
}

static void setup_controls(struct vcpu *v, struct vmx_vcpu *x)
{
	x->primary = vmx_caps.primary;
	x->secondary = vmx_caps.secondary;
	vmwrite(PIN_BASED_CONTROLS, vmx_caps.pin);
	vmwrite(PRIMARY_CONTROLS, x->primary);
	vmwrite(EXIT_CONTROLS, vmx_caps.exit);
	vmwrite(ENTRY_CONTROLS, vmx_caps.entry);
	vmwrite(EXCEPTION_BITMAP, EXCEPTIONS);
	vmwrite(PAGE_FAULT_ERROR_MASK, 0);
	vmwrite(PAGE_FAULT_ERROR_MATCH, 0);
	vmwrite(CR3_TARGET_COUNT, 0);
	vmwrite(EXIT_MSR_STORE_COUNT, 0);
	vmwrite(EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(ENTRY_INTERRUPTION_INFO, 0);
	vmwrite(TSC_OFFSET, 0);
	vmwrite(TPR_THRESHOLD, 0);
	vmwrite(VIRTUAL_APIC_ADDR, virt_to_phys(v->lapic.regs).v);
	vmwrite(APIC_ACCESS_ADDR, vmx_apic_access_page());
	vmwrite(VMCS_LINK_POINTER, UINT64_MAX);
	if (vmx_caps.vpid)
		vmwrite(VIRTUAL_PROCESSOR_ID, v->index + 1);
	if (vmx_caps.secondary & CPU2_ENABLE_XSAVES)
		vmwrite(XSS_EXITING_BITMAP, 0);
	if (vmx_caps.secondary & CPU2_ENCLS_EXITING)
		vmwrite(ENCLS_EXITING_BITMAP, UINT64_MAX);
	if (vmx_caps.vid) {
		for (unsigned i = 0; i < 4; i++)
			vmwrite(EOI_EXIT_BITMAP0 + 2 * i, 0);
		vmwrite(GUEST_INTERRUPT_STATUS, 0);
	}
	x->blind_max = vmx_caps.bochs ? (uint32_t)(tsc_hz() / LOOKS) : UINT32_MAX;
	x->look_at = vmx_caps.bochs ? 0 : UINT64_MAX;
	x->timer = 0;
	if (vmx_caps.timer)
		vmwrite(PREEMPTION_TIMER_VALUE, x->timer);
}

static void setup_host(const struct cpu *c)
{
	uint16_t cs, ss;

	asm("mov %%cs, %0" : "=r"(cs));
	asm("mov %%ss, %0" : "=r"(ss));
	vmwrite(HOST_CR0, read_cr0());
	vmwrite(HOST_CR3, paging_cr3());
	vmwrite(HOST_CR4, read_cr4());
	vmwrite(HOST_CS_SELECTOR, cs);
	vmwrite(HOST_SS_SELECTOR, ss);
	vmwrite(HOST_DS_SELECTOR, 0);
	vmwrite(HOST_ES_SELECTOR, 0);
	vmwrite(HOST_FS_SELECTOR, 0);
	vmwrite(HOST_GS_SELECTOR, 0);
	vmwrite(HOST_TR_SELECTOR, c->tr_selector);
	vmwrite(HOST_FS_BASE, 0);
	vmwrite(HOST_GS_BASE, (uint64_t)c);
	vmwrite(HOST_TR_BASE, c->tss);
	vmwrite(HOST_GDTR_BASE, c->gdt);
	vmwrite(HOST_IDTR_BASE, c->idt);
	vmwrite(HOST_SYSENTER_CS, 0);
	vmwrite(HOST_SYSENTER_ESP, 0);
	vmwrite(HOST_SYSENTER_EIP, 0);
	vmwrite(HOST_IA32_PAT, rdmsr(MSR_IA32_PAT));
	vmwrite(HOST_IA32_EFER, rdmsr(MSR_EFER));
	vmwrite(HOST_RIP, (uint64_t)vmx_exit);
}

/* What power-on clears and INIT leaves alone. */
static void setup_msrs(void)
{
	vmwrite(GUEST_IA32_PAT, 0x0007040600070406ull);
	vmwrite(GUEST_SYSENTER_CS, 0);
	vmwrite(GUEST_SYSENTER_ESP, 0);
	vmwrite(GUEST_SYSENTER_EIP, 0);
	for (unsigned i = 0; i < 4; i++)
		vmwrite(GUEST_PDPTE0 + 2 * i, 0);
}

static void vmclear(void *vmcs)
{
	uint64_t pa = virt_to_phys(vmcs).v;

	asm goto("vmclear %0; jna %l[failed]" : : "m"(pa) : "cc", "memory" : failed);
	return;
failed:
	panic("VMCLEAR failed");
}

static void vmptrld(void *vmcs)
{
	uint64_t pa = virt_to_phys(vmcs).v;

	asm goto("vmptrld %0; jna %l[failed]" : : "m"(pa) : "cc", "memory" : failed);
	return;
failed:
	panic("VMPTRLD failed");
}

int vmx_create(struct vcpu *v)
{
	struct vmx_vcpu *x = pages_alloc(1);

	_Static_assert(sizeof(*x) <= PAGE_SIZE, "one page");
	if (!x)
		return -ENOMEM;
	x->vmcs = pages_alloc(1);
	if (!x->vmcs)
		return -ENOMEM;
	*(uint32_t *)x->vmcs = vmx_caps.revision;
	v->vendor = x;
	v->lapic.hw_vid = vmx_caps.vid;
	vmclear(x->vmcs);
	vmptrld(x->vmcs);
	setup_controls(v, x);
	setup_host(v->cpu);
	setup_msrs();
	vmwrite(CR0_GUEST_HOST_MASK, vmx_cr0_mask());
	vmwrite(CR4_GUEST_HOST_MASK, vmx_cr4_mask());
	vmx_apicv_mode(v);
	/* this VPID may have translations of whoever ran VT-x before us */
	vmx_flush(v);
	return 0;
}
