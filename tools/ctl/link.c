// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/link.h"
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tools/ctl/ctl.h"
#include "tools/ctl/json.h"

#define PING_MS	   15000 /* of silence, then the node is asked for a sign of life */
#define SILENCE_MS 45000 /* then it is given up */
#define READS_MAX  64	 /* in one go, so that no node keeps the others waiting */

/* A look-up outlives its link's closing. */
struct link_request {
	uv_getaddrinfo_t uv;
	struct link *link; /* NULL: nobody wants it any more */
};

static void connect_next(struct link *l);

/* --- closing --- */

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void stop_poll(struct link *l)
{
	if (l->poll) {
		(void)uv_poll_stop(l->poll);
		uv_close((uv_handle_t *)l->poll, free_handle);
		l->poll = NULL;
	}
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	l->polled = 0;
}

/* 0, or mbedTLS' error. */
static int write_all(struct link *l)
{
	l->wants_write = false;
	while (l->out_at < l->out.len) {
		size_t size = l->writing ? l->writing : l->out.len - l->out_at;
		int n;

		errno = 0;
		n = mbedtls_ssl_write(&l->ssl, (unsigned char *)l->out.s + l->out_at, size);
		if (n == MBEDTLS_ERR_SSL_WANT_WRITE || n == MBEDTLS_ERR_SSL_WANT_READ) {
			l->writing = size; /* it wants to be called with the same again */
			l->wants_write = true;
			return 0;
		}
		if (n < 0)
			return n;
		l->writing = 0;
		l->out_at += (size_t)n;
	}
	text_clear(&l->out);
	l->out_at = 0;
	return 0;
}

static void release(struct link *l)
{
	if (l->ssl_live)
		mbedtls_ssl_free(&l->ssl);
	l->ssl_live = false;
	free(l->buf);
	l->buf = NULL;
	text_clear(&l->out);
	l->out_at = l->writing = 0;
}

void link_close(struct link *l)
{
	if (l->state == LINK_DOWN)
		return;
	if (l->state == LINK_UP && !l->busy)
		(void)write_all(l); /* as far as there is room */
	l->state = LINK_DOWN;
	(void)uv_timer_stop(&l->timer);
	if (l->resolve) {
		l->resolve->link = NULL;
		(void)uv_cancel((uv_req_t *)&l->resolve->uv);
		l->resolve = NULL;
	}
	if (l->addresses)
		uv_freeaddrinfo(l->addresses);
	l->addresses = l->address = NULL;
	stop_poll(l);
	if (!l->busy)
		release(l);
}

__attribute__((format(printf, 2, 3))) static void fail(struct link *l, const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	(void)vsnprintf(l->why, sizeof(l->why), f, ap);
	va_end(ap);
	link_close(l);
	l->down(l);
}

/* --- what the node says --- */

static const char greeting[] = "{\"version\":1,\"client\":\"stasisctl\"}";

static void on_silence(uv_timer_t *timer)
{
	struct link *l = timer->data;
	uint64_t silent = uv_now(l->loop) - l->heard;

	if (silent >= SILENCE_MS)
		fail(l, "the node has said nothing for %d s", SILENCE_MS / 1000);
	else if (silent >= PING_MS)
		link_send(l, CTL_PING, 0, NULL, 0);
}

