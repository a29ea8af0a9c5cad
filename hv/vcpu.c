// SPDX-License-Identifier: GPL-2.0-or-later
/* vCPUs: creation, requests from other CPUs, and the loop that each physical CPU spends its life
 * in. */
#include "hv/vcpu.h"
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/disk.h"
#include "hv/experiment.h"
#include "hv/freeze.h"
#include "hv/log.h"
#include "hv/msr.h"
#include "hv/node.h"
#include "hv/stats.h"
#include "hv/vcpu_unit.h"
#include "net/ctlnet.h"

const struct vcpu_ops *vcpu_ops;

#define RFLAGS_IF   (1ull << 9)
#define CR4_OSXSAVE (1ull << 18)

static struct vcpu *vcpus[CPUS_MAX];
static unsigned n_vcpus;

struct vcpu *vcpu_get(unsigned index)
{
	return vcpus[index];
}

unsigned vcpu_count(void)
{
	return n_vcpus;
}

struct vcpu *vcpu_by_apic_id(uint32_t id)
{
	for (unsigned i = 0; i < n_vcpus; i++)
		if (vcpus[i]->lapic.id == id)
			return vcpus[i];
	return NULL;
}

void vcpu_kick(struct vcpu *v)
{
	if (v->cpu != this_cpu())
		lapic_send(v->cpu->apic_id, VECTOR_KICK);
}

void vcpu_request(struct vcpu *v, uint32_t req)
{
	__atomic_fetch_or(&v->requests, req, __ATOMIC_RELEASE);
	vcpu_kick(v);
}

/* A SIPI that came before is void: INIT waits for the next one. */
void vcpu_post_init(struct vcpu *v)
{
	__atomic_fetch_and(&v->requests, ~(uint32_t)VCPU_REQ_SIPI, __ATOMIC_ACQ_REL);
	vcpu_request(v, VCPU_REQ_INIT);
}

void vcpu_post_sipi(struct vcpu *v, uint8_t vector)
{
	__atomic_store_n(&v->sipi_vector, 0x100u | vector, __ATOMIC_RELAXED);
	vcpu_request(v, VCPU_REQ_SIPI);
}

void vcpu_post_nmi(struct vcpu *v)
{
	vcpu_request(v, VCPU_REQ_NMI);
}

/* The timer queue of a CPU got a nearer deadline from another CPU. */
static void kick_queue(struct vtimerq *q)
{
	for (unsigned i = 0; i < n_vcpus; i++)
		if (&vcpus[i]->cpu->timers == q)
			vcpu_kick(vcpus[i]);
}

struct vcpu *vcpu_create(unsigned index, struct cpu *cpu)
{
	struct vcpu *v = heap_alloc(sizeof(*v));
	void *apic_page = pages_alloc(1);

	ASSERT(apic_page);
	v->index = index;
	v->cpu = cpu;
	v->mtrr = heap_alloc(sizeof(*v->mtrr));
	v->stats = heap_alloc(sizeof(*v->stats));
	v->stats->tracing = true;
	mtrr_reset(v->mtrr);
	cpu->vcpu = v;
	vtimerq_init(&cpu->timers, kick_queue);
	vlapic_init(&v->lapic, v, apic_page, cpu->apic_id, index == 0, &cpu->timers);
	vcpu_unit_register(v);
	vcpus[index] = v;
	n_vcpus = index + 1;
	return v;
}

void vcpu_start(struct vcpu *v)
{
	int err = vcpu_ops->cpu_enable();

	if (err)
		panic("cpu%u: %s could not be enabled (%d)", v->index, vcpu_ops->name, err);
	err = vcpu_ops->create(v);
	if (err)
		panic("cpu%u: no virtual CPU (%d)", v->index, err);
	vcpu_ops->reset(v);
	v->activity = v->index == 0 ? VCPU_ACTIVE : VCPU_WAIT_SIPI;
	v->xcr0 = 1;
	if (read_cr4() & CR4_OSXSAVE)
		xsetbv(0, v->xcr0);
	v->deadline_ns = VNS_NEVER;
	v->deadline_host = UINT64_MAX;
	vcpu_update_tsc(v);
}

