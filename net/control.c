// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/control.h"
#include <errno.h>
#include <lwip/altcp.h>
#include <lwip/tcp.h>
#include <string.h>
#include "boot/handoff.h"
#include "hv/fmt.h"
#include "hv/log.h"
#include "net/ctlnet.h"
#include "net/tls.h"

#define HANDSHAKES	2      /* that may be under way */
#define HANDSHAKE_LEAST 1000u  /* ms that each has before another may take its place */
#define HANDSHAKE_MS	10000u /* and all that it has, the client's HELLO included */
#define RECORD_MS	10000u /* for the rest of a record that has begun */
#define STALL_MS	10000u /* for taking what is sent */
#define LINGER_MS	2000u  /* for the last words of a connection that is closed */
#define PING_MS		30000u /* of silence */
#define SILENCE_MS	90000u
#define ARRIVAL_MS	250u /* between new connections, in the mean */
#define ARRIVAL_BURST	8u
#define BACKLOG		16     /* whose three-way handshake is not complete */
#define OUT_SIZE	8192u  /* a power of two */
#define OUT_RESERVE	2048u  /* of it for small records */
#define IN_FLIGHT	8192u  /* bytes that lwIP keeps for a connection, at most */
#define IN_MAX		16384u /* bytes that wait to be looked at, and a frame more */
#define STEP_BYTES	1200u  /* of what came, looked at in one step */
_Static_assert(TLS_CONNECTIONS == CONTROL_CONNECTIONS, "memory for each");

enum state { FREE, HANDSHAKE, GREETING, OPEN, LEAVING };

struct control_conn {
	struct altcp_pcb *pcb; /* NULL: it is gone */
	struct pbuf *in;       /* what came, from `in_at` on */
	size_t budget;	       /* of this step */

	uint64_t since, heard, pinged, moved; /* ms */
	uint64_t record_begun;		      /* ms; 0: none */

	struct tls tls;
	struct ctl_reader reader;
	enum state state;
	uint32_t ip;
	uint32_t head, tail; /* of what is sent: tail..head */
	uint16_t port, in_at;
	bool ready; /* there may be something to do */
	bool opened, ended;
	uint8_t payload[CTL_TO_NODE_MAX + 1]; /* of the record that comes; a NUL behind it */
	uint8_t out[OUT_SIZE];		      /* plain text on its way */
};

static struct control_conn conns[CONTROL_CONNECTIONS];
static const struct control_handler *handler;
static struct altcp_pcb *listener;
static uint16_t port;
static unsigned turn;
static uint64_t credit = (uint64_t)ARRIVAL_MS * ARRIVAL_BURST, credit_at; /* ms */
static struct control_counts counts;
static struct log_ratelimit limit = {.burst = 1};

static uint64_t now_ms(void)
{
	return ctlnet_ms();
}

static unsigned number(const struct control_conn *c)
{
	return (unsigned)(c - conns);
}

static void touch(struct control_conn *c)
{
	c->ready = true;
	ctlnet_kick();
}

/* --- what is said of a connection --- */

static const char *peer_text(const struct control_conn *c, char text[CONTROL_PEER_TEXT])
{
	char ip[STACK_IP_TEXT];

	(void)fmt(text, CONTROL_PEER_TEXT, "%s:%u%s%s", stack_ip_text(c->ip, ip), c->port,
		  c->tls.identity[0] ? " " : "", c->tls.identity);
	return text;
}

static void complain(const struct control_conn *c, const char *what)
{
	static uint32_t reported;
	char peer[CONTROL_PEER_TEXT];

	counts.failed++;
	if (!log_ratelimited(&limit))
		return;
	log_warn("control: %s: %s: closed", peer_text(c, peer), what);
	if (limit.dropped != reported)
		log_warn("control: and %u more like it, not listed", limit.dropped - reported);
	reported = limit.dropped;
}

/* --- the end --- */

static void forget(struct altcp_pcb *pcb)
{
	altcp_arg(pcb, NULL);
	altcp_recv(pcb, NULL);
	altcp_sent(pcb, NULL);
	altcp_err(pcb, NULL);
}

/* Never inside a callback of lwIP's. */
static void release(struct control_conn *c)
{
	bool notify = c->pcb && c->opened;

	if (c->opened) {
		char peer[CONTROL_PEER_TEXT];

		log_info("control: %s: gone", peer_text(c, peer));
		counts.open--;
		handler->closed(number(c));
	}
	tls_close(&c->tls, notify);
	if (c->in)
		(void)pbuf_free(c->in);
	if (c->pcb) {
		forget(c->pcb);
		if (altcp_close(c->pcb) != ERR_OK)
			altcp_abort(c->pcb);
	}
	memset(c, 0, sizeof(*c));
}

