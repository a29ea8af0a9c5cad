// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/vcpu_unit.h"
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "hv/msr.h"
#include "hv/node.h"
#include "hv/platform.h"
#include "hv/vcpu.h"

#define VCPU_SECTION_VERSION 2
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
	v->xcr0 = fpu_xcr0(v->xcr0);
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

/* --- the unit --- */

static int unit_save(void *dev, struct state_writer *w)
{
	const struct vcpu *v = dev;
	const struct vcpu_image *img = v->image;

	vcpu_section_put(w, &img->state);
	state_put32(w, __atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) & SAVED_REQUESTS);
	state_put32(w, __atomic_load_n(&v->sipi_vector, __ATOMIC_RELAXED));
	state_put(w, &img->mtrr, sizeof(img->mtrr));
	return w->err;
}

/* What other CPUs post to this one: not part of the capture, for they may still do so until they
 * park, too. */
static void set_requests(struct vcpu *v, uint32_t requests, uint32_t sipi)
{
	__atomic_fetch_and(&v->requests, ~(uint32_t)SAVED_REQUESTS, __ATOMIC_ACQ_REL);
	__atomic_fetch_or(&v->requests, requests, __ATOMIC_ACQ_REL);
	__atomic_store_n(&v->sipi_vector, sipi, __ATOMIC_RELAXED);
}

static void unit_load(void *dev, struct state_reader *r)
{
	static struct vcpu_image next; /* too large for the stack; the boot CPU only */
	struct vcpu *v = dev;
	struct vcpu_image *img = v->image;
	uint32_t requests, sipi;

	memset(&next, 0, sizeof(next));
	vcpu_section_get(r, &next.state);
	requests = state_get32(r);
	sipi = state_get32(r);
	state_get(r, &next.mtrr, sizeof(next.mtrr));
	state_require(r, !(requests & ~(uint32_t)SAVED_REQUESTS), "requests");
	state_require(r, sipi ? sipi >> 8 == 1 : !(requests & VCPU_REQ_SIPI), "sipi");
	state_require(r, mtrr_valid(&next.mtrr), "mtrr");
	if (!state_commit(r))
		return;
	set_requests(v, requests, sipi);
	next.reload = true;
	next.scramble = img->scramble;
	*img = next;
}

static void unit_scramble(void *dev)
{
	struct vcpu *v = dev;
	struct vcpu_image *img = v->image;

	set_requests(v, 0, 0x1ff);
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
	v->unit = (struct unit){.version = VCPU_SECTION_VERSION,
				.dev = v,
				.reset = unit_reset,
				.save = unit_save,
				.load = unit_load,
				.scramble = unit_scramble};
	fmt(v->unit.name, sizeof(v->unit.name), "vcpu %u", v->index);
	if (unit_register(&v->unit) != 0)
		panic("vCPU %u: too many units", v->index);
}
