/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt messages: who is meant, and how it is delivered (SDM vol. 3, "Issuing Interprocessor
 * Interrupts"). */
#include "hv/vlapic_internal.h"

enum { ICR_LOGICAL = 1u << 11, ICR_ASSERT = 1u << 14, ICR_LEVEL = 1u << 15 };
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

struct message {
	uint32_t dest;
	bool wide; /* 32-bit destination: from an x2APIC */
	bool logical;
	bool level;
	uint8_t vector;
	unsigned delivery;
};

static bool broadcast(const struct message *m)
{
	return m->dest == (m->wide ? 0xffffffffu : 0xffu);
}

static bool logical_match(const struct vlapic *l, uint32_t dest)
{
	uint32_t ldr = reg_get(l, APIC_LDR), dfr = reg_get(l, APIC_DFR);

	if (vlapic_x2apic(l))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= 24;
	if (dest > 0xff)
		return false;
	switch (dfr >> 28) {
	case 0xf: /* flat */
		return ldr & dest;
	case 0: /* cluster */
		return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
	default:
		return false;
	}
}

static bool selected(const struct vlapic *l, const struct message *m)
{
	if (!vlapic_enabled(l))
		return false;
	if (broadcast(m))
		return true;
	return m->logical ? logical_match(l, m->dest) : l->id == m->dest;
}

void vlapic_post(struct vlapic *l, uint8_t vector, bool level)
{
	uint64_t bit = 1ull << vector % 64;
	unsigned i = vector / 64;

	if (!vlapic_enabled(l) || !vlapic_software_enabled(l))
		return;
	if (vector < VECTOR_MIN) {
		vlapic_error(l, ESR_RECV_ILLEGAL);
		return;
	}
	if (level)
		__atomic_fetch_or(&l->pir_level[i], bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&l->pir_level[i], ~bit, __ATOMIC_RELAXED);
	if (!(__atomic_fetch_or(&l->pir[i], bit, __ATOMIC_ACQ_REL) & bit))
		vcpu_kick(l->vcpu);
}

static void deliver_to(struct vlapic *l, const struct message *m)
{
	switch (m->delivery) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		vlapic_post(l, m->vector, m->level);
		break;
	case DELIVERY_NMI:
		vcpu_post_nmi(l->vcpu);
		break;
	case DELIVERY_INIT:
		vcpu_post_init(l->vcpu);
		break;
	case DELIVERY_SIPI:
		vcpu_post_sipi(l->vcpu, m->vector);
		break;
	case DELIVERY_EXTINT:
		if (vlapic_enabled(l) && vlapic_software_enabled(l)) {
			__atomic_store_n(&l->extint, 1, __ATOMIC_RELEASE);
			vcpu_kick(l->vcpu);
		}
		break;
	default: /* there is no SMM */
		break;
	}
}

/* One of those selected and enabled takes it: spread by vector, the same one for the same vector.
 */
static void deliver_lowest(const struct message *m)
{
	unsigned n = 0, pick;

	for (unsigned i = 0; i < vcpu_count(); i++) {
		const struct vlapic *l = &vcpu_get(i)->lapic;

		n += selected(l, m) && vlapic_software_enabled(l);
	}
	if (n == 0)
		return;
	pick = m->vector % n;
	for (unsigned i = 0; i < vcpu_count(); i++) {
		struct vlapic *l = &vcpu_get(i)->lapic;

		if (selected(l, m) && vlapic_software_enabled(l) && pick-- == 0) {
			deliver_to(l, m);
			return;
		}
	}
}

static void deliver(const struct message *m)
{
	if (m->delivery == DELIVERY_LOWEST) {
		deliver_lowest(m);
		return;
	}
	if (!m->logical && !broadcast(m)) {
		struct vcpu *v = vcpu_by_apic_id(m->dest);

		if (v && vlapic_enabled(&v->lapic))
			deliver_to(&v->lapic, m);
		return;
	}
	for (unsigned i = 0; i < vcpu_count(); i++) {
		struct vlapic *l = &vcpu_get(i)->lapic;

		if (selected(l, m))
			deliver_to(l, m);
	}
}

void vlapic_deliver(uint32_t dest, bool logical, unsigned delivery, uint8_t vector, bool level)
{
	const struct message m = {.dest = dest,
				  .logical = logical,
				  .delivery = delivery,
				  .vector = vector,
				  .level = level};

	deliver(&m);
}

static void deliver_all(struct vlapic *l, const struct message *m, bool self)
{
	for (unsigned i = 0; i < vcpu_count(); i++) {
		struct vlapic *other = &vcpu_get(i)->lapic;

		if (vlapic_enabled(other) && (self || other != l))
			deliver_to(other, m);
	}
}

void vlapic_send_icr(struct vlapic *l, uint32_t low, uint32_t high)
{
	bool x2 = vlapic_x2apic(l);
	/* The trigger mode only matters for INIT; IPIs are edges. */
	const struct message m = {.dest = x2 ? high : high >> 24,
				  .wide = x2,
				  .logical = low & ICR_LOGICAL,
				  .delivery = low >> 8 & 7,
				  .vector = (uint8_t)low};

	if (m.delivery == DELIVERY_INIT && (low & ICR_LEVEL) && !(low & ICR_ASSERT))
		return; /* level de-assert: only arbitration IDs, which nobody has any more */
	if (m.delivery == DELIVERY_EXTINT)
		return; /* "reserved" in the ICR */
	if (m.delivery <= DELIVERY_LOWEST && m.vector < VECTOR_MIN) {
		vlapic_error(l, ESR_SEND_ILLEGAL);
		return;
	}
	switch (low >> 18 & 3) {
	case SHORTHAND_SELF:
		deliver_to(l, &m);
		break;
	case SHORTHAND_ALL:
		deliver_all(l, &m, true);
		break;
	case SHORTHAND_OTHERS:
		deliver_all(l, &m, false);
		break;
	default:
		deliver(&m);
		break;
	}
}

void vlapic_send_self(struct vlapic *l, uint8_t vector)
{
	if (vector < VECTOR_MIN)
		vlapic_error(l, ESR_SEND_ILLEGAL);
	else
		vlapic_post(l, vector, false);
}