static void put(struct control_conn *c, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		c->out[c->head++ & (OUT_SIZE - 1)] = p[i];
}

static size_t room(const struct control_conn *c)
{
	return OUT_SIZE - (c->head - c->tail);
}

static bool queue(struct control_conn *c, enum ctl_type type, uint16_t channel, const void *payload,
		  size_t size)
{
	uint8_t header[CTL_HEADER];

	if (room(c) < CTL_HEADER + size)
		return false;
	if (c->head == c->tail)
		c->moved = now_ms();
	ctl_header(header, type, channel, size);
	put(c, header, sizeof(header));
	put(c, payload, size);
	touch(c);
	return true;
}

/* It is told why, and has some time to hear it. */
static void give_up(struct control_conn *c, const char *why)
{
	if (c->state == LEAVING)
		return;
	complain(c, why);
	(void)queue(c, CTL_ERROR, 0, why, strlen(why));
	c->state = LEAVING;
	c->since = now_ms();
	c->ready = true;
}

/* --- what lwIP says --- */

static err_t on_received(void *arg, struct altcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct control_conn *c = arg;

	(void)pcb;
	(void)err;
	c->ready = true;
	if (p && c->in && c->in->tot_len > IN_MAX)
		return ERR_MEM; /* lwIP offers it again */
	if (!p)
		c->ended = true;
	else if (c->in)
		pbuf_cat(c->in, p);
	else
		c->in = p;
	return ERR_OK;
}

static err_t on_sent(void *arg, struct altcp_pcb *pcb, u16_t n)
{
	struct control_conn *c = arg;

	(void)pcb;
	(void)n;
	c->moved = now_ms();
	c->ready = true;
	return ERR_OK;
}

/* The connection is gone already. */
static void on_error(void *arg, err_t err)
{
	struct control_conn *c = arg;

	(void)err;
	c->pcb = NULL;
	c->ended = true;
	c->ready = true;
}

static bool too_many(void)
{
	uint64_t now = now_ms(), most = (uint64_t)ARRIVAL_MS * ARRIVAL_BURST;

	credit += now - credit_at;
	credit_at = now;
	if (credit > most)
		credit = most;
	if (credit < ARRIVAL_MS)
		return true;
	credit -= ARRIVAL_MS;
	return false;
}

/* One whose handshake has had its time makes room for another. */
static void make_room(void)
{
	struct control_conn *oldest = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++) {
		struct control_conn *c = &conns[i];

		if (c->state != HANDSHAKE && c->state != GREETING)
			continue;
		n++;
		if (!oldest || c->since < oldest->since)
			oldest = c;
	}
	if (n < HANDSHAKES || now_ms() - oldest->since < HANDSHAKE_LEAST)
		return;
	complain(oldest, "its handshake takes long, and others wait");
	if (oldest->pcb) { /* a FIN's answer would be waited for, half an hour */
		forget(oldest->pcb);
		altcp_abort(oldest->pcb);
		oldest->pcb = NULL;
	}
	release(oldest);
}

static struct control_conn *find_free(void)
{
	struct control_conn *found = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++) {
		if (conns[i].state == FREE)
			found = &conns[i];
		n += conns[i].state == HANDSHAKE || conns[i].state == GREETING;
	}
	return n < HANDSHAKES ? found : NULL;
}

static const struct tls_stream stream;

static err_t on_accept(void *arg, struct altcp_pcb *pcb, err_t err)
{
	struct control_conn *c;
	ip_addr_t ip;

	(void)arg;
	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	make_room();
	c = find_free();
	if (too_many() || !c || tls_open(&c->tls, &stream, c) != 0) {
		counts.turned_away++;
		altcp_abort(pcb);
		return ERR_ABRT;
	}
	counts.accepted++;
	c->state = HANDSHAKE;
	ctl_reader_init(&c->reader, c->payload, CTL_TO_NODE_MAX);
	c->pcb = pcb;
	c->since = c->heard = c->pinged = c->moved = now_ms();
	if (altcp_get_tcp_addrinfo(pcb, 0, &ip, &c->port) == ERR_OK)
		c->ip = lwip_ntohl(ip_addr_get_ip4_u32(&ip));
	altcp_arg(pcb, c);
	altcp_recv(pcb, on_received);
	altcp_sent(pcb, on_sent);
	altcp_err(pcb, on_error);
	altcp_nagle_disable(pcb);
	return ERR_OK;
}

/* --- the stream under TLS --- */

