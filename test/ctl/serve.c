// SPDX-License-Identifier: GPL-2.0-or-later
/* TCP and TLS, the server's side. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "test/ctl/fakenodes.h"

#define ALERT 21 /* a TLS record's type */

static void fatal(const char *what)
{
	perror(what);
	exit(2);
}

static void closed(uv_handle_t *h)
{
	struct connection *c = h->data;

	mbedtls_ssl_free(&c->ssl);
	free(c->out);
	free(c);
}

static void drop(struct connection *c)
{
	struct node *n = c->node;

	if (c->dead)
		return;
	c->dead = true;
	for (int i = 0; i < CONNECTIONS; i++)
		if (n->connections[i] == c)
			n->connections[i] = NULL;
	if (n->commander == c)
		n->commander = NULL;
	if (n->console == c)
		n->console = NULL;
	(void)uv_poll_stop(&c->poll);
	(void)close(c->fd);
	uv_close((uv_handle_t *)&c->poll, closed);
}

static int tls_send(void *arg, const unsigned char *buf, size_t size)
{
	const struct connection *c = arg;
	bool silent = strcmp(c->node->hostile, "curt") == 0 && *buf == ALERT;
	ssize_t n = silent ? (ssize_t)size : send(c->fd, buf, size, MSG_NOSIGNAL);

	return n >= 0 ? (int)n : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : -1;
}

static int tls_receive(void *arg, unsigned char *buf, size_t size)
{
	const struct connection *c = arg;
	ssize_t n = recv(c->fd, buf, size, 0);

	return n >= 0 ? (int)n : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : -1;
}

static bool waits(int err)
{
	return err == MBEDTLS_ERR_SSL_WANT_READ || err == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void flush(struct connection *c)
{
	size_t at = 0;

	while (at < c->out_size) {
		int n = mbedtls_ssl_write(&c->ssl, c->out + at, c->out_size - at);

		if (waits(n))
			break;
		if (n < 0) {
			drop(c);
			return;
		}
		at += (size_t)n;
	}
	c->out_size -= at;
	if (at)
		memmove(c->out, c->out + at, c->out_size);
}

static void take(struct connection *c, const uint8_t *data, size_t size)
{
	struct ctl_record r;
	size_t taken;

	while (size && !c->dead) {
		int got = ctl_reader_feed(&c->reader, data, size, &taken, &r);

		data += taken;
		size -= taken;
		if (got < 0)
			drop(c);
		else if (got)
			answer_record(c, &r);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void work(struct connection *c)
{
	unsigned char piece[2048];
	int n = c->greeted ? 0 : mbedtls_ssl_handshake(&c->ssl);

	if (n && !waits(n)) {
		drop(c);
		return;
	}
	if (n == 0 && !c->greeted) {
		c->greeted = true;
		answer_greet(c);
	}
	while (n == 0 && !c->dead) {
		int got = mbedtls_ssl_read(&c->ssl, piece, sizeof(piece));

		if (waits(got))
			break;
		if (got <= 0) {
			drop(c);
			return;
		}
		take(c, piece, (size_t)got);
	}
	if (c->greeted)
		flush(c);
	if (!c->dead)
		(void)uv_poll_start(&c->poll, UV_READABLE | (c->out_size ? UV_WRITABLE : 0),
				    on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	work(poll->data);
}

void serve_raw(struct connection *c, const void *bytes, size_t size)
{
	if (c->dead)
		return;
	if (c->out_size + size > c->out_room) {
		c->out_room = 2 * (c->out_size + size);
		c->out = realloc(c->out, c->out_room);
		if (!c->out)
			fatal("memory");
	}
	memcpy(c->out + c->out_size, bytes, size);
	c->out_size += size;
	(void)uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, on_poll);
}

void serve_send(struct connection *c, enum ctl_type type, uint16_t channel, const void *payload,
		size_t size)
{
	uint8_t header[CTL_HEADER];

	ctl_header(header, type, channel, (uint32_t)size);
	serve_raw(c, header, sizeof(header));
	if (size)
		serve_raw(c, payload, size);
}

static void accept_one(uv_poll_t *poll, int status, int events)
{
	static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct node *n = poll->data;
	int fd = accept(n->fd, NULL, NULL), slot = 0;
	struct connection *c;

	(void)status;
	(void)events;
	if (fd < 0)
		return;
	while (slot < CONNECTIONS && n->connections[slot])
		slot++;
	if (strcmp(n->hostile, "plain") == 0)
		(void)!write(fd, http, sizeof(http) - 1);
	if (slot == CONNECTIONS) {
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	c = calloc(1, sizeof(*c));
	if (!c)
		fatal("memory");
	c->node = n;
	c->fd = fd;
	n->connections[slot] = c;
	mbedtls_ssl_init(&c->ssl);
	if (mbedtls_ssl_setup(&c->ssl, &tls) != 0)
		fatal("TLS");
	mbedtls_ssl_set_bio(&c->ssl, c, tls_send, tls_receive, NULL);
	ctl_reader_init(&c->reader, c->buf, sizeof(c->buf));
	(void)uv_poll_init(&loop, &c->poll, fd);
	c->poll.data = c;
	work(c);
}

void serve_start(struct node *n)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(a);

	n->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (n->fd < 0 || bind(n->fd, (struct sockaddr *)&a, size) < 0 || listen(n->fd, 64) < 0 ||
	    getsockname(n->fd, (struct sockaddr *)&a, &size) < 0)
		fatal("listen");
	n->port = ntohs(a.sin_port);
	(void)uv_poll_init(&loop, &n->listener, n->fd);
	n->listener.data = n;
	(void)uv_poll_start(&n->listener, UV_READABLE, accept_one);
}

void serve_hang_up(struct node *n)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (n->connections[i])
			drop(n->connections[i]);
}

void serve_stop(struct node *n)
{
	n->gone = true;
	serve_hang_up(n);
	(void)uv_poll_stop(&n->listener);
	(void)close(n->fd);
}
