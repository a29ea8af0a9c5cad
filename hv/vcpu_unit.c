// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/vcpu_unit.h"
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "hv/msr.h"
#include "hv/node.h"
#include "hv/platform.h"
#include "hv/vcpu.h"

#define VCPU_SECTION_VERSION 1
#define CR4_OSXSAVE	     (1ull << 18)
#define SIPI_MAX	     0x1ffu /* pending mark and vector */
#define SAVED_REQUESTS	     (VCPU_REQ_INIT | VCPU_REQ_SIPI | VCPU_REQ_NMI)

struct vcpu_image { /* one vCPU, parked */
	struct vcpu_state state;
	struct mtrr_state mtrr;
	bool reload;   /* changed by load: the CPU takes it over at the thaw */
	bool scramble; /* selftest: the CPU's live registers are overwritten first */
};

void vcpu_capture(struct vcpu *v)
{
	struct vcpu_image *img = v->image;

	memset(&img->state, 0, sizeof(img->state));
	vcpu_ops->save(v, &img->state);
	img->state.tsc_adjust = v->tsc_adjust;
	/* the live one: QEMU's TCG has no XSETBV intercept */
	if (read_cr4() & CR4_OSXSAVE)
		v->xcr0 = xgetbv(0);
	img->state.xcr0 = v->xcr0;
	img->state.xss = v->xss;
	img->state.cr8 = vlapic_get_cr8(&v->lapic);
	img->state.nmi_pending = v->nmi_pending;
	if (v->activity != VCPU_ACTIVE)
		img->state.activity = v->activity;
	img->state.xsave_size = (uint32_t)fpu_save_size();
	fpu_save(img->state.xsave, v->xcr0);
	img->mtrr = *v->mtrr;
	img->reload = img->scramble = false;
}

static void take_over(struct vcpu *v, const struct vcpu_image *img)
{
	const struct vcpu_state *s = &img->state;

	v->tsc_adjust = s->tsc_adjust;
	v->xcr0 = s->xcr0;
	v->xss = s->xss;
	v->nmi_pending = s->nmi_pending;
	/* HLT that the back end keeps in its own state is not ours to wait for */
	v->activity = s->activity == VCPU_HLT && vcpu_ops->keeps_hlt
			      ? VCPU_ACTIVE
			      : (enum vcpu_activity)s->activity;
	*v->mtrr = img->mtrr;
}

static void scramble_live(struct vcpu *v)
{
	memset(v->gpr, 0xa5, sizeof(v->gpr));
	v->rip = v->rflags = 0xa5a5a5a5a5a5a5a5ull;
	vcpu_ops->scramble(v);
	fpu_scramble(v->xcr0);
}

void vcpu_restore(struct vcpu *v)
{
	struct vcpu_image *img = v->image;

	if (img->scramble)
		scramble_live(v);
	if (img->reload) {
		take_over(v, img);
		if (vcpu_ops->load(v, &img->state) != 0 ||
		    fpu_load(img->state.xsave, v->xcr0) != 0) {
			log_error("cpu%u: its state can't be entered: the image is wrong; the "
				  "guest is stopped",
				  v->index);
			v->activity = VCPU_SHUTDOWN;
			node_guest_reset("a state image that can't be entered");
		}
	}
	img->reload = img->scramble = false;
}

const struct vcpu_state *vcpu_captured(const struct vcpu *v)
{
	return &v->image->state;
}

/* --- the section: fields in the order of struct vcpu_state --- */

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
	F64(cr2),
	F64(cr3),
	F64(cr4),
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

static int unit_save(void *dev, struct state_writer *w)
{
	const struct vcpu *v = dev;
	const struct vcpu_image *img = v->image;
	const uint8_t *s = (const uint8_t *)&img->state;

	for (size_t i = 0; i < sizeof(fields64) / sizeof(fields64[0]); i++)
		for (unsigned n = 0; n < fields64[i].count; n++)
			state_put64(w, ((const uint64_t *)(s + fields64[i].offset))[n]);
	for (size_t i = 0; i < sizeof(fields32) / sizeof(fields32[0]); i++)
		state_put32(w, *(const uint32_t *)(s + fields32[i]));
	for (unsigned i = 0; i < NUM_SEG; i++)
		put_segment(w, &img->state.seg[i]);
	state_put64(w, img->state.gdtr.base);
	state_put32(w, img->state.gdtr.limit);
	state_put64(w, img->state.idtr.base);
	state_put32(w, img->state.idtr.limit);
	state_put32(w, __atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & SAVED_REQUESTS);
	state_put32(w, __atomic_load_n(&v->sipi_vector, __ATOMIC_RELAXED));
	state_put(w, &img->mtrr, sizeof(img->mtrr));
	state_put32(w, img->state.xsave_size);
	state_put(w, img->state.xsave, img->state.xsave_size);
	return w->err;
}

