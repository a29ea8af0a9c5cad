// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/ptp_udp.h"
#include <lwip/igmp.h>
#include <lwip/udp.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/log.h"
#include "net/ctlnet.h"
#include "net/netdev.h"
#include "net/ptp_clock.h"
#include "net/stack.h"
#include "timevirt/rate.h"

#define TTL	      1 /* annex D.3 */
#define PRIORITY_BEST 0

static struct ptp_clock clock;
static bool on;
static uint64_t steps;
static struct udp_pcb *event_pcb, *general_pcb;
static ip_addr_t group;
static struct log_ratelimit limit = {.burst = 2}; /* a hostile master has us change often */

uint64_t ptp_udp_local(uint64_t ticks)
{
	return rate_cycles_to_ns(ticks, tsc_hz());
}

uint64_t ptp_udp_ticks(uint64_t shared)
{
	return rate_ns_to_cycles_up(shared_to_local(&clock.shared, shared), tsc_hz());
}

const struct ptp_clock *ptp_udp_clock(void)
{
	return on ? &clock : NULL;
}

uint64_t ptp_udp_steps(void)
{
	return steps;
}

void ptp_udp_hold(bool held)
{
	if (on)
		ptp_hold(&clock, held, ptp_udp_local(rdtsc()));
}

/* --- to and from the network --- */

static void on_message(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
		       u16_t port)
{
	uint8_t buf[PTP_MESSAGE_MAX];
	uint64_t stamp = pcb == event_pcb ? ptp_udp_local(stack_rx_tsc()) : PTP_NO_STAMP;
	u16_t n = pbuf_copy_partial(p, buf, sizeof(buf), 0);

	(void)arg;
	(void)from;
	(void)port;
	(void)pbuf_free(p);
	ptp_receive(&clock, buf, n, stamp, ptp_udp_local(rdtsc()));
	ctlnet_kick();
}

static void send_message(const struct ptp_action *a)
{
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)a->size, PBUF_RAM);
	struct netdev_stamp stamp;

	if (!p)
		return;
	(void)pbuf_take(p, a->bytes, (u16_t)a->size);
	stack_forget_tx();
	if (udp_sendto(a->event ? event_pcb : general_pcb, p, &group,
		       a->event ? PTP_PORT_EVENT : PTP_PORT_GENERAL) == ERR_OK &&
	    a->cookie && stack_tx_stamp(&stamp))
		ptp_sent(&clock, a->cookie,
			 ptp_udp_local(stamp.before + (stamp.after - stamp.before) / 2));
	(void)pbuf_free(p);
}

/* --- the clock --- */

static void log_change(void)
{
	static const char *const names[] = {"listening", "master", "passive", "slave"};
	const uint8_t *m = clock.master.clock;

	if (clock.state == PTP_SLAVE)
		log_info("ptp: slave of %02x%02x%02x.%02x%02x.%02x%02x%02x", m[0], m[1], m[2], m[3],
			 m[4], m[5], m[6], m[7]);
	else
		log_info("ptp: %s", names[clock.state]);
}

bool ptp_udp_step(void)
{
	struct ptp_action a;

	if (!on || !ptp_next(&clock, ptp_udp_local(rdtsc()), &a))
		return false;
	if (a.type == PTP_SEND)
		send_message(&a);
	else if (a.type == PTP_STEPPED)
		steps++;
	if (a.type != PTP_SEND && log_ratelimited(&limit)) {
		if (a.type == PTP_CHANGED)
			log_change();
		else
			log_info("ptp: shared time was set");
	}
	return true;
}

uint64_t ptp_udp_due(void)
{
	uint64_t deadline = on ? ptp_deadline(&clock) : UINT64_MAX;

	return deadline == UINT64_MAX ? deadline : rate_ns_to_cycles_up(deadline, tsc_hz());
}

/* --- the beginning --- */

static struct udp_pcb *open_port(u16_t port)
{
	struct udp_pcb *pcb = udp_new();

	if (!pcb || udp_bind(pcb, IP_ADDR_ANY, port) != ERR_OK)
		return NULL;
	udp_set_multicast_ttl(pcb, TTL);
	udp_recv(pcb, on_message, NULL);
	return pcb;
}

void ptp_udp_init(const struct handoff *h, const uint8_t mac[6])
{
	/* 7.5.2.2.2: an EUI-64 of the EUI-48 */
	struct ptp_config config = {PTP_DEFAULTS, .identity = {mac[0], mac[1], mac[2], 0xff, 0xfe,
							       mac[3], mac[4], mac[5]}};
	uint64_t wall = host_rtc_seconds() * RATE_SECOND;

	if (h->ptp == PTP_MODE_OFF)
		return;
	config.slave_only = h->ptp == PTP_MODE_SLAVE;
	if (h->ptp == PTP_MODE_MASTER)
		config.priority1 = PRIORITY_BEST;
	ip_addr_set_ip4_u32(&group, lwip_htonl(PTP_GROUP));
	event_pcb = open_port(PTP_PORT_EVENT);
	general_pcb = open_port(PTP_PORT_GENERAL);
	if (!event_pcb || !general_pcb ||
	    igmp_joingroup(IP4_ADDR_ANY4, ip_2_ip4(&group)) != ERR_OK) {
		log_error("ptp: no memory");
		return;
	}
	ptp_init(&clock, &config, ptp_udp_local(rdtsc()), wall);
	on = true;
}
