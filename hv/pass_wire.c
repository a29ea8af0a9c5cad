// SPDX-License-Identifier: GPL-2.0-or-later
/* A passed-through network card and hv/nic.h: its registers, memory, times, and what is trapped. */
#include <errno.h>
#include <stddef.h>
#include "hv/freeze.h"
#include "hv/guest.h"
#include "hv/iommu.h"
#include "hv/nic.h"
#include "hv/pass.h"
#include "hv/vcpu.h"

#define POOL_BYTES	(1u << 20)
#define LOOK_US		20  /* while frames come, and for this long after the last one: */
#define LOOK_FOR	500 /* looks */
#define IDLE_US		500
#define STATISTICS_PAGE 4

struct pass_wire {
	struct nic nic;
	struct pass *p;
	uint64_t settle_ns;
	struct vtimer timer; /* of the replay */
	unsigned looks;	     /* without a frame */
};

static uint32_t get(void *ctx, unsigned reg)
{
	const struct pass *p = ctx;

	return *(volatile uint32_t *)(p->regs + reg);
}

static void put(void *ctx, unsigned reg, uint32_t v)
{
	const struct pass *p = ctx;

	*(volatile uint32_t *)(p->regs + reg) = v;
}

static void delay_us(void *ctx, unsigned us)
{
	(void)ctx;
	tsc_delay_us(us);
}

static void *guest(void *ctx, uint64_t gpa, size_t n)
{
	(void)ctx;
	return guest_ptr((gpa_t){gpa}, n);
}

static uint64_t bus_address(void *ctx, const void *own)
{
	(void)ctx;
	return virt_to_phys(own).v;
}

/* While the node is frozen: of this host tick, as if it were not. */
static vns_t frozen_time(uint64_t host)
{
	return host == HOST_NEVER
		       ? VNS_NEVER
		       : vclock_ticks_to_ns(&node_clock,
					    node_clock.stopped + (host - freeze_stopped()));
}

static void look_after(struct pass_wire *w, vns_t next)
{
	vtimer_arm(&w->timer, next);
	pass_trap(w->p, w->nic.family->rx_page / PAGE_SIZE, w->nic.phase == NIC_REPLAYING);
}

static void due(struct vtimer *t, vns_t now)
{
	struct pass_wire *w = (struct pass_wire *)((char *)t - offsetof(struct pass_wire, timer));

	spin_lock(&platform_lock);
	if (w->nic.phase == NIC_REPLAYING)
		look_after(w, nic_replay(&w->nic, now));
	spin_unlock(&platform_lock);
}

/* --- the card's operations --- */

static void wire_reset(struct pass *p)
{
	struct pass_wire *w = p->card_dev;

	nic_reset(&w->nic);
	look_after(w, VNS_NEVER);
}

static void wire_freeze(struct pass *p)
{
	struct pass_wire *w = p->card_dev;

	vtimer_cancel(&w->timer);
	w->looks = 0;
	nic_freeze(&w->nic, frozen_time(node_host_ticks()), w->settle_ns);
}

static uint64_t wire_work(struct pass *p)
{
	struct pass_wire *w = p->card_dev;
	uint64_t now = node_host_ticks();

	if (!nic_watches(&w->nic))
		return UINT64_MAX;
	w->looks = nic_poll(&w->nic, frozen_time(now)) ? 0 : w->looks + 1;
	return now + tsc_hz() / 1000000 * (w->looks < LOOK_FOR ? LOOK_US : IDLE_US);
}

static void wire_thaw(struct pass *p)
{
	struct pass_wire *w = p->card_dev;
	vns_t stands = vclock_ticks_to_ns(&node_clock, node_clock.stopped);

	nic_thaw(&w->nic, frozen_time(node_host_ticks()), stands, frozen_time(freeze_restart()));
	look_after(w, w->nic.phase == NIC_REPLAYING ? stands : VNS_NEVER);
}

static void wire_start(struct pass *p)
{
	const struct pass_wire *w = p->card_dev;

	nic_start(&w->nic);
}

static void card_reset(void *ctx)
{
	struct pass *p = ctx;

	p->reset(p);
}

static int wire_save(struct pass *p, struct state_writer *w)
{
	struct pass_wire *wire = p->card_dev;

	nic_settle(&wire->nic, frozen_time(node_host_ticks()));
	return nic_save(&wire->nic, w);
}

static bool wire_load(struct pass *p, struct state_reader *r)
{
	struct pass_wire *w = p->card_dev;

	return nic_load(&w->nic, r, card_reset);
}

static void wire_scramble(struct pass *p)
{
	struct pass_wire *w = p->card_dev;

	nic_scramble(&w->nic, card_reset);
}

static size_t wire_image_bytes(struct pass *p)
{
	struct pass_wire *w = p->card_dev;

	nic_settle(&w->nic, frozen_time(node_host_ticks()));
	return w->nic.pool.used;
}

static bool statistic(unsigned reg)
{
	return reg / PAGE_SIZE == STATISTICS_PAGE;
}

static uint32_t wire_read(struct pass *p, unsigned reg)
{
	struct pass_wire *w = p->card_dev;

	if (statistic(reg))
		return nic_statistics_read(&w->nic, reg);
	return nic_shadow_read(&w->nic, reg);
}

static void wire_write(struct pass *p, unsigned reg, uint32_t v)
{
	struct pass_wire *w = p->card_dev;

	if (statistic(reg)) {
		put(p, reg, v);
		return;
	}
	nic_shadow_write(&w->nic, reg, v, node_now());
	if (w->nic.phase == NIC_RUNNING)
		look_after(w, VNS_NEVER);
}

static const struct pass_card ops = {
	.reset = wire_reset,
	.freeze = wire_freeze,
	.thaw = wire_thaw,
	.start = wire_start,
	.save = wire_save,
	.load = wire_load,
	.scramble = wire_scramble,
	.image_bytes = wire_image_bytes,
	.work = wire_work,
	.read = wire_read,
	.write = wire_write,
};

const struct nic *pass_wire_nic(const struct pass *p)
{
	const struct pass_wire *w = p->card_dev;

	return &w->nic;
}

int pass_wire_add(struct pass *p, const struct nic_family *f, uint32_t settle_us)
{
	const struct nic_io io = {.ctx = p,
				  .get = get,
				  .put = put,
				  .delay_us = delay_us,
				  .guest = guest,
				  .bus_address = bus_address};
	void *own = pages_alloc(NIC_OWN_BYTES(f->queues) / PAGE_SIZE);
	void *pool = pages_alloc(POOL_BYTES / PAGE_SIZE);
	struct pass_wire *w;

	if (!own || !pool)
		return -ENOMEM;
	w = heap_alloc(sizeof(*w));
	w->p = p;
	w->settle_ns = settle_us * 1000ull;
	iommu_share(own, NIC_OWN_BYTES(f->queues) / PAGE_SIZE);
	nic_init(&w->nic, f, &io, own, pool, POOL_BYTES);
	vtimer_init(&w->timer, &cpu_get(0)->timers, due);
	p->card = &ops;
	p->card_dev = w;
	p->trapped = 1u << STATISTICS_PAGE;
	return 0;
}