static size_t stream_send(void *arg, const void *buf, size_t n)
{
	struct control_conn *c = arg;
	size_t least = TCP_SND_BUF - IN_FLIGHT, free = c->pcb ? altcp_sndbuf(c->pcb) : 0;

	free = free > least ? free - least : 0;
	n = n < free ? n : free;
	if (!n || altcp_write(c->pcb, buf, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK)
		return 0;
	return n;
}

static int stream_receive(void *arg, void *buf, size_t n)
{
	struct control_conn *c = arg;
	struct pbuf *p = c->in;
	size_t left;

	if (!p)
		return c->ended ? -ECONNRESET : 0;
	left = (size_t)(p->len - c->in_at);
	n = n < left ? n : left;
	n = n < c->budget ? n : c->budget;
	memcpy(buf, (const uint8_t *)p->payload + c->in_at, n);
	c->in_at = (uint16_t)(c->in_at + n);
	c->budget -= n;
	if (c->in_at == p->len) {
		c->in = p->next;
		if (c->in)
			pbuf_ref(c->in);
		(void)pbuf_free(p);
		c->in_at = 0;
	}
	if (c->pcb && n)
		altcp_recved(c->pcb, (u16_t)n);
	return (int)n;
}

static const struct tls_stream stream = {.send = stream_send, .receive = stream_receive};

/* --- steps --- */

static void lost(struct control_conn *c, enum tls_result r)
{
	if (r == TLS_BROKEN)
		complain(c, c->tls.trouble);
	else if (c->state == HANDSHAKE)
		complain(c, "it went before it had shown the key");
	else if (c->state == GREETING)
		complain(c, "it went without a HELLO");
	release(c);
}

static void greet(struct control_conn *c)
{
	char text[CONTROL_HELLO_MAX];
	size_t n = handler->hello(text, sizeof(text));

	c->state = GREETING;
	c->heard = c->pinged = now_ms();
	(void)queue(c, CTL_HELLO, 0, text, n);
}

static bool shake_hands(struct control_conn *c)
{
	enum tls_result r = tls_handshake(&c->tls);

	if (c->pcb)
		(void)altcp_output(c->pcb);
	if (r == TLS_DONE)
		greet(c);
	else if (r != TLS_MORE && r != TLS_WAIT)
		lost(c, r);
	return r != TLS_WAIT;
}

static bool write_out(struct control_conn *c)
{
	uint32_t at = c->tail & (OUT_SIZE - 1);
	size_t n = c->head - c->tail, sent = 0;
	enum tls_result r;

	if (!n)
		return false;
	if (n > OUT_SIZE - at)
		n = OUT_SIZE - at;
	r = tls_write(&c->tls, c->out + at, n, &sent);
	c->tail += (uint32_t)sent;
	if (r == TLS_BROKEN)
		lost(c, r);
	else if (c->pcb)
		(void)altcp_output(c->pcb);
	return r != TLS_WAIT;
}

static void greeted(struct control_conn *c, const struct ctl_record *r)
{
	char peer[CONTROL_PEER_TEXT];

	if (r->type != CTL_HELLO || ctl_hello_version((const char *)r->payload) != CTL_VERSION) {
		give_up(c, "the first record must be a HELLO of version 1");
		return;
	}
	c->state = OPEN;
	c->opened = true;
	counts.open++;
	log_info("control: %s: connected", peer_text(c, peer));
}

static void take(struct control_conn *c, struct ctl_record *r)
{
	c->heard = c->pinged = now_ms();
	c->record_begun = 0;
	if (c->state == GREETING)
		greeted(c, r);
	else if (r->type == CTL_HELLO)
		give_up(c, "a second HELLO");
	else if (r->type == CTL_PING && r->size > CTL_PING_MAX)
		give_up(c, "a PING has 64 bytes at most");
	else if (r->type == CTL_PING)
		(void)control_send(number(c), CTL_PONG, r->channel, r->payload, r->size);
	else if (r->type != CTL_PONG)
		handler->record(number(c), r);
}

static bool from_client(enum ctl_type type)
{
	return type != CTL_OUTPUT && type != CTL_DONE && type != CTL_ERROR;
}

static bool read_in(struct control_conn *c)
{
	uint8_t piece[CTL_TO_NODE_MAX];
	size_t wants = ctl_reader_wants(&c->reader), got = 0, taken;
	struct ctl_record record;
	enum tls_result r;
	int err;

	r = tls_read(&c->tls, piece, wants, &got);
	if (r == TLS_BROKEN || r == TLS_CLOSED)
		lost(c, r);
	if (r != TLS_DONE)
		return r != TLS_WAIT;
	if (!c->record_begun)
		c->record_begun = now_ms();
	err = ctl_reader_feed(&c->reader, piece, got, &taken, &record);
	if (err > 0 && from_client(record.type)) {
		c->payload[record.size] = 0;
		take(c, &record);
	} else if (err) {
		give_up(c, err == -EMSGSIZE ? "a record of over 1024 bytes"
					    : "a record that no client sends");
	}
	return true;
}

/* One piece of work; false: it waits for its peer, or for the clock. */
static bool work(struct control_conn *c)
{
	uint32_t before = c->head;

	c->budget = STEP_BYTES;
	if (c->state == HANDSHAKE)
		return shake_hands(c) || c->in;
	if (c->ended && !c->pcb) {
		lost(c, TLS_CLOSED);
		return true;
	}
	if (write_out(c))
		return true;
	if (c->state == LEAVING) {
		if (c->head == c->tail)
			release(c);
		return false;
	}
	if (read_in(c))
		return true;
	if (c->state == OPEN && handler->fill(number(c)))
		return c->head != before;
	return c->in != NULL; /* the budget was at its end */
}

bool control_step(void)
{
	for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++) {
		struct control_conn *c = &conns[turn++ % CONTROL_CONNECTIONS];

		if (c->state == FREE || !c->ready)
			continue;
		c->ready = false;
		if (!work(c))
			continue;
		c->ready = c->state != FREE;
		return true;
	}
	return false;
}

