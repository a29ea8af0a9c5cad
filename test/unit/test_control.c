/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: net/control.c net/tls.c net/ctl_record.c */
/* The control server over lwIP whose only card is a loop, against clients on the same lwIP; the
 * clock is the test's, so that every time-out comes about at once. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdlib.h>
#include <lwip/init.h>
#include <lwip/ip4.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include "boot/handoff.h"
#include "hv/log.h"
#include "net/control.h"
#include "net/ctlnet.h"
#include "net/tls.h"
#include "test/unit/check.h"
#include "test/unit/same_random.h"

#define FRAMES	256u
#define CLIENTS 12
#define PORT	4789

static uint64_t now; /* ms */
static struct netif loop;
static struct pbuf *frames[FRAMES];
static unsigned frames_in, frames_out;
static struct handoff handoff_block;
static char last_log[256];
static unsigned logs, kicks;

/* --- what the server needs --- */

uint64_t ctlnet_ms(void)
{
	return now;
}

void ctlnet_kick(void)
{
	kicks++;
}

u32_t sys_now(void)
{
	return (u32_t)now;
}

uint32_t stack_random(void)
{
	uint32_t v;

	(void)entropy_random(NULL, (unsigned char *)&v, sizeof(v));
	return v;
}

void stack_broken(const char *what)
{
	printf("lwIP: %s\n", what);
	abort();
}

void panic(const char *f, ...)
{
	printf("panic: %s\n", f);
	abort();
}

void log_at(enum log_level level, const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	(void)vsnprintf(last_log, sizeof(last_log), f, ap);
	va_end(ap);
	logs += level == LOG_WARN;
}

bool log_ratelimited(struct log_ratelimit *r)
{
	if (now - r->window > 1000 || !r->window) {
		r->window = now;
		r->seen = 0;
	}
	if (r->seen++ < r->burst)
		return true;
	r->dropped++;
	return false;
}

const char *stack_ip_text(uint32_t ip, char text[STACK_IP_TEXT])
{
	(void)snprintf(text, STACK_IP_TEXT, "%u", ip);
	return text;
}

/* --- the handler --- */

static struct {
	unsigned records, closed;
	struct ctl_record last;
	char payload[CTL_TO_NODE_MAX + 1];
	unsigned conn;
	bool flood; /* it has more to send than anybody reads */
} h;

static size_t hello(char *text, size_t size)
{
	return (size_t)snprintf(text, size, "{\"version\":1}");
}

static void closed(unsigned conn)
{
	(void)conn;
	h.closed++;
}

static void record(unsigned conn, struct ctl_record *r)
{
	h.records++;
	h.conn = conn;
	h.last = *r;
	memcpy(h.payload, r->payload, r->size + 1);
}

static bool fill(unsigned conn)
{
	static const char text[1000];

	return h.flood && control_room(conn) >= sizeof(text) &&
	       control_send(conn, CTL_OUTPUT, 1, text, sizeof(text));
}

static const struct control_handler handler = {
	.hello = hello, .closed = closed, .record = record, .fill = fill};

/* --- the wire --- */

static err_t loop_output(struct netif *n, struct pbuf *p, const ip4_addr_t *to)
{
	struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p);

	(void)n;
	(void)to;
	if (!copy || frames_in - frames_out == FRAMES) {
		if (copy)
			pbuf_free(copy);
		return ERR_MEM;
	}
	frames[frames_in++ % FRAMES] = copy;
	return ERR_OK;
}

static err_t loop_init(struct netif *n)
{
	n->name[0] = 'l';
	n->mtu = 1500;
	n->output = loop_output;
	return ERR_OK;
}

/* --- clients --- */

struct client {
	struct tcp_pcb *pcb; /* NULL: it is gone */
	bool reset, connected, deaf, greeted, tls;
	uint8_t in[262144];
	size_t in_head, in_tail;
	mbedtls_ssl_context ssl;
	uint8_t plain[65536];
	size_t plain_n;
};

static struct client clients[CLIENTS];
static mbedtls_ssl_config client_config;
static const uint8_t key[32] = "0123456789abcdef0123456789abcdef";

