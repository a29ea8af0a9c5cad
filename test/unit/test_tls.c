/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: net/tls.c */
/* The server's TLS against mbedTLS's client, over pipes in memory: who gets in, and what a record
 * that was changed, repeated or left out does. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include "hv/log.h"
#include "net/tls.h"
#include "test/unit/check.h"
#include "test/unit/same_random.h"

#define PIPE  65536
#define TURNS 200

struct pipe {
	uint8_t data[PIPE];
	size_t head, tail;
	bool closed;
};

static struct pipe to_server, to_client;
static size_t step; /* bytes that one call gets, at most */
static struct tls server;
static mbedtls_ssl_context client;
static mbedtls_ssl_config client_config;
static const uint8_t key[32] = "0123456789abcdef0123456789abcdef";

void panic(const char *f, ...)
{
	printf("panic: %s\n", f);
	abort();
}

static size_t pipe_put(struct pipe *p, const void *buf, size_t n)
{
	n = n < step ? n : step;
	memcpy(p->data + p->head, buf, n);
	p->head += n;
	return n;
}

static size_t pipe_get(struct pipe *p, void *buf, size_t n)
{
	size_t left = p->head - p->tail;

	n = n < left ? n : left;
	n = n < step ? n : step;
	memcpy(buf, p->data + p->tail, n);
	p->tail += n;
	return n;
}

static size_t server_send(void *s, const void *buf, size_t n)
{
	(void)s;
	return pipe_put(&to_client, buf, n);
}

static int server_receive(void *s, void *buf, size_t n)
{
	size_t got = pipe_get(&to_server, buf, n);

	(void)s;
	return got ? (int)got : to_server.closed ? -ECONNRESET : 0;
}

static const struct tls_stream stream = {.send = server_send, .receive = server_receive};

static int client_send(void *s, const unsigned char *buf, size_t n)
{
	(void)s;
	return (int)pipe_put(&to_server, buf, n);
}

static int client_receive(void *s, unsigned char *buf, size_t n)
{
	size_t got = pipe_get(&to_client, buf, n);

	(void)s;
	return got ? (int)got : MBEDTLS_ERR_SSL_WANT_READ;
}

static void begin(const uint8_t *psk, const char *identity, int suite, size_t at_once)
{
	static int suites[2];

	step = at_once;
	memset(&to_server, 0, sizeof(to_server));
	memset(&to_client, 0, sizeof(to_client));
	mbedtls_ssl_config_init(&client_config);
	CHECK(mbedtls_ssl_config_defaults(&client_config, MBEDTLS_SSL_IS_CLIENT,
					  MBEDTLS_SSL_TRANSPORT_STREAM,
					  MBEDTLS_SSL_PRESET_DEFAULT) == 0);
	suites[0] = suite;
	mbedtls_ssl_conf_ciphersuites(&client_config, suites);
	mbedtls_ssl_conf_rng(&client_config, entropy_random, NULL);
	CHECK(mbedtls_ssl_conf_max_frag_len(&client_config, MBEDTLS_SSL_MAX_FRAG_LEN_1024) == 0);
	CHECK(mbedtls_ssl_conf_psk(&client_config, psk, 32, (const unsigned char *)identity,
				   strlen(identity)) == 0);
	mbedtls_ssl_init(&client);
	CHECK(mbedtls_ssl_setup(&client, &client_config) == 0);
	mbedtls_ssl_set_bio(&client, NULL, client_send, client_receive, NULL);
	CHECK_EQ(tls_open(&server, &stream, NULL), 0);
}

static void end(void)
{
	tls_close(&server, false);
	mbedtls_ssl_free(&client);
	mbedtls_ssl_config_free(&client_config);
}

/* How it ends for the server. */
static enum tls_result shake_hands(void)
{
	enum tls_result r = TLS_WAIT;
	int err = -1;

	for (unsigned i = 0; i < TURNS * PIPE / step && (r == TLS_WAIT || r == TLS_MORE); i++) {
		if (err)
			err = mbedtls_ssl_handshake(&client);
		r = tls_handshake(&server);
	}
	if (r == TLS_DONE && err) /* the server's Finished */
		for (unsigned i = 0; i < PIPE && err; i++)
			err = mbedtls_ssl_handshake(&client);
	CHECK(r != TLS_DONE || err == 0);
	return r;
}

static void say(const char *text)
{
	size_t n = strlen(text);
	int r = 0;

	for (unsigned i = 0; i < PIPE && r <= 0; i++)
		r = mbedtls_ssl_write(&client, (const unsigned char *)text, n);
	CHECK_EQ(r, n);
}

static enum tls_result hear(char *buf, size_t size)
{
	enum tls_result r = TLS_WAIT;
	size_t n = 0;

	for (unsigned i = 0; i < TURNS && r == TLS_WAIT; i++)
		r = tls_read(&server, buf, size - 1, &n);
	buf[n] = 0;
	return r;
}

static const int suites[] = {MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256,
			     MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256};