static bool read_number(const json_t *hello, const char *name, uint64_t *n)
{
	const json_t *value = json_object_get(hello, name);

	*n = (uint64_t)json_integer_value(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* Cut if it does not fit; what is not printable ASCII becomes '?'. */
static bool read_word(const json_t *hello, const char *name, char *word, size_t size)
{
	const char *value = json_string_value(json_object_get(hello, name));

	(void)snprintf(word, size, "%s", value ? value : "");
	for (char *p = word; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return value;
}

static bool read_hello(const json_t *hello, struct link_hello *h)
{
	(void)read_word(hello, "name", h->name, sizeof(h->name));
	(void)read_word(hello, "stasis", h->stasis, sizeof(h->stasis));
	return read_number(hello, "boot", &h->boot) &&
	       read_number(hello, "experiment", &h->experiment) &&
	       read_number(hello, "node", &h->node) &&
	       read_word(hello, "state", h->state, sizeof(h->state));
}

/* `hello` is NULL if there is none. */
static bool take_hello(struct link *l, const json_t *hello)
{
	uint64_t version;

	if (!read_number(hello, "version", &version))
		fail(l, "what answers is no node of Stasis: its first record is no HELLO");
	else if (version != CTL_VERSION)
		fail(l,
		     "the node speaks version %" PRIu64
		     " of the control protocol, this stasisctl %d",
		     version, CTL_VERSION);
	else if (!read_hello(hello, &l->hello))
		fail(l, "the node's HELLO lacks one of boot, experiment, node, state");
	else
		return true;
	return false;
}

static void take_error(struct link *l, const struct ctl_record *r, const char *what)
{
	char text[160];
	size_t n = r->size < sizeof(text) - 1 ? r->size : sizeof(text) - 1;

	memcpy(text, r->payload, n);
	printable(text, n);
	fail(l, "%s: %.*s", what, (int)n, text);
}

static void take_first(struct link *l, const struct ctl_record *r)
{
	json_t *hello = NULL;
	bool good;

	l->refused = true;
	if (r->type == CTL_ERROR) {
		take_error(l, r, "the node refuses");
		return;
	}
	if (r->type == CTL_HELLO)
		hello = json_said((const char *)r->payload, r->size);
	good = take_hello(l, hello);
	json_decref(hello);
	if (!good)
		return;
	l->refused = false;
	l->state = LINK_UP;
	(void)uv_timer_start(&l->timer, on_silence, PING_MS, PING_MS);
	link_send(l, CTL_HELLO, 0, greeting, sizeof(greeting) - 1);
	l->up(l);
}

static void take_record(struct link *l, const struct ctl_record *r)
{
	if (l->state == LINK_GREETING)
		take_first(l, r);
	else if (r->type == CTL_ERROR && r->channel == 0)
		take_error(l, r, "the node closed the connection");
	else if (r->type == CTL_PING && r->size <= CTL_PING_MAX)
		link_send(l, CTL_PONG, r->channel, r->payload, r->size);
	else if (r->type == CTL_PING || r->type == CTL_HELLO || r->type == CTL_COMMAND)
		fail(l,
		     "the node breaks the protocol: a record of type %d that does not belong here",
		     r->type);
	else if (r->type != CTL_PONG)
		l->record(l, r);
}

static void take_bytes(struct link *l, const uint8_t *data, size_t size)
{
	struct ctl_record r;
	size_t taken;

	while (size && l->state >= LINK_GREETING) {
		int got = ctl_reader_feed(&l->reader, data, size, &taken, &r);

		data += taken;
		size -= taken;
		if (got < 0)
			fail(l, "the node breaks the protocol: %s",
			     got == -EMSGSIZE ? "a record longer than 64 KiB"
					      : "a record of no known type");
		else if (got)
			take_record(l, &r);
	}
}

/* --- TLS on the socket --- */

static int tls_send(void *arg, const unsigned char *buf, size_t size)
{
	const struct link *l = arg;
	ssize_t n = send(l->fd, buf, size, MSG_NOSIGNAL);

	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
						 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int tls_receive(void *arg, unsigned char *buf, size_t size)
{
	const struct link *l = arg;
	ssize_t n = recv(l->fd, buf, size, 0);

	if (n > 0)
		return (int)n;
	if (n == 0)
		return MBEDTLS_ERR_SSL_CONN_EOF;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
						 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static void tls_failed(struct link *l, int err)
{
	if (l->state == LINK_HANDSHAKE && tls_wrong_key(&l->ssl, err)) {
		l->refused = true;
		fail(l, "the node does not take the key: the experiment's key must be the node's "
			"control_key=");
	} else if (err == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || err == MBEDTLS_ERR_SSL_CONN_EOF) {
		fail(l, l->state == LINK_UP
				? "the node closed the connection"
				: "the node closed the connection before it greeted (too "
				  "many connections?)");
	} else if (err == MBEDTLS_ERR_SSL_INTERNAL_ERROR) {
		fail(l, "the connection broke: %s", errno ? strerror(errno) : "reset");
	} else {
		fail(l, "TLS failed, mbedTLS error -0x%04x: is this the control port of a node?",
		     (unsigned)-err);
	}
}

static bool shake_hands(struct link *l)
{
	int err;

	errno = 0;
	err = mbedtls_ssl_handshake(&l->ssl);
	if (err == 0) {
		l->state = LINK_GREETING;
		return true;
	}
	l->wants_write = err == MBEDTLS_ERR_SSL_WANT_WRITE;
	if (err != MBEDTLS_ERR_SSL_WANT_READ && err != MBEDTLS_ERR_SSL_WANT_WRITE)
		tls_failed(l, err);
	return false;
}

static void read_all(struct link *l)
{
	unsigned char piece[4096];

	for (int i = 0; l->state >= LINK_GREETING; i++) {
		int n;

		if (i >= READS_MAX && !mbedtls_ssl_get_bytes_avail(&l->ssl))
			return; /* the socket is readable still: the loop comes back */
		errno = 0;
		n = mbedtls_ssl_read(&l->ssl, piece, sizeof(piece));
		if (n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE)
			return;
		if (n <= 0) {
			tls_failed(l, n ? n : MBEDTLS_ERR_SSL_CONN_EOF);
			return;
		}
		l->heard = uv_now(l->loop);
		take_bytes(l, piece, (size_t)n);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void wait_for(struct link *l, int events)
{
	if (l->poll && events != l->polled)
		(void)uv_poll_start(l->poll, events, on_poll);
	l->polled = events;
}

static void drive(struct link *l)
{
	l->busy = true;
	if (l->state == LINK_HANDSHAKE)
		(void)shake_hands(l);
	if (l->state >= LINK_GREETING)
		read_all(l);
	if (l->state == LINK_UP) {
		int err = write_all(l);

		if (err)
			tls_failed(l, err);
	}
	l->busy = false;
	if (l->state == LINK_DOWN)
		release(l);
	else
		wait_for(l, UV_READABLE | (l->wants_write ? UV_WRITABLE : 0));
}

/* --- connecting --- */

static void connected(struct link *l)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error) {
		errno = error;
		l->address = l->address->ai_next;
		connect_next(l);
		return;
	}
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	mbedtls_ssl_init(&l->ssl);
	l->ssl_live = true;
	if (mbedtls_ssl_setup(&l->ssl, tls_config()) != 0) {
		fail(l, "out of memory");
		return;
	}
	mbedtls_ssl_set_bio(&l->ssl, l, tls_send, tls_receive, NULL);
	l->buf = allocate(CTL_TO_CLIENT_MAX);
	ctl_reader_init(&l->reader, l->buf, CTL_TO_CLIENT_MAX);
	l->state = LINK_HANDSHAKE;
	drive(l);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct link *l = poll->data;

	(void)status; /* an error shows when the socket is used */
	(void)events;
	if (l->poll != poll)
		return;
	if (l->state == LINK_CONNECTING)
		connected(l);
	else
		drive(l);
}

static int start_connecting(struct link *l, const struct addrinfo *a)
{
	int err;

	l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	if (connect(l->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
		return -errno;
	l->poll = allocate(sizeof(*l->poll));
	l->poll->data = l;
	err = uv_poll_init(l->loop, l->poll, l->fd);
	if (err) {
		free(l->poll);
		l->poll = NULL;
	}
	return err;
}

static void no_connection(struct link *l, int err)
{
	if (err == ECONNREFUSED)
		fail(l,
		     "nothing listens on port %u: is it a node of Stasis with control_key= in its "
		     "boot configuration?",
		     l->port);
	else if (err == EMFILE || err == ENFILE)
		fail(l, "too many open files: raise the limit (ulimit -n) to twice the number of "
			"nodes");
	else
		fail(l, "no connection: %s", strerror(err));
}

/* The next of the host's addresses, errno says what became of the one before. */
static void connect_next(struct link *l)
{
	int err = -errno;

	for (; l->address; l->address = l->address->ai_next) {
		stop_poll(l);
		l->state = LINK_CONNECTING;
		err = start_connecting(l, l->address);
		if (err == 0) {
			wait_for(l, UV_WRITABLE);
			return;
		}
	}
	no_connection(l, -err);
}

static void resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *addresses)
{
	struct link_request *request = (struct link_request *)uv;
	struct link *l = request->link;

	free(request);
	if (!l) {
		if (addresses)
			uv_freeaddrinfo(addresses);
		return;
	}
	l->resolve = NULL;
	if (status < 0) {
		fail(l, "%s can't be resolved: %s", l->host, uv_strerror(status));
		return;
	}
	l->addresses = l->address = addresses;
	errno = EADDRNOTAVAIL;
	connect_next(l);
}

static void on_timer(uv_timer_t *timer)
{
	struct link *l = timer->data;
	static const char *const waits[] = {
		[LINK_DOWN] = "?",
		[LINK_RESOLVING] = "the name server does not answer",
		[LINK_CONNECTING] = "no answer: is the node up, and the address right?",
		[LINK_HANDSHAKE] =
			"the TLS handshake takes too long: is this a node's control port?",
		[LINK_GREETING] = "the node does not greet",
		[LINK_UP] = "?",
	};

	fail(l, "%s", waits[l->state]);
}

void link_init(struct link *l, uv_loop_t *loop)
{
	l->loop = loop;
	l->state = LINK_DOWN;
	l->fd = -1;
	(void)uv_timer_init(loop, &l->timer);
	l->timer.data = l;
}

void link_open(struct link *l)
{
	char port[8];
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	int err;

	(void)snprintf(port, sizeof(port), "%u", l->port);
	l->refused = false;
	l->state = LINK_RESOLVING;
	l->resolve = allocate(sizeof(*l->resolve));
	l->resolve->link = l;
	uv_update_time(l->loop);
	l->heard = uv_now(l->loop);
	(void)uv_timer_start(&l->timer, on_timer, l->timeout / NSEC_PER_MSEC, 0);
	err = uv_getaddrinfo(l->loop, &l->resolve->uv, resolved, l->host, port, &hints);
	if (err) {
		free(l->resolve);
		l->resolve = NULL;
		fail(l, "%s can't be resolved: %s", l->host, uv_strerror(err));
	}
}

/* --- sending, and signs of life --- */

void link_send(struct link *l, enum ctl_type type, uint16_t channel, const void *payload,
	       size_t size)
{
	uint8_t header[CTL_HEADER];

	if (l->state != LINK_UP)
		return;
	ctl_header(header, type, channel, (uint32_t)size);
	text_bytes(&l->out, header, sizeof(header));
	text_bytes(&l->out, payload, size);
	/* the loop writes it: callers are not to meet a link that goes down under their hands */
	l->wants_write = true;
	if (!l->busy)
		wait_for(l, UV_READABLE | UV_WRITABLE);
}

size_t link_backlog(const struct link *l)
{
	return l->out.len - l->out_at;
}