static void serve_init(struct vcpu *v)
{
	vcpu_ops->reset(v);
	vlapic_init_reset(&v->lapic);
	v->nmi_pending = 0;
	v->event_pending = false;
	v->activity = v->index == 0 ? VCPU_ACTIVE : VCPU_WAIT_SIPI;
}

#define BOOT_CPU_REQUESTS (VCPU_REQ_CONSOLE | VCPU_REQ_NODE)

static void serve_boot_cpu(uint32_t req)
{
	if (req & VCPU_REQ_CONSOLE)
		console_poll();
	if (req & VCPU_REQ_NODE)
		node_act();
}

bool vcpu_serve_boot_cpu(struct vcpu *v)
{
	uint32_t req =
		__atomic_fetch_and(&v->requests, ~(uint32_t)BOOT_CPU_REQUESTS, __ATOMIC_ACQ_REL);

	if (node_host_ticks() >= console_due())
		req |= VCPU_REQ_CONSOLE;
	serve_boot_cpu(req);
	return req & BOOT_CPU_REQUESTS;
}

static void serve_requests(struct vcpu *v)
{
	uint32_t req = __atomic_load_n(&v->requests, __ATOMIC_ACQUIRE);

	v->stats->served |= req;
	if (req & BOOT_CPU_REQUESTS) { /* a command may freeze the node: the rest is its state */
		vcpu_serve_boot_cpu(v);
		return;
	}
	req = __atomic_fetch_and(&v->requests, (uint32_t)BOOT_CPU_REQUESTS, __ATOMIC_ACQ_REL);
	if (req & VCPU_REQ_STOP)
		node_cpu_stop();
	if (req & VCPU_REQ_INIT)
		serve_init(v);
	if ((req & VCPU_REQ_SIPI) && v->activity == VCPU_WAIT_SIPI) {
		vcpu_ops->sipi(v, (uint8_t)__atomic_load_n(&v->sipi_vector, __ATOMIC_RELAXED));
		v->activity = VCPU_ACTIVE;
	}
	/* One is latched while another is in service (SDM vol. 3, "Handling Multiple NMIs"). */
	if (req & VCPU_REQ_NMI && v->nmi_pending < (vcpu_ops->nmi_blocked(v) ? 1 : 2))
		v->nmi_pending++;
	if (req & VCPU_REQ_TSC)
		vcpu_update_tsc(v);
	if (req & VCPU_REQ_FLUSH)
		vcpu_ops->flush(v);
	if (req & VCPU_REQ_SHUTDOWN)
		v->activity = VCPU_SHUTDOWN;
}

/* Host tick of this CPU's TSC at which its earliest virtual timer is due; cached, since it needs
 * divisions. */
static uint64_t host_deadline(struct vcpu *v)
{
	vns_t next = vtimerq_next(&v->cpu->timers);

	if (next.v != v->deadline_ns.v || v->deadline_epoch != node_clock.started) {
		uint64_t host = vclock_host_deadline(&node_clock, next);

		if (v->deadline_epoch != node_clock.started) /* time stood meanwhile */
			stats_rested(v);
		v->deadline_ns = next;
		v->deadline_epoch = node_clock.started;
		v->deadline_host = host == UINT64_MAX ? host : host - (uint64_t)v->cpu->tsc_skew;
	}
	return v->deadline_host;
}

/* Does anything end the guest's HLT? */
static bool wakes(struct vcpu *v)
{
	if (v->nmi_pending && !vcpu_ops->nmi_blocked(v))
		return true;
	if (!(v->rflags & RFLAGS_IF))
		return false;
	if (vlapic_extint(&v->lapic))
		return true;
	return vlapic_sync(&v->lapic) && vlapic_pending(&v->lapic) >= 0;
}