/* --- the clock --- */

static void check_open(struct control_conn *c, uint64_t now)
{
	if (c->record_begun && now - c->record_begun > RECORD_MS)
		give_up(c, "the rest of a record does not come");
	else if (now - c->heard > SILENCE_MS)
		give_up(c, "it says nothing");
	else if (c->head != c->tail && now - c->moved > STALL_MS)
		give_up(c, "it does not take what is sent");
	else if (now - c->pinged > PING_MS) {
		c->pinged = now;
		(void)queue(c, CTL_PING, 0, "", 0);
	}
}

static void check_time(struct control_conn *c, uint64_t now)
{
	switch (c->state) {
	case HANDSHAKE:
	case GREETING:
		if (now - c->since <= HANDSHAKE_MS)
			return;
		complain(c, "its handshake takes too long");
		release(c);
		return;
	case OPEN:
		check_open(c, now);
		c->ready = true; /* the handler may have something */
		return;
	case LEAVING:
		if (now - c->since > LINGER_MS)
			release(c);
		return;
	default:
		return;
	}
}

bool control_tick(void)
{
	uint64_t now = now_ms();
	bool any = false;

	for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++) {
		if (conns[i].state == FREE)
			continue;
		any = true;
		check_time(&conns[i], now);
	}
	return any;
}

/* --- for the handler --- */

size_t control_room(unsigned conn)
{
	size_t n = room(&conns[conn]);

	if (conns[conn].state != OPEN || n <= OUT_RESERVE + CTL_HEADER)
		return 0;
	return n - OUT_RESERVE - CTL_HEADER;
}

bool control_send(unsigned conn, enum ctl_type type, uint16_t channel, const void *payload,
		  size_t size)
{
	struct control_conn *c = &conns[conn];
	bool bulk = type == CTL_OUTPUT || type == CTL_LOG || type == CTL_CONSOLE_DATA;

	if (c->state != OPEN || (bulk && size && control_room(conn) < size))
		return false;
	if (queue(c, type, channel, payload, size))
		return true;
	if (!bulk)
		give_up(c, "it does not take what is sent");
	return false;
}

void control_error(unsigned conn, uint16_t channel, const char *text)
{
	if (channel)
		(void)control_send(conn, CTL_ERROR, channel, text, strlen(text));
	else
		give_up(&conns[conn], text);
}

const char *control_peer(unsigned conn, char text[CONTROL_PEER_TEXT])
{
	return peer_text(&conns[conn], text);
}

void control_kick(void)
{
	for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++)
		conns[i].ready |= conns[i].state == OPEN;
	ctlnet_kick();
}

void control_counts(struct control_counts *c)
{
	*c = counts;
}

uint16_t control_port(void)
{
	return port;
}

/* --- the beginning --- */

static bool listen_on(uint16_t number)
{
	struct altcp_pcb *pcb = altcp_new(NULL);

	if (!pcb)
		return false;
	if (altcp_bind(pcb, IP_ADDR_ANY, number) == ERR_OK) {
		altcp_setprio(pcb, TCP_PRIO_MIN); /* it takes no connection's place */
		listener = altcp_listen_with_backlog(pcb, BACKLOG);
	}
	if (!listener)
		altcp_abort(pcb);
	return listener;
}

void control_start(const struct handoff *h, const struct control_handler *the_handler)
{
	handler = the_handler;
	if (!h->control_key_size)
		return;
	if (tls_setup(h->control_key, h->control_key_size) != 0 ||
	    !listen_on((uint16_t)h->control_port)) {
		log_error("control: no memory for the server");
		return;
	}
	altcp_accept(listener, on_accept);
	port = (uint16_t)h->control_port;
	credit_at = now_ms();
	log_info("control: port %u", port);
}
