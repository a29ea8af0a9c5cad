// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/stack.h"
#include <string.h>
#include <lwip/dhcp.h>
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/prot/dhcp.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>
#include "arch/x86_64/arch.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "net/netdev.h"
#include "timevirt/rate.h"

#define NS_PER_MS 1000000u

static struct netif netif;
static struct netdev *card;
static uint64_t random_state;
static uint64_t rx_tsc;
static struct netdev_stamp tx_stamp;
static bool tx_stamped;

/* --- what lwIP asks of us --- */

u32_t sys_now(void)
{
	return (u32_t)(rate_cycles_to_ns(rdtsc(), tsc_hz()) / NS_PER_MS);
}

/* SplitMix64, stirred with the TSC at each call: transaction numbers and ports that a stranger
 * can't count on, not keys. */
uint32_t stack_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull ^ rdtsc();

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)(z >> 31);
}

void stack_broken(const char *what)
{
	panic("lwIP: %s", what);
}

/* --- between netif and card --- */

static err_t output(struct netif *n, struct pbuf *p)
{
	static uint8_t frame[NETDEV_FRAME_MAX];

	if (p->tot_len > sizeof(frame))
		return ERR_BUF;
	(void)pbuf_copy_partial(p, frame, p->tot_len, 0);
	/* lost like on the wire if it can't be sent: TCP and DHCP try again */
	tx_stamped = card->ops->send(n->state, frame, p->tot_len, &tx_stamp) == 0;
	return ERR_OK;
}

void stack_input(struct netdev *d, const void *frame, size_t n, uint64_t tsc)
{
	struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)n, PBUF_POOL);

	rx_tsc = tsc;
	if (!p) {
		d->counts.rx_dropped++;
		return;
	}
	(void)pbuf_take(p, frame, (u16_t)n);
	if (netif.input(p, &netif) != ERR_OK)
		(void)pbuf_free(p);
}

uint64_t stack_rx_tsc(void)
{
	return rx_tsc;
}

void stack_forget_tx(void)
{
	tx_stamped = false;
}

bool stack_tx_stamp(struct netdev_stamp *s)
{
	*s = tx_stamp;
	return tx_stamped;
}

static err_t netif_setup(struct netif *n)
{
	n->name[0] = 'c';
	n->name[1] = 't';
	n->mtu = 1500;
	n->hwaddr_len = sizeof(card->mac);
	memcpy(n->hwaddr, card->mac, sizeof(card->mac));
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_IGMP;
	n->output = etharp_output;
	n->linkoutput = output;
	return ERR_OK;
}

unsigned stack_prefix(uint32_t mask)
{
	return mask ? 32u - (unsigned)__builtin_ctz(mask) : 0;
}

static void address_changed(struct netif *n)
{
	static struct stack_status last;
	struct stack_status s;
	char ip[STACK_IP_TEXT], gateway[STACK_IP_TEXT];

	(void)n;
	stack_status(&s);
	if (s.ip && (s.ip != last.ip || s.mask != last.mask || s.gateway != last.gateway))
		log_info("net: address %s/%d, gateway %s%s", stack_ip_text(s.ip, ip),
			 (int)stack_prefix(s.mask),
			 s.gateway ? stack_ip_text(s.gateway, gateway) : "none",
			 s.dhcp ? " (DHCP)" : "");
	else if (!s.ip && last.ip)
		log_warn("net: the DHCP lease has ended: no address");
	last = s;
}

void stack_init(struct netdev *d, const struct stack_config *c)
{
	ip4_addr_t ip, mask, gateway;

	card = d;
	random_state ^= rdtsc();
	for (unsigned i = 0; i < sizeof(d->mac); i++)
		random_state = random_state << 8 ^ random_state >> 56 ^ d->mac[i];
	lwip_init();
	ip4_addr_set_u32(&ip, lwip_htonl(c->ip));
	ip4_addr_set_u32(&mask, lwip_htonl(c->ip ? (uint32_t)(~0ull << (32 - c->prefix)) : 0));
	ip4_addr_set_u32(&gateway, lwip_htonl(c->gateway));
	(void)netif_add(&netif, &ip, &mask, &gateway, d, netif_setup, ethernet_input);
	netif_set_status_callback(&netif, address_changed);
	netif_set_default(&netif);
	netif_set_up(&netif);
	if (c->ip)
		address_changed(&netif);
	else if (dhcp_start(&netif) != ERR_OK)
		log_error("net: DHCP can't be started: give an address with ip=");
}

/* --- the clock --- */

static void follow_link(void)
{
	bool up = netif_is_link_up(&netif);

	if (card->link == up)
		return;
	if (card->link) {
		log_info("net: link up, %u Mbit/s", (unsigned)card->mbps);
		netif_set_link_up(&netif);
	} else {
		log_warn("net: link down");
		netif_set_link_down(&netif);
	}
}

uint32_t stack_timers(void)
{
	follow_link();
	sys_check_timeouts();
	return sys_timeouts_sleeptime();
}

/* --- status --- */

static uint32_t number(const ip4_addr_t *a)
{
	return lwip_ntohl(ip4_addr_get_u32(a));
}

void stack_status(struct stack_status *s)
{
	const struct dhcp *dhcp = netif_dhcp_data(&netif);

	*s = (struct stack_status){.ip = number(netif_ip4_addr(&netif)),
				   .mask = number(netif_ip4_netmask(&netif)),
				   .gateway = number(netif_ip4_gw(&netif)),
				   .link = netif_is_link_up(&netif),
				   .dhcp = dhcp != NULL};
	if (!dhcp)
		return;
	s->lease = LEASE_ASKING;
	if (!dhcp_supplied_address(&netif))
		return;
	s->lease = LEASE_BOUND;
	s->seconds = dhcp->offered_t0_lease;
	s->server = number(ip_2_ip4(&dhcp->server_ip_addr));
}

const char *stack_ip_text(uint32_t ip, char text[STACK_IP_TEXT])
{
	(void)fmt(text, STACK_IP_TEXT, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 0xff, ip >> 8 & 0xff,
		  ip & 0xff);
	return text;
}