static err_t client_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct client *c = arg;

	(void)err;
	if (!p) {
		tcp_arg(pcb, NULL);
		tcp_recv(pcb, NULL);
		tcp_err(pcb, NULL);
		c->pcb = NULL;
		return tcp_close(pcb);
	}
	if (c->deaf)
		return ERR_MEM;
	c->in_head += pbuf_copy_partial(p, c->in + c->in_head, p->tot_len, 0);
	tcp_recved(pcb, p->tot_len);
	pbuf_free(p);
	return ERR_OK;
}

static err_t client_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	(void)pcb;
	((struct client *)arg)->connected = err == ERR_OK;
	return ERR_OK;
}

static void client_error(void *arg, err_t err)
{
	struct client *c = arg;

	c->reset = err == ERR_RST || err == ERR_ABRT;
	c->pcb = NULL;
}

static int client_send(void *arg, const unsigned char *buf, size_t n)
{
	struct client *c = arg;

	if (!c->pcb)
		return MBEDTLS_ERR_SSL_CONN_EOF;
	if (n > tcp_sndbuf(c->pcb))
		n = tcp_sndbuf(c->pcb);
	if (!n || tcp_write(c->pcb, buf, (u16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	(void)tcp_output(c->pcb);
	return (int)n;
}

static int client_receive(void *arg, unsigned char *buf, size_t n)
{
	struct client *c = arg;
	size_t left = c->in_head - c->in_tail;

	if (!left)
		return c->pcb ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
	n = n < left ? n : left;
	memcpy(buf, c->in + c->in_tail, n);
	c->in_tail += n;
	return (int)n;
}

static struct client *dial(unsigned i)
{
	struct client *c = &clients[i];

	memset(c, 0, sizeof(*c));
	c->pcb = tcp_new();
	tcp_arg(c->pcb, c);
	tcp_recv(c->pcb, client_received);
	tcp_err(c->pcb, client_error);
	tcp_nagle_disable(c->pcb);
	CHECK(tcp_connect(c->pcb, netif_ip_addr4(&loop), PORT, client_connected) == ERR_OK);
	return c;
}

static void hang_up(struct client *c)
{
	if (c->tls)
		mbedtls_ssl_free(&c->ssl);
	c->tls = false;
	if (!c->pcb)
		return;
	tcp_arg(c->pcb, NULL);
	tcp_err(c->pcb, NULL);
	tcp_abort(c->pcb);
	c->pcb = NULL;
}

static void client_step(struct client *c)
{
	int r;

	if (!c->tls)
		return;
	if (c->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER) {
		(void)mbedtls_ssl_handshake(&c->ssl);
		return;
	}
	r = mbedtls_ssl_read(&c->ssl, c->plain + c->plain_n, sizeof(c->plain) - c->plain_n);
	if (r > 0)
		c->plain_n += (size_t)r;
}

static void run(unsigned ms)
{
	for (unsigned i = 0; i <= ms; i++) {
		for (unsigned k = 0; k < 50; k++) {
			for (; frames_out != frames_in; frames_out++)
				(void)ip4_input(frames[frames_out % FRAMES], &loop);
			(void)control_step();
			for (unsigned n = 0; n < CLIENTS; n++)
				client_step(&clients[n]);
		}
		if (i == ms)
			break;
		now++;
		if (now % 10 == 0)
			sys_check_timeouts();
		if (now % 100 == 0)
			(void)control_tick();
	}
}

static void say(struct client *c, enum ctl_type type, uint16_t channel, const void *payload,
		size_t n)
{
	uint8_t wire[CTL_HEADER + CTL_TO_NODE_MAX];

	ctl_header(wire, type, channel, n);
	memcpy(wire + CTL_HEADER, payload, n);
	CHECK(mbedtls_ssl_write(&c->ssl, wire, CTL_HEADER + n) == (int)(CTL_HEADER + n));
}

static void start_tls(struct client *c)
{
	mbedtls_ssl_init(&c->ssl);
	CHECK(mbedtls_ssl_setup(&c->ssl, &client_config) == 0);
	mbedtls_ssl_set_bio(&c->ssl, c, client_send, client_receive, NULL);
	c->tls = true;
}

static struct client *join(unsigned i)
{
	static const char text[] = "{\"version\":1}";
	struct client *c = dial(i);

	run(5);
	CHECK(c->connected && c->pcb);
	start_tls(c);
	run(20);
	CHECK(c->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER);
	CHECK(c->plain_n == CTL_HEADER + 13 && c->plain[4] == CTL_HELLO);
	c->plain_n = 0;
	say(c, CTL_HELLO, 0, text, sizeof(text) - 1);
	run(20);
	return c;
}

/* Does a record of that type come next, with this text in it? */
static bool heard(const struct client *c, enum ctl_type type, const char *text)
{
	return c->plain_n >= CTL_HEADER && c->plain[4] == type &&
	       memmem(c->plain, c->plain_n, text, strlen(text));
}

static struct control_counts counted(void)
{
	struct control_counts c;

	control_counts(&c);
	return c;
}

static void rest(void)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		hang_up(&clients[i]);
	h.flood = false;
	run(5000);
	CHECK_EQ(counted().open, 0);
}

/* --- tests --- */

static void records_go_both_ways(void)
{
	struct client *c = join(0);

	CHECK_EQ(counted().open, 1);
	say(c, CTL_COMMAND, 77, "version", 7);
	run(10);
	CHECK(h.last.type == CTL_COMMAND && h.last.channel == 77);
	CHECK_STR(h.payload, "version");
	CHECK(control_send(h.conn, CTL_OUTPUT, 77, "answer", 6));
	run(10);
	CHECK(heard(c, CTL_OUTPUT, "answer"));
	c->plain_n = 0;
	say(c, CTL_PING, 3, "abc", 3);
	run(10);
	CHECK(heard(c, CTL_PONG, "abc"));
	hang_up(c);
	run(300);
	CHECK_EQ(h.closed, 1);
	rest();
}

static void silence_is_asked_and_then_ended(void)
{
	struct client *c = join(0);

	run(29000);
	CHECK_EQ(c->plain_n, 0);
	run(1500);
	CHECK(heard(c, CTL_PING, ""));
	c->plain_n = 0;
	say(c, CTL_PONG, 0, "", 0);
	run(80000);
	CHECK(c->pcb != NULL);
	run(15000);
	CHECK(c->pcb == NULL && memmem(c->plain, c->plain_n, "says nothing", 12));
	rest();
}

static void a_handshake_has_ten_seconds(void)
{
	uint64_t failed = counted().failed;
	struct client *c = dial(0), *d = dial(1);

	run(10);
	start_tls(d); /* the key is shown, but no HELLO comes */
	run(9800);
	CHECK(c->pcb && d->pcb);
	run(500);
	CHECK(!c->pcb && !d->pcb);
	CHECK_EQ(counted().failed, failed + 2);
	CHECK(strstr(last_log, "handshake takes too long") != NULL);
	rest();
}

static void a_slow_handshake_makes_room_for_another(void)
{
	struct client *a = dial(0), *b, *c;

	run(10);
	b = dial(1);
	run(500);
	c = dial(2);
	run(50);
	CHECK(a->pcb && b->pcb && !c->pcb && c->reset); /* they have a second */
	run(600);
	c = join(3);
	CHECK(c->pcb != NULL);
	CHECK(!a->pcb);
	CHECK(b->pcb != NULL);
	rest();
}

static void nine_connections_are_too_many(void)
{
	uint64_t turned_away = counted().turned_away;
	struct client *c;

	for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++) {
		(void)join(i);
		run(250);
	}
	CHECK_EQ(counted().open, CONTROL_CONNECTIONS);
	c = dial(8);
	run(50);
	CHECK(!c->pcb && c->reset);
	CHECK_EQ(counted().turned_away, turned_away + 1);
	hang_up(&clients[0]);
	run(500);
	(void)join(9);
	CHECK_EQ(counted().open, CONTROL_CONNECTIONS);
	rest();
}

static void new_connections_are_four_a_second(void)
{
	uint64_t before = counted().accepted;
	unsigned n = 0, logged = logs;

	run(5000);
	for (unsigned i = 0; i < 400; i++) { /* 10 s */
		struct client *c = dial(i % CLIENTS);

		run(5);
		n++;
		hang_up(c);
		run(20);
	}
	CHECK(counted().accepted - before >= 40 && counted().accepted - before <= 50);
	CHECK_EQ(n, 400);
	CHECK(logs - logged <= 25);
	rest();
}

static void ten_thousand_connections_leave_the_server_as_it_was(void)
{
	struct control_counts before;
	struct client *c = join(0);

	before = counted();
	for (unsigned i = 0; i < 10000; i++) {
		struct client *stranger = dial(1 + i % (CLIENTS - 1));

		run(2);
		if (stranger->pcb && i % 3)
			(void)tcp_write(stranger->pcb, i % 2 ? "garbage" : "\x16\3\1\2\0", 5,
					TCP_WRITE_FLAG_COPY);
		if (stranger->pcb)
			(void)tcp_output(stranger->pcb);
		run(2);
		hang_up(stranger);
	}
	CHECK(counted().turned_away - before.turned_away > 5000);
	CHECK(counted().accepted - before.accepted < 500);
	CHECK_EQ(counted().open, 1);
	c->plain_n = 0;
	say(c, CTL_PING, 3, "still here", 10);
	run(10);
	CHECK(heard(c, CTL_PONG, "still here"));
	run(5000);
	(void)join(1);
	CHECK_EQ(counted().open, 2);
	rest();
}

static void half_a_record_is_ended(void)
{
	struct client *c = join(0);

	CHECK(mbedtls_ssl_write(&c->ssl, (const unsigned char *)"\7\0\0\0\2\0\1\0ver", 11) == 11);
	run(9800);
	CHECK(c->pcb != NULL);
	run(3000);
	CHECK(!c->pcb && memmem(c->plain, c->plain_n, "does not come", 13));
	rest();
}

static void who_does_not_read_is_ended_and_bounded(void)
{
	struct client *c = join(0);
	unsigned before = h.closed;

	c->deaf = true;
	h.flood = true;
	run(9000);
	CHECK(c->pcb != NULL);
	for (unsigned i = 0; i < 200 && c->pcb; i++) { /* it talks, but does not listen */
		say(c, CTL_PING, 0, "0123456789012345678901234567890123456789", 40);
		run(20);
	}
	run(20000);
	CHECK_EQ(h.closed, before + 1);
	CHECK_EQ(counted().open, 0);
	rest();
}

static void small_records_never_wait(void)
{
	struct client *c = join(0);

	say(c, CTL_COMMAND, 1, "x", 1);
	run(10);
	h.flood = true;
	c->deaf = true;
	run(1000);
	h.flood = false;
	CHECK_EQ(control_room(h.conn) >= 1000, false);
	CHECK(control_send(h.conn, CTL_DONE, 1, "\0\0\0\0", 4));
	c->deaf = false;
	run(3000);
	CHECK_EQ(c->plain[c->plain_n - CTL_HEADER - 4 + 4], CTL_DONE);
	rest();
}

int main(void)
{
	static int suites[] = {MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, 0};
	ip4_addr_t ip, mask, none = {0};

	now = 1000;
	IP4_ADDR(&ip, 10, 0, 0, 1);
	IP4_ADDR(&mask, 255, 255, 255, 0);
	lwip_init();
	(void)netif_add(&loop, &ip, &mask, &none, NULL, loop_init, ip4_input);
	netif_set_default(&loop);
	netif_set_link_up(&loop);
	netif_set_up(&loop);
	tls_memory_init();
	memcpy(handoff_block.control_key, key, sizeof(key));
	handoff_block.control_key_size = sizeof(key);
	handoff_block.control_port = PORT;
	control_start(&handoff_block, &handler);
	CHECK_EQ(control_port(), PORT);
	mbedtls_ssl_config_init(&client_config);
	(void)mbedtls_ssl_config_defaults(&client_config, MBEDTLS_SSL_IS_CLIENT,
					  MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_ciphersuites(&client_config, suites);
	mbedtls_ssl_conf_rng(&client_config, entropy_random, NULL);
	(void)mbedtls_ssl_conf_psk(&client_config, key, sizeof(key), (const unsigned char *)"me",
				   2);
	RUN(records_go_both_ways);
	RUN(silence_is_asked_and_then_ended);
	RUN(a_handshake_has_ten_seconds);
	RUN(a_slow_handshake_makes_room_for_another);
	RUN(nine_connections_are_too_many);
	RUN(new_connections_are_four_a_second);
	RUN(ten_thousand_connections_leave_the_server_as_it_was);
	RUN(half_a_record_is_ended);
	RUN(who_does_not_read_is_ended_and_bounded);
	RUN(small_records_never_wait);
	return check_result();
}
