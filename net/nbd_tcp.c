// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/nbd_tcp.h"
#include <string.h>
#include <lwip/altcp.h>
#include "arch/x86_64/arch.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "net/ctlnet.h"
#include "net/stack.h"
#include "storage/nbd.h"

#define DEVICES_MAX  4
#define REQUEST_MS   15000
#define OPEN_SECONDS 60
#define WRITE_MAX    0x8000u

struct device {
	struct nbd nbd; /* first: the block device */
	struct blockdev_ops ops;
	struct altcp_pcb *pcb; /* NULL: no connection */
	ip_addr_t server;
	uint16_t port;
	char name[NBD_NAME_MAX + 1];
	void (*wake)(void);
	bool inside;  /* a callback of lwIP's: the connection can't be ended in there */
	bool aborted; /* so it is at its end */
	enum nbd_state told;
};

static struct device *devices[DEVICES_MAX];
static unsigned count;

static void nothing(void)
{
}

/* --- what lwIP says --- */

/* The engine is through with what came; what lwIP has to be told. */
static err_t leave(struct device *d, struct altcp_pcb *pcb)
{
	d->inside = false;
	d->wake();
	if (!d->aborted)
		return ERR_OK;
	d->aborted = false;
	altcp_abort(pcb);
	return ERR_ABRT;
}

static void forget(struct altcp_pcb *pcb)
{
	altcp_arg(pcb, NULL);
	altcp_recv(pcb, NULL);
	altcp_sent(pcb, NULL);
	altcp_err(pcb, NULL);
}

static err_t on_received(void *arg, struct altcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct device *d = arg;

	(void)err;
	d->inside = true;
	if (!p) {
		forget(pcb);
		d->pcb = NULL;
		d->aborted = true;
		nbd_closed(&d->nbd);
		return leave(d, pcb);
	}
	for (const struct pbuf *q = p; q && d->pcb; q = q->next)
		nbd_received(&d->nbd, q->payload, q->len);
	if (d->pcb)
		altcp_recved(pcb, p->tot_len);
	(void)pbuf_free(p);
	return leave(d, pcb);
}

static err_t on_sent(void *arg, struct altcp_pcb *pcb, u16_t n)
{
	struct device *d = arg;

	(void)n;
	d->inside = true;
	nbd_writable(&d->nbd);
	return leave(d, pcb);
}

static err_t on_connected(void *arg, struct altcp_pcb *pcb, err_t err)
{
	struct device *d = arg;

	(void)err; /* lwIP says errors by on_error */
	d->inside = true;
	nbd_connected(&d->nbd);
	return leave(d, pcb);
}

/* The connection is gone already. */
static void on_error(void *arg, err_t err)
{
	struct device *d = arg;

	(void)err;
	d->pcb = NULL;
	nbd_closed(&d->nbd);
	d->wake();
}

/* --- what the engine asks for --- */

static int stream_connect(void *stream)
{
	struct device *d = stream;
	struct stack_status s;

	stack_status(&s);
	if (!s.ip || !s.link)
		return -ENODEV;
	d->pcb = altcp_new(NULL);
	if (!d->pcb)
		return -ENOMEM;
	altcp_arg(d->pcb, d);
	altcp_recv(d->pcb, on_received);
	altcp_sent(d->pcb, on_sent);
	altcp_err(d->pcb, on_error);
	altcp_nagle_disable(d->pcb);
	if (altcp_connect(d->pcb, &d->server, d->port, on_connected) == ERR_OK)
		return 0;
	forget(d->pcb);
	altcp_abort(d->pcb);
	d->pcb = NULL;
	return -ENODEV;
}

static size_t stream_write(void *stream, const void *buf, size_t n)
{
	struct device *d = stream;
	size_t room = altcp_sndbuf(d->pcb);

	n = n < room ? n : room;
	n = n < WRITE_MAX ? n : WRITE_MAX;
	if (!n ||
	    altcp_write(d->pcb, buf, (u16_t)n, TCP_WRITE_FLAG_COPY | TCP_WRITE_FLAG_MORE) != ERR_OK)
		return 0;
	return n;
}

static void stream_push(void *stream)
{
	struct device *d = stream;

	if (d->pcb)
		(void)altcp_output(d->pcb);
}

