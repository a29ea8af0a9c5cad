// SPDX-License-Identifier: GPL-2.0-or-later
/* The registers of a vCPU's section, and what it refuses of them. */
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/cpuid.h"
#include "hv/msr.h"
#include "hv/vcpu.h"
#include "hv/vcpu_unit.h"

#define EVENT_TYPE(info) ((info) >> 8 & 7)
#define EVENT_HAS_ERROR	 (1u << 11)
#define EVENT_VALID_BIT	 (1u << 31)

static void put_segment(struct state_writer *w, const struct vcpu_segment *s)
{
	state_put64(w, s->base);
	state_put32(w, s->limit);
	state_put32(w, s->attr);
	state_put16(w, s->selector);
}

static void get_segment(struct state_reader *r, struct vcpu_segment *s)
{
	s->base = state_get64(r);
	s->limit = state_get32(r);
	s->attr = state_get32(r);
	s->selector = state_get16(r);
}

/* The plain 64-bit and 32-bit members, as a table so that save and load can't disagree. */
#define F64(m)                                                                          \
	{                                                                               \
		offsetof(struct vcpu_state, m), sizeof(((struct vcpu_state *)0)->m) / 8 \
	}
static const struct {
	uint16_t offset, count;
} fields64[] = {
	F64(gpr),
	F64(rip),
	F64(rflags),
	F64(cr0),
	F64(cr0_mask),
	F64(cr2),
	F64(cr3),
	F64(cr4),
	F64(cr4_mask),
	F64(cr8),
	F64(xcr0),
	F64(pdpte),
	F64(dr),
	F64(dr6),
	F64(dr7),
	F64(efer),
	F64(pat),
	F64(xss),
	F64(debugctl),
	F64(spec_ctrl),
	F64(tsc_aux),
	F64(tsc_adjust),
	F64(star),
	F64(lstar),
	F64(cstar),
	F64(sfmask),
	F64(kernel_gs_base),
	F64(sysenter_cs),
	F64(sysenter_esp),
	F64(sysenter_eip),
	F64(pending_debug),
};
#define F32(m) offsetof(struct vcpu_state, m)
static const uint16_t fields32[] = {
	F32(activity),	F32(interruptibility), F32(idt_vectoring),
	F32(idt_error), F32(idt_insn_len),     F32(nmi_pending),
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void vcpu_section_put(struct state_writer *w, const struct vcpu_state *state)
{
	const uint8_t *s = (const uint8_t *)state;

	for (size_t i = 0; i < COUNT(fields64); i++)
		for (unsigned n = 0; n < fields64[i].count; n++)
			state_put64(w, ((const uint64_t *)(s + fields64[i].offset))[n]);
	for (size_t i = 0; i < COUNT(fields32); i++)
		state_put32(w, *(const uint32_t *)(s + fields32[i]));
	for (unsigned i = 0; i < NUM_SEG; i++)
		put_segment(w, &state->seg[i]);
	state_put64(w, state->gdtr.base);
	state_put32(w, state->gdtr.limit);
	state_put64(w, state->idtr.base);
	state_put32(w, state->idtr.limit);
	state_put32(w, state->xsave_size);
	state_put(w, state->xsave, state->xsave_size);
}

static void get(struct state_reader *r, struct vcpu_state *state)
{
	uint8_t *s = (uint8_t *)state;

	for (size_t i = 0; i < COUNT(fields64); i++)
		for (unsigned n = 0; n < fields64[i].count; n++)
			((uint64_t *)(s + fields64[i].offset))[n] = state_get64(r);
	for (size_t i = 0; i < COUNT(fields32); i++)
		*(uint32_t *)(s + fields32[i]) = state_get32(r);
	for (unsigned i = 0; i < NUM_SEG; i++)
		get_segment(r, &state->seg[i]);
	state->gdtr.base = state_get64(r);
	state->gdtr.limit = state_get32(r);
	state->idtr.base = state_get64(r);
	state->idtr.limit = state_get32(r);
}

/* One form for each event: what does not belong to it is 0. */
static bool event_canonical(const struct vcpu_state *s)
{
	uint32_t info = s->idt_vectoring;
	bool soft = EVENT_TYPE(info) >= EVENT_SOFT_INT;

	if (!(info & EVENT_VALID_BIT))
		return !info && !s->idt_error && !s->idt_insn_len;
	return (info & EVENT_HAS_ERROR || !s->idt_error) && (soft || !s->idt_insn_len);
}

/* The processor is asked: SPEC_CTRL's bits come and go with its microcode. */
static bool spec_ctrl_valid(uint64_t val)
{
	uint64_t now;
	bool takes;

	if (!cpuid_has(FEATURE_SPEC_CTRL) || rdmsr_safe(MSR_IA32_SPEC_CTRL, &now) != 0)
		return val == 0;
	takes = val == now || wrmsr_safe(MSR_IA32_SPEC_CTRL, val) == 0;
	(void)wrmsr_safe(MSR_IA32_SPEC_CTRL, now);
	return takes;
}

static void check(struct state_reader *r, const struct vcpu_state *s)
{
	const char *what = vcpu_ops->state_fault(s);

	state_require(r, s->activity <= VCPU_SHUTDOWN, "activity");
	state_require(r, s->nmi_pending <= 2, "nmi_pending");
	state_require(r, s->cr8 <= 15, "cr8");
	state_require(r, fpu_xcr0_valid(s->xcr0), "xcr0");
	state_require(r, s->xss == 0, "xss: there is no supervisor state");
	state_require(r, !(s->tsc_aux >> 32), "tsc_aux");
	state_require(r, spec_ctrl_valid(s->spec_ctrl), "spec_ctrl");
	state_require(r, event_canonical(s), "event");
	state_require(r, !what, what);
}

void vcpu_section_get(struct state_reader *r, struct vcpu_state *s)
{
	get(r, s);
	s->xsave_size = state_get32(r);
	if (!state_expect(r, s->xsave_size, fpu_save_size(), "xsave_size"))
		return;
	state_get(r, s->xsave, s->xsave_size);
	check(r, s);
	state_require(r, fpu_valid(s->xsave), "xsave: MXCSR or the XSAVE header");
}
