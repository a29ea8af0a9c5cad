/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Four virtual CPUs with nothing but their LAPICs, on a clock that only moves when told to. For
 * unit tests and fuzzers. Without RIG_BOARD the 8259's wire and the IOAPIC's ear for EOIs are
 * variables here too.
 */
#pragma once
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/irq.h"
#include "hv/log.h"
#include "hv/vcpu.h"
#include "hv/vlapic_internal.h"
#include "test/unit/images.h"
#include "test/unit/quiet.h"

#define RIG_CPUS 4
#define RIG_HZ	 2394000000ull

struct rig_events {
	unsigned kicks, nmis, inits, sipis, sipi_vector;
};

static const uint32_t rig_id[RIG_CPUS] = {0, 1, 0x12, 0x25};
static struct vcpu rig_vcpu[RIG_CPUS];
static uint8_t rig_page[RIG_CPUS][4096] __attribute__((aligned(4096)));
static struct vtimerq rig_queue[RIG_CPUS];
static struct rig_events rig_events[RIG_CPUS];
static uint64_t rig_host; /* host ticks */
struct vclock node_clock;

vns_t node_now(void)
{
	return vclock_ns(&node_clock, rig_host);
}

uint64_t node_ticks(void)
{
	return vclock_ticks(&node_clock, rig_host);
}

struct vcpu *vcpu_get(unsigned index)
{
	return &rig_vcpu[index];
}

unsigned vcpu_count(void)
{
	return RIG_CPUS;
}

struct vcpu *vcpu_by_apic_id(uint32_t id)
{
	for (unsigned i = 0; i < RIG_CPUS; i++) {
		if (rig_id[i] == id)
			return &rig_vcpu[i];
	}
	return NULL;
}

void vcpu_kick(struct vcpu *v)
{
	rig_events[v->index].kicks++;
}

void vcpu_post_nmi(struct vcpu *v)
{
	rig_events[v->index].nmis++;
}

void vcpu_post_init(struct vcpu *v)
{
	rig_events[v->index].inits++;
}

void vcpu_post_sipi(struct vcpu *v, uint8_t vector)
{
	rig_events[v->index].sipis++;
	rig_events[v->index].sipi_vector = vector;
}

#ifndef RIG_BOARD
static bool rig_intr;
static unsigned rig_broadcasts, rig_broadcast_vector;

bool pic_intr(void)
{
	return rig_intr;
}

int pic_intack(void)
{
	rig_intr = false;
	return 0x33;
}

void ioapic_eoi_broadcast(uint8_t vector)
{
	rig_broadcasts++;
	rig_broadcast_vector = vector;
}
#endif

static inline struct vlapic *lapic(unsigned i)
{
	return &rig_vcpu[i].lapic;
}

/* Power-on, all software-enabled, virtual time 0. The first call creates the LAPICs and their
 * units. */
static inline void rig_reset(void)
{
	static bool created;

	rig_host = 12345;
	assert(vclock_init(&node_clock, RIG_HZ, rig_host, 0) == 0);
	for (unsigned i = 0; i < RIG_CPUS; i++) {
		rig_vcpu[i].index = i;
		rig_vcpu[i].tsc_adjust = 0;
		if (!created) {
			vtimerq_init(&rig_queue[i], NULL);
			vlapic_init(lapic(i), &rig_vcpu[i], rig_page[i], rig_id[i], i == 0,
				    &rig_queue[i]);
		}
		vlapic_reset(lapic(i));
		vlapic_mmio_write(lapic(i), APIC_SVR, 4, SVR_ENABLE | 0xff);
	}
	created = true;
	memset(rig_events, 0, sizeof(rig_events));
#ifndef RIG_BOARD
	rig_intr = false;
	rig_broadcasts = 0;
#endif
}

static inline void rig_run_timers(void)
{
	for (unsigned i = 0; i < RIG_CPUS; i++)
		vtimerq_run(&rig_queue[i], node_now());
}

/* Virtual time becomes `ns` without anybody looking at the timers. */
static inline void rig_jump(uint64_t ns)
{
	uint64_t host = vclock_host_deadline(&node_clock, (vns_t){ns});

	rig_host = host > rig_host ? host : rig_host;
}

/* Virtual time goes on to `ns`; every timer fires at its deadline. Returns how many moments that
 * took. */
static inline unsigned rig_advance(uint64_t ns)
{
	unsigned stops = 0;

	for (;;) {
		uint64_t next = UINT64_MAX;

		for (unsigned i = 0; i < RIG_CPUS; i++) {
			uint64_t t = vtimerq_next(&rig_queue[i]).v;

			next = t < next ? t : next;
		}
		if (next > ns)
			break;
		rig_jump(next);
		rig_run_timers();
		stops++;
	}
	rig_jump(ns);
	return stops;
}
