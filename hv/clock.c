// SPDX-License-Identifier: GPL-2.0-or-later
/* The node's clock as the rest sees it: the virtual clock read with this CPU's TSC. */
#include "arch/x86_64/arch.h"
#include "hv/vcpu.h"
#include "timevirt/vclock.h"

struct vclock node_clock;

uint64_t node_host_ticks(void)
{
	return rdtsc_ordered() + (uint64_t)this_cpu()->tsc_skew;
}

uint64_t node_ticks(void)
{
	return vclock_ticks(&node_clock, node_host_ticks());
}

vns_t node_now(void)
{
	return vclock_ns(&node_clock, node_host_ticks());
}

void vcpu_update_tsc(struct vcpu *v)
{
	vcpu_ops->set_tsc_offset(v, node_clock.offset + (uint64_t)v->cpu->tsc_skew + v->tsc_adjust);
}
