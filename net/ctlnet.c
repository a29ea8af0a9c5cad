// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/ctlnet.h"
#include "arch/x86_64/arch.h"
#include "hv/iommu.h"
#include "hv/log.h"
#include "net/control.h"
#include "net/entropy.h"
#include "net/netdev.h"
#include "net/nbd_tcp.h"
#include "net/nics.h"
#include "net/ptp_udp.h"
#include "net/stack.h"
#include "net/syslog.h"
#include "net/tls.h"
#include "timevirt/rate.h"

#define SLICE_US   20
#define TICK_MS	   100u /* the clock of NBD's and the control server's time-outs */
#define LAST_LINES 50u
#define LAST_US	   1000u /* for those to leave: 80 full frames at 1 Gbit/s */
#define CHECK_MS   1000u /* the card's link and health */
#define POLL_MS	   100u	 /* in case an interrupt got lost */
#define POLL_US	   500u	 /* a card without interrupts */

static struct netdev *card;
static uint64_t due = UINT64_MAX; /* atomic: interrupts set it */
static uint64_t timers_due, check_due;
static bool silent; /* the card does not interrupt until `rest` */

static uint64_t us(uint64_t n)
{
	return tsc_hz() / 1000000 * n;
}

/* From irq_dispatch. */
static void wake(struct netdev *d)
{
	(void)d;
	silent = true;
	__atomic_store_n(&due, 0, __ATOMIC_RELEASE);
}

const struct netdev *ctlnet_card(void)
{
	return card;
}

uint64_t ctlnet_ms(void)
{
	return rate_cycles_to_ns(rdtsc(), tsc_hz()) / 1000000;
}

void ctlnet_kick(void)
{
	__atomic_store_n(&due, 0, __ATOMIC_RELEASE);
}

uint64_t ctlnet_due(void)
{
	return __atomic_load_n(&due, __ATOMIC_ACQUIRE);
}

static void run_timers(uint64_t now)
{
	uint64_t now_ms = rate_cycles_to_ns(now, tsc_hz()) / 1000000;
	bool ticks;
	uint32_t ms;

	if (now >= check_due) {
		card->ops->check(card);
		check_due = now + us(CHECK_MS * 1000ull);
	}
	ms = stack_timers();
	ms = ms < CHECK_MS ? ms : CHECK_MS;
	ticks = nbd_tcp_tick(now_ms);
	ticks |= control_tick();
	if (ticks && ms > TICK_MS)
		ms = TICK_MS;
	timers_due = now + us(ms * 1000ull);
}

/* Some work; false: there is none left. */
static bool step(void)
{
	bool frame = card->ops->poll(card), served = control_step(), timed = ptp_udp_step();

	if (frame || served || timed || syslog_step())
		return true;
	if (!silent)
		return false;
	silent = false;
	return card->ops->rest(card);
}

/* From the start, or since its wire was given up. */
static bool polled(void)
{
	return card->wired[0] == 'p';
}

static uint64_t next_look(uint64_t now)
{
	uint64_t poll = now + us(polled() ? POLL_US : POLL_MS * 1000ull);

	poll = poll < timers_due ? poll : timers_due;
	return poll < ptp_udp_due() ? poll : ptp_udp_due();
}

void ctlnet_poll(void)
{
	uint64_t now = rdtsc();

	if (now >= timers_due)
		run_timers(now);
	if (step()) /* what is left is not announced again */
		__atomic_store_n(&due, 0, __ATOMIC_RELEASE);
}

void ctlnet_work(bool guest_runs)
{
	uint64_t begin = rdtsc(), now = begin;
	bool more = true;

	__atomic_store_n(&due, UINT64_MAX, __ATOMIC_RELEASE);
	do {
		if (now >= timers_due)
			run_timers(now);
		else
			more = step();
		now = rdtsc();
	} while (more && now - begin < us(SLICE_US));
	if (!more)
		__atomic_store_n(&due, next_look(now), __ATOMIC_RELEASE);
	else /* the guest gets as much, if it has a use for it */
		__atomic_store_n(&due, guest_runs ? now + (now - begin) : 0, __ATOMIC_RELEASE);
}

void ctlnet_stop(void)
{
	unsigned lines = LAST_LINES;

	if (!card)
		return;
	while (lines && syslog_step())
		lines--;
	tsc_delay_us(LAST_US);
	__atomic_store_n(&due, UINT64_MAX, __ATOMIC_RELEASE);
	card->ops->stop(card);
}

void ctlnet_init(const struct handoff *h, const struct control_handler *handler)
{
	struct stack_config c = {.ip = h->ip, .prefix = h->ip_prefix, .gateway = h->gateway};
	struct netdev *d = nics_control(h);

	if (!d)
		return;
	iommu_assign(d->bus, d->dev, d->fn, IOMMU_HYPERVISOR);
	d->receive = stack_input;
	d->wake = wake;
	if (d->ops->start(d) != 0) {
		log_error("net: no memory for the control card's rings: raise hv_memory=");
		d->ops->stop(d);
		return;
	}
	card = d;
	silent = true; /* while its interrupt was looked for */
	log_info("net: control card %02x:%02x.%x, %s, %02x:%02x:%02x:%02x:%02x:%02x, interrupts "
		 "by %s",
		 d->bus, d->dev, d->fn, d->model, d->mac[0], d->mac[1], d->mac[2], d->mac[3],
		 d->mac[4], d->mac[5], polled() ? "none: polled" : d->wired);
	stack_init(d, &c);
	if (h->syslog_ip)
		syslog_init(h->syslog_ip, (uint16_t)h->syslog_port);
	ptp_udp_init(h, d->mac);
	tls_memory_init();
	if (entropy_init(d->mac) != 0)
		log_error("net: no random numbers: the control server stays off");
	else
		control_start(h, handler);
	__atomic_store_n(&due, 0, __ATOMIC_RELEASE);
}
