/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server's side of TLS 1.2 with a pre-shared key (RFC 4279; suites of RFC 7905 and RFC 5487),
 * by mbedTLS, over any stream. No renegotiation, no resumption. All memory is in one block; a
 * connection needs about 10 KiB of it.
 *
 * Context: one CPU at a time. Each call does the work of one message at most, so that it can be one
 * step of a slice.
 */
#pragma once
#include <mbedtls/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_IDENTITY_MAX 64   /* printable bytes */
#define TLS_RECORD_MAX	 1024 /* of plain text that is sent */
#define TLS_CONNECTIONS	 8

struct tls_stream {
	size_t (*send)(void *stream, const void *buf, size_t n); /* bytes taken; 0: no room now */
	/* Bytes; 0: none now; -ECONNRESET: there will be no more. */
	int (*receive)(void *stream, void *buf, size_t n);
};

struct tls {
	mbedtls_ssl_context ssl;
	const struct tls_stream *ops;
	void *stream;
	char identity[TLS_IDENTITY_MAX + 1]; /* of the client, as soon as it has said it */
	char trouble[48];		     /* after TLS_BROKEN */
	size_t unsent;			     /* a record that is on its way */
};

enum tls_result {
	TLS_DONE,
	TLS_MORE,   /* call again at once */
	TLS_WAIT,   /* for the peer */
	TLS_CLOSED, /* by the peer */
	TLS_BROKEN,
};

void tls_memory_init(void); /* once, before anything of mbedTLS, net/entropy.h too */
/* Once: the key is copied. -ENOMEM. */
int tls_setup(const uint8_t *key, size_t size);
int tls_open(struct tls *t, const struct tls_stream *ops, void *stream); /* -ENOMEM */
void tls_close(struct tls *t, bool notify);
enum tls_result tls_handshake(struct tls *t);
/* TLS_DONE: `*got` bytes, at least one. */
enum tls_result tls_read(struct tls *t, void *buf, size_t n, size_t *got);
/* TLS_DONE: `*sent` bytes. After TLS_WAIT the same bytes have to be offered again. */
enum tls_result tls_write(struct tls *t, const void *buf, size_t n, size_t *sent);