static bool plausible(const struct vcpu_image *img)
{
	const struct vcpu_state *s = &img->state;

	return s->activity <= VCPU_SHUTDOWN && s->nmi_pending <= 2 && s->cr8 <= 15 &&
	       (s->xcr0 & 1) && !(s->xcr0 & ~xcr0_host_max & ~1ull) && s->xss == 0;
}

/* What other CPUs post to this one: not part of the capture, for they may still do so until they
 * park, too. */
static void set_requests(struct vcpu *v, uint32_t requests, uint32_t sipi)
{
	__atomic_fetch_and(&v->requests, ~(uint32_t)SAVED_REQUESTS, __ATOMIC_ACQ_REL);
	__atomic_fetch_or(&v->requests, requests, __ATOMIC_ACQ_REL);
	__atomic_store_n(&v->sipi_vector, sipi, __ATOMIC_RELAXED);
}

static int unit_load(void *dev, struct state_reader *r)
{
	struct vcpu *v = dev;
	struct vcpu_image *img = v->image;
	static struct vcpu_image next; /* too large for the stack; the boot CPU only */
	uint8_t *s = (uint8_t *)&next.state;
	uint32_t requests, sipi;

	memset(&next, 0, sizeof(next));
	for (size_t i = 0; i < sizeof(fields64) / sizeof(fields64[0]); i++)
		for (unsigned n = 0; n < fields64[i].count; n++)
			((uint64_t *)(s + fields64[i].offset))[n] = state_get64(r);
	for (size_t i = 0; i < sizeof(fields32) / sizeof(fields32[0]); i++)
		*(uint32_t *)(s + fields32[i]) = state_get32(r);
	for (unsigned i = 0; i < NUM_SEG; i++)
		get_segment(r, &next.state.seg[i]);
	next.state.gdtr.base = state_get64(r);
	next.state.gdtr.limit = state_get32(r);
	next.state.idtr.base = state_get64(r);
	next.state.idtr.limit = state_get32(r);
	requests = state_get32(r);
	sipi = state_get32(r);
	state_get(r, &next.mtrr, sizeof(next.mtrr));
	next.state.xsave_size = state_get32(r);
	if (next.state.xsave_size != fpu_save_size() ||
	    next.state.xsave_size > sizeof(next.state.xsave))
		return -EINVAL;
	state_get(r, next.state.xsave, next.state.xsave_size);
	if (!state_done(r) || !plausible(&next) || requests & ~(uint32_t)SAVED_REQUESTS ||
	    sipi > SIPI_MAX)
		return -EINVAL;
	set_requests(v, requests, sipi);
	next.reload = true;
	next.scramble = img->scramble;
	*img = next;
	return 0;
}

static void unit_scramble(void *dev)
{
	struct vcpu *v = dev;
	struct vcpu_image *img = v->image;

	set_requests(v, 0, SIPI_MAX);
	memset(img, 0xa5, sizeof(*img));
	img->reload = false;
	img->scramble = true;
}

static void unit_reset(void *dev)
{
	struct vcpu *v = dev;

	v->tsc_adjust = 0;
	mtrr_reset(v->mtrr);
}

void vcpu_unit_register(struct vcpu *v)
{
	v->image = pages_alloc((sizeof(struct vcpu_image) + PAGE_SIZE - 1) /
			       PAGE_SIZE); /* XSAVE: aligned to 64 */
	ASSERT(v->image);
	fmt(v->unit_name, sizeof(v->unit_name), "vcpu %u", v->index);
	v->unit = (struct unit){.version = VCPU_SECTION_VERSION,
				.dev = v,
				.reset = unit_reset,
				.save = unit_save,
				.load = unit_load,
				.scramble = unit_scramble};
	memcpy(v->unit.name, v->unit_name, sizeof(v->unit.name));
	if (unit_register(&v->unit) != 0)
		panic("vCPU %u: too many units", v->index);
}
