// SPDX-License-Identifier: GPL-2.0-or-later
/* The VMCS in the log, for an exit that nothing handles and for a panic. */
#include "hv/log.h"
#include "vmx/vmx.h"

#define F(name)             \
	{                   \
		name, #name \
	}
static const struct {
	uint32_t field;
	const char *name;
} fields[] = {
	F(EXIT_REASON),
	F(EXIT_QUALIFICATION),
	F(EXIT_INTERRUPTION_INFO),
	F(EXIT_INTERRUPTION_ERROR),
	F(IDT_VECTORING_INFO),
	F(IDT_VECTORING_ERROR),
	F(EXIT_INSTRUCTION_LENGTH),
	F(EXIT_INSTRUCTION_INFO),
	F(GUEST_PHYSICAL_ADDRESS),
	F(GUEST_LINEAR_ADDRESS),
	F(VM_INSTRUCTION_ERROR),
	F(PIN_BASED_CONTROLS),
	F(PRIMARY_CONTROLS),
	F(SECONDARY_CONTROLS),
	F(EXIT_CONTROLS),
	F(ENTRY_CONTROLS),
	F(ENTRY_INTERRUPTION_INFO),
	F(ENTRY_EXCEPTION_ERROR),
	F(ENTRY_INSTRUCTION_LENGTH),
	F(EXCEPTION_BITMAP),
	F(TSC_OFFSET),
	F(EPT_POINTER),
	F(VIRTUAL_APIC_ADDR),
	F(APIC_ACCESS_ADDR),
	F(GUEST_RIP),
	F(GUEST_RSP),
	F(GUEST_RFLAGS),
	F(GUEST_CR0),
	F(CR0_READ_SHADOW),
	F(GUEST_CR3),
	F(GUEST_CR4),
	F(CR4_READ_SHADOW),
	F(GUEST_IA32_EFER),
	F(GUEST_IA32_PAT),
	F(GUEST_IA32_DEBUGCTL),
	F(GUEST_DR7),
	F(GUEST_PENDING_DEBUG),
	F(GUEST_INTERRUPTIBILITY),
	F(GUEST_ACTIVITY_STATE),
	F(GUEST_GDTR_BASE),
	F(GUEST_GDTR_LIMIT),
	F(GUEST_IDTR_BASE),
	F(GUEST_IDTR_LIMIT),
	F(GUEST_PDPTE0),
	F(HOST_CR0),
	F(HOST_CR3),
	F(HOST_CR4),
	F(HOST_RSP),
	F(HOST_RIP),
	F(HOST_IA32_EFER),
};

static const char *const segments[NUM_SEG] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};
static const char *const gprs[NUM_GPR] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
					  "R8",	 "R9",	"R10", "R11", "R12", "R13", "R14", "R15"};

void vmx_dump(struct vcpu *v)
{
	for (unsigned i = 0; i < NUM_GPR; i += 4)
		log_error("%-3s %016llx %-3s %016llx %-3s %016llx %-3s %016llx", gprs[i],
			  (unsigned long long)v->gpr[i], gprs[i + 1],
			  (unsigned long long)v->gpr[i + 1], gprs[i + 2],
			  (unsigned long long)v->gpr[i + 2], gprs[i + 3],
			  (unsigned long long)v->gpr[i + 3]);
	for (unsigned i = 0; i < NUM_SEG; i++) {
		struct vcpu_segment s;

		vmx_get_segment(v, i, &s);
		log_error("%-4s %04x base %016llx limit %08x attr %05x", segments[i], s.selector,
			  (unsigned long long)s.base, s.limit, s.attr);
	}
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		log_error("%-24s %llx", fields[i].name,
			  (unsigned long long)vmread(fields[i].field));
	if (vmx_caps.vid)
		log_error("%-24s %llx", "GUEST_INTERRUPT_STATUS",
			  (unsigned long long)vmread(GUEST_INTERRUPT_STATUS));
}
