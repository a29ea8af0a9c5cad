// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/node.h"
#include "arch/x86_64/arch.h"
#include "hv/console.h"
#include "hv/drives.h"
#include "hv/log.h"
#include "hv/pass.h"
#include "hv/platform.h"
#include "hv/vcpu.h"
#include "net/ctlnet.h"

static uint32_t action; /* enum node_action, atomic */
static const char *reason;
static const char *ended; /* the guest asked for a reset, and on_reset=stop */
static uint32_t stopped;  /* CPUs that have left virtualization, atomic */

void node_request(enum node_action a, const char *why)
{
	uint32_t none = NODE_NOTHING;

	reason = why;
	if (__atomic_compare_exchange_n(&action, &none, a, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED))
		vcpu_request(vcpu_get(0), VCPU_REQ_NODE);
}

const char *node_guest_ended(void)
{
	return __atomic_load_n(&ended, __ATOMIC_ACQUIRE);
}

/* A machine that resets stops all its CPUs; with on_reset=stop they stay in the hypervisor for the
 * operator to look at. */
void node_guest_reset(const char *why)
{
	const char *none = NULL;

	if (handoff->on_reset == RESET_REBOOT) {
		node_request(NODE_RESET, why);
		return;
	}
	if (!__atomic_compare_exchange_n(&ended, &none, why, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	pass_stop();
	for (unsigned i = 0; i < vcpu_count(); i++)
		vcpu_request(vcpu_get(i), VCPU_REQ_SHUTDOWN);
	log_error("the guest reset its machine (%s); it stays stopped, as on_reset=stop says: type "
		  "reboot",
		  why);
}

void node_guest_poweroff(void)
{
	node_request(NODE_POWEROFF, "the guest powered off");
}

void node_cpu_stop(void)
{
	vcpu_ops->cpu_disable();
	__atomic_fetch_add(&stopped, 1, __ATOMIC_RELEASE);
	for (;;) {
		cli();
		asm volatile("hlt");
	}
}

#define STOP_TIMEOUT_MS 500

static void stop_others(void)
{
	uint64_t limit = rdtsc() + tsc_hz() / 1000 * STOP_TIMEOUT_MS;

	for (unsigned i = 1; i < vcpu_count(); i++)
		vcpu_request(vcpu_get(i), VCPU_REQ_STOP);
	while (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE) < vcpu_count() - 1 && rdtsc() < limit) {
		irq_window();
		cpu_relax();
	}
}

void node_act(void)
{
	enum node_action a = (enum node_action)__atomic_load_n(&action, __ATOMIC_ACQUIRE);

	if (a == NODE_NOTHING)
		return;
	stop_others();
	pass_stop();
	console_flush();
	log_info("%s: %s", a == NODE_RESET ? "reset" : "power-off", reason);
	ctlnet_stop();
	uart_flush_polled();
	drives_off();
	vcpu_ops->cpu_disable(); /* INIT is blocked in VMX root operation */
	if (a == NODE_RESET)
		machine_reset();
	machine_poweroff();
}