static void stream_close(void *stream)
{
	struct device *d = stream;
	struct altcp_pcb *pcb = d->pcb;

	if (!pcb)
		return;
	d->pcb = NULL;
	forget(pcb);
	if (d->inside)
		d->aborted = true;
	else
		altcp_abort(pcb);
}

static const struct nbd_stream_ops stream_ops = {.connect = stream_connect,
						 .write = stream_write,
						 .push = stream_push,
						 .close = stream_close};

/* --- the clock --- */

/* Once for each change: the server's coming and going is news, its absence is not. */
static void tell(struct device *d)
{
	enum nbd_state s = d->nbd.state;

	if (s == NBD_READY && d->told != NBD_READY)
		log_info("nbd: %s: connected, %llu MiB", d->name,
			 (unsigned long long)d->nbd.dev.sectors / (1048576 / SECTOR_SIZE));
	else if (s == NBD_FAILED && d->told != NBD_FAILED)
		log_error("nbd: %s: %s", d->name, d->nbd.trouble);
	else if (s != NBD_READY && s != NBD_FAILED && d->told == NBD_READY)
		log_warn("nbd: %s: %s; trying again", d->name, d->nbd.trouble);
	else
		return;
	d->told = s;
}

bool nbd_tcp_tick(uint64_t now_ms)
{
	for (unsigned i = 0; i < count; i++) {
		enum nbd_state before = devices[i]->nbd.state;

		nbd_tick(&devices[i]->nbd, now_ms);
		tell(devices[i]);
		if (devices[i]->nbd.state != before || nbd_away_ms(&devices[i]->nbd))
			devices[i]->wake();
	}
	return count > 0;
}

bool nbd_tcp_in_use(void)
{
	return count;
}

void nbd_tcp_give_up(uint32_t ms)
{
	for (unsigned i = 0; i < count; i++)
		devices[i]->nbd.options.give_up_ms = ms;
}

uint64_t nbd_tcp_away_ms(void)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t ms = nbd_away_ms(&devices[i]->nbd);

		most = ms > most ? ms : most;
	}
	return most;
}

/* Who waits for an answer does the network's work meanwhile. */
static void poll_network(struct blockdev *b)
{
	(void)b;
	ctlnet_poll();
}

static bool wait_ready(const struct device *d)
{
	uint64_t end = rdtsc() + OPEN_SECONDS * tsc_hz();

	while (d->nbd.state != NBD_READY && d->nbd.state != NBD_FAILED && rdtsc() < end) {
		ctlnet_poll();
		irq_window();
	}
	return d->nbd.state == NBD_READY;
}

static struct device *device_new(const struct nbd_open_options *o)
{
	struct device *d = heap_alloc(sizeof(*d));
	struct nbd_options options = {
		.export = d->name, .read_only = o->read_only, .request_ms = REQUEST_MS};

	memcpy(d->name, o->export, strlen(o->export) + 1);
	ip_addr_set_ip4_u32(&d->server, lwip_htonl(o->ip));
	d->port = o->port;
	d->wake = o->wake ? o->wake : nothing;
	nbd_init(&d->nbd, &options, &stream_ops, d);
	d->ops = *d->nbd.dev.ops;
	d->ops.poll = poll_network;
	d->nbd.dev.ops = &d->ops;
	devices[count++] = d;
	return d;
}

struct blockdev *nbd_open(const struct nbd_open_options *o, char *why, size_t size)
{
	char ip[STACK_IP_TEXT];
	struct device *d;

	if (!ctlnet_card() || count == DEVICES_MAX || strlen(o->export) > NBD_NAME_MAX) {
		fmt(why, size, "nbd: %s",
		    ctlnet_card() ? "too many devices"
				  : "the control card can't be used: see the lines above");
		return NULL;
	}
	d = device_new(o);
	log_info("nbd: waiting for the server %s:%u, at most %u s", stack_ip_text(o->ip, ip),
		 (unsigned)o->port, OPEN_SECONDS);
	if (wait_ready(d))
		return &d->nbd.dev;
	fmt(why, size, "NBD server %s:%u, export %s: %s", stack_ip_text(o->ip, ip),
	    (unsigned)o->port, o->export,
	    d->nbd.trouble[0] ? d->nbd.trouble : "no address or no link on the control network");
	return NULL;
}
