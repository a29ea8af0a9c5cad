// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/tls.h"
#include <errno.h>
#include <mbedtls/memory_buffer_alloc.h>
#include <string.h>
#include "hv/fmt.h"
#include "hv/log.h"
#include "net/entropy.h"

#define HEAP_BYTES (TLS_CONNECTIONS * 20480u + 8192u)

static mbedtls_ssl_config config;
static uint8_t heap[HEAP_BYTES] __attribute__((aligned(16)));
static uint8_t psk[MBEDTLS_PSK_MAX_LEN];
static size_t psk_size;

void tls_broken(int status)
{
	panic("mbedTLS: its heap is damaged (%d)", status);
}

void tls_memory_init(void)
{
	mbedtls_memory_buffer_alloc_init(heap, sizeof(heap));
}

/* --- the key --- */

static bool printable(const unsigned char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < '!' || s[i] > '~')
			return false;
	return n > 0 && n <= TLS_IDENTITY_MAX;
}

/* Any identity has the one key: it is for the log. */
static int find_key(void *unused, mbedtls_ssl_context *ssl, const unsigned char *name, size_t n)
{
	struct tls *t = (struct tls *)ssl; /* its first member */

	(void)unused;
	if (!printable(name, n))
		return -1;
	memcpy(t->identity, name, n);
	t->identity[n] = 0;
	return mbedtls_ssl_set_hs_psk(ssl, psk, psk_size);
}
_Static_assert(offsetof(struct tls, ssl) == 0, "find_key");

int tls_setup(const uint8_t *key, size_t size)
{
	static const int suites[] = {MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256,
				     MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256, 0};

	if (size > sizeof(psk))
		return -EINVAL;
	memcpy(psk, key, size);
	psk_size = size;
	mbedtls_ssl_config_init(&config);
	if (mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER,
					MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT) != 0)
		return -ENOMEM;
	mbedtls_ssl_conf_ciphersuites(&config, suites);
	mbedtls_ssl_conf_rng(&config, entropy_random, NULL);
	mbedtls_ssl_conf_psk_cb(&config, find_key, NULL);
	return 0;
}

/* --- the stream --- */

static int bio_send(void *arg, const unsigned char *buf, size_t n)
{
	struct tls *t = arg;
	size_t done = t->ops->send(t->stream, buf, n);

	return done ? (int)done : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int bio_receive(void *arg, unsigned char *buf, size_t n)
{
	struct tls *t = arg;
	int got = t->ops->receive(t->stream, buf, n);

	if (got < 0)
		return MBEDTLS_ERR_SSL_CONN_EOF;
	return got ? got : MBEDTLS_ERR_SSL_WANT_READ;
}

int tls_open(struct tls *t, const struct tls_stream *ops, void *stream)
{
	memset(t, 0, sizeof(*t));
	t->ops = ops;
	t->stream = stream;
	mbedtls_ssl_init(&t->ssl);
	if (mbedtls_ssl_setup(&t->ssl, &config) != 0) {
		mbedtls_ssl_free(&t->ssl);
		return -ENOMEM;
	}
	mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_receive, NULL);
	return 0;
}

void tls_close(struct tls *t, bool notify)
{
	if (notify)
		(void)mbedtls_ssl_close_notify(&t->ssl);
	mbedtls_ssl_free(&t->ssl);
}

/* --- what its errors mean --- */

static const struct {
	int code;
	const char *text;
} troubles[] = {
	{MBEDTLS_ERR_SSL_INVALID_RECORD, "this is not TLS"},
	{MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION, "TLS 1.2 is needed"},
	{MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN, "none of its suites is served"},
	{MBEDTLS_ERR_SSL_BAD_HS_CLIENT_HELLO, "no good ClientHello (is this TLS?)"},
	{MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY, "bad PSK identity"},
	{MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE, "it gave up (TLS alert)"},
	{MBEDTLS_ERR_SSL_ALLOC_FAILED, "no memory"},
};

static enum tls_result result(struct tls *t, int err)
{
	const char *text = NULL;

	if (err == MBEDTLS_ERR_SSL_WANT_READ || err == MBEDTLS_ERR_SSL_WANT_WRITE)
		return TLS_WAIT;
	if (err == MBEDTLS_ERR_SSL_CONN_EOF || err == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || err == 0)
		return TLS_CLOSED;
	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++)
		if (troubles[i].code == err)
			text = troubles[i].text;
	if (err == MBEDTLS_ERR_SSL_INVALID_MAC)
		text = t->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER
			       ? "a record was damaged or replayed"
			       : "wrong key";
	if (text)
		(void)fmt(t->trouble, sizeof(t->trouble), "%s", text);
	else
		(void)fmt(t->trouble, sizeof(t->trouble), "TLS error -0x%04x", (unsigned)-err);
	return TLS_BROKEN;
}

enum tls_result tls_handshake(struct tls *t)
{
	int err = mbedtls_ssl_handshake_step(&t->ssl);

	if (err)
		return result(t, err);
	return t->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER ? TLS_DONE : TLS_MORE;
}

enum tls_result tls_read(struct tls *t, void *buf, size_t n, size_t *got)
{
	int r = mbedtls_ssl_read(&t->ssl, buf, n);

	if (r <= 0)
		return result(t, r);
	*got = (size_t)r;
	return TLS_DONE;
}

enum tls_result tls_write(struct tls *t, const void *buf, size_t n, size_t *sent)
{
	int r;

	if (t->unsent)
		n = t->unsent;
	else if (n > TLS_RECORD_MAX)
		n = TLS_RECORD_MAX;
	r = mbedtls_ssl_write(&t->ssl, buf, n);
	t->unsent = r == MBEDTLS_ERR_SSL_WANT_WRITE ? n : 0;
	if (r < 0)
		return result(t, r);
	*sent = (size_t)r;
	return TLS_DONE;
}