/* The vCPU does not execute: sleep until something happens. */
static bool idle(struct vcpu *v, uint64_t deadline)
{
	if (v->activity == VCPU_HLT && wakes(v)) {
		v->activity = VCPU_ACTIVE;
		return false;
	}
	if (__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE) || rdtsc() >= deadline)
		return true;
	lapic_timer_arm(deadline);
	halt_once();
	return true;
}

static void experiment_job(bool guest_runs)
{
	(void)guest_runs;
	experiment_work();
}

/* Boot CPU: slices for the disk and the control network if it is time; the deadline, or the next
 * slice's. */
static uint64_t serve_background(const struct vcpu *v, uint64_t now, uint64_t deadline)
{
	static const struct {
		uint64_t (*due)(void);
		void (*work)(bool guest_runs);
	} jobs[] = {
		{disk_due, disk_work}, {ctlnet_due, ctlnet_work}, {experiment_due, experiment_job}};

	for (unsigned i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		uint64_t due = jobs[i].due();

		if (now >= due) {
			uint64_t begin = rdtsc();

			jobs[i].work(v->activity == VCPU_ACTIVE);
			if (v->activity == VCPU_ACTIVE)
				v->stats->slices += rdtsc() - begin;
			due = jobs[i].due();
		}
		if (due < deadline)
			deadline = due;
	}
	return deadline;
}

/* Fires the timers that are due, and returns when to look again. The guest gets as much time as
 * they took before the next ones: whatever it has programmed, it comes to execute. */
static uint64_t serve_timers(struct vcpu *v, uint64_t *now)
{
	uint64_t deadline = host_deadline(v), begin = *now;

	if (begin >= deadline && begin >= v->timers_rest) {
		vtimerq_run(&v->cpu->timers, node_now());
		deadline = host_deadline(v);
		*now = rdtsc();
		v->timers_rest = *now + (*now - begin);
	}
	return deadline > v->timers_rest ? deadline : v->timers_rest;
}

void vcpu_loop(struct vcpu *v)
{
	for (;;) {
		uint64_t freeze = freeze_deadline(v), now = rdtsc(), deadline;
		uint64_t console = v->index == 0 ? console_due() : HOST_NEVER;

		if (now >= freeze) {
			freeze_park(v);
			continue;
		}
		if (now >= console) {
			v->stats->served |= VCPU_REQ_CONSOLE;
			console_poll();
			continue;
		}
		if (__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE)) {
			serve_requests(v);
			continue;
		}
		deadline = serve_timers(v, &now);
		if (v->activity == VCPU_SHUTDOWN || freeze < deadline)
			deadline = freeze; /* a vCPU shut down has no more timers */
		if (v->index == 0)
			deadline = serve_background(v, now, deadline);
		if (console < deadline)
			deadline = console;
		if (v->activity != VCPU_ACTIVE && idle(v, deadline)) {
			stats_rested(v);
			continue;
		}
		/* timers and slices ask this CPU for things, too (an NMI by the PIT's wire), and
		 * nobody kicks it */
		if (__atomic_load_n(&v->requests, __ATOMIC_ACQUIRE))
			continue;
		stats_enter(v, now);
		vcpu_ops->run(v, deadline);
	}
}

/* Exceptions that turn a second one into a double fault (SDM vol. 3, table 6-5). */
static bool contributory(uint8_t vector)
{
	return vector == 0 || (vector >= 10 && vector <= 13);
}

void vcpu_inject(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	struct vcpu_event e = {
		.vector = vector, .type = EVENT_EXCEPTION, .has_error = has_error, .error = error};

	if (v->event_pending && v->event.type == EVENT_EXCEPTION) {
		uint8_t first = v->event.vector;

		if (first == 8) {
			exit_triple_fault(v);
			return;
		}
		if ((contributory(first) && contributory(vector)) ||
		    (first == 14 && (vector == 14 || contributory(vector))))
			e = (struct vcpu_event){
				.vector = 8, .type = EVENT_EXCEPTION, .has_error = true};
	}
	v->event = e;
	v->event_pending = true;
	vcpu_ops->inject(v, &e);
}