static void both_suites_work_in_pieces_of_any_size(void)
{
	static const size_t pieces[] = {1, 7, 100, PIPE};
	static char big[3000], heard[sizeof(big) + 1];

	memset(big, 'x', sizeof(big) - 1);
	for (unsigned i = 0; i < 8; i++) {
		size_t sent = 0, done = 0;
		char buf[64];

		begin(key, "stasisctl@host", suites[i & 1], pieces[i / 2]);
		CHECK_EQ(shake_hands(), TLS_DONE);
		CHECK_STR(server.identity, "stasisctl@host");
		say("status");
		CHECK_EQ(hear(buf, sizeof(buf)), TLS_DONE);
		CHECK_STR(buf, "status");
		for (unsigned k = 0; k < 100000 && done < sizeof(big) - 1; k++) {
			unsigned char got[512];
			int r;

			if (sent < sizeof(big) - 1) {
				size_t n = 0;

				if (tls_write(&server, big + sent, sizeof(big) - 1 - sent, &n) ==
				    TLS_DONE)
					sent += n;
				CHECK(n <= TLS_RECORD_MAX);
			}
			r = mbedtls_ssl_read(&client, got, sizeof(got));
			if (r > 0) {
				memcpy(heard + done, got, (size_t)r);
				done += (size_t)r;
			}
		}
		CHECK(memcmp(heard, big, sizeof(big)) == 0);
		memset(heard, 0, sizeof(heard));
		end();
	}
}

static void the_wrong_key_opens_nothing(void)
{
	static const uint8_t other[32] = "0123456789abcdef0123456789abcdeg";

	begin(other, "intruder", suites[0], PIPE);
	CHECK_EQ(shake_hands(), TLS_BROKEN);
	CHECK_STR(server.trouble, "wrong key");
	CHECK_STR(server.identity, "intruder");
	end();
}

static void identities_are_printable(void)
{
	char name[TLS_IDENTITY_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	begin(key, name, suites[0], PIPE);
	CHECK_EQ(shake_hands(), TLS_BROKEN);
	CHECK_STR(server.identity, "");
	end();
	name[TLS_IDENTITY_MAX] = 0;
	begin(key, name, suites[0], PIPE);
	CHECK_EQ(shake_hands(), TLS_DONE);
	CHECK_STR(server.identity, name);
	end();
	begin(key, "a\033[2J", suites[0], PIPE);
	CHECK_EQ(shake_hands(), TLS_BROKEN);
	CHECK_STR(server.trouble, "bad PSK identity");
	end();
}

static void a_record_is_taken_once_in_order_and_whole(void)
{
	for (unsigned what = 0; what < 3; what++) {
		size_t from, n;
		char buf[64];

		begin(key, "x", suites[what & 1], PIPE);
		CHECK_EQ(shake_hands(), TLS_DONE);
		from = to_server.head;
		say("first");
		n = to_server.head - from;
		if (what == 0) { /* changed */
			to_server.data[to_server.head - 1] ^= 1;
		} else if (what == 1) { /* repeated */
			CHECK_EQ(hear(buf, sizeof(buf)), TLS_DONE);
			memcpy(to_server.data + to_server.head, to_server.data + from, n);
			to_server.head += n;
		} else { /* left out */
			to_server.tail = to_server.head;
			say("second");
		}
		CHECK_EQ(hear(buf, sizeof(buf)), TLS_BROKEN);
		CHECK_STR(server.trouble, "a record was damaged or replayed");
		end();
	}
}

static void a_session_sent_again_opens_nothing(void)
{
	static struct pipe heard;

	begin(key, "x", suites[0], PIPE);
	CHECK_EQ(shake_hands(), TLS_DONE);
	say("freeze");
	heard = to_server;
	end();
	begin(key, "x", suites[0], PIPE);
	to_server = heard;
	to_server.tail = 0;
	to_server.closed = true;
	for (unsigned i = 0; i < TURNS; i++) {
		enum tls_result r = tls_handshake(&server);

		CHECK(r != TLS_DONE);
		if (r == TLS_BROKEN || r == TLS_CLOSED)
			break;
	}
	CHECK_STR(server.trouble, "wrong key");
	end();
}

static void a_peer_that_goes_is_noticed(void)
{
	char buf[8];

	begin(key, "x", suites[0], PIPE);
	CHECK_EQ(shake_hands(), TLS_DONE);
	to_server.closed = true;
	CHECK_EQ(hear(buf, sizeof(buf)), TLS_CLOSED);
	end();
	begin(key, "x", suites[0], PIPE);
	CHECK_EQ(shake_hands(), TLS_DONE);
	CHECK(mbedtls_ssl_close_notify(&client) == 0);
	CHECK_EQ(hear(buf, sizeof(buf)), TLS_CLOSED);
	end();
}

static void memory_is_enough_for_all_connections_and_no_more(void)
{
	static struct tls many[TLS_CONNECTIONS + 64];
	unsigned n = 0;

	for (unsigned k = 0; k < 3; k++) {
		while (n < sizeof(many) / sizeof(many[0]) && tls_open(&many[n], &stream, NULL) == 0)
			n++;
		CHECK(n >= TLS_CONNECTIONS && n < sizeof(many) / sizeof(many[0]));
		while (n)
			tls_close(&many[--n], false);
	}
}

int main(void)
{
	tls_memory_init();
	CHECK_EQ(tls_setup(key, sizeof(key)), 0);
	RUN(both_suites_work_in_pieces_of_any_size);
	RUN(the_wrong_key_opens_nothing);
	RUN(identities_are_printable);
	RUN(a_record_is_taken_once_in_order_and_whole);
	RUN(a_session_sent_again_opens_nothing);
	RUN(a_peer_that_goes_is_noticed);
	RUN(memory_is_enough_for_all_connections_and_no_more);
	return check_result();
}
