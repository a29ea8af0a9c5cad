/* build: net/tls.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stranger's bytes to the server's TLS: it ends the connection or waits, never opens, and its
 * memory is all there afterwards. */
#include <errno.h>
#include <string.h>
#include "hv/log.h"
#include "net/tls.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/same_random.h"

#define STEPS 1000

/* What a client would say; an input begins behind the first so many of them. */
static const struct {
	uint8_t size, bytes[56];
} begun[] = {
	{50, {0x16, 3, 3, 0, 45, 1, 0, 0, 41, 3, 3, [45] = 2, [46] = 0xcc, [47] = 0xab, [48] = 1}},
	{12, {0x16, 3, 3, 0, 7, 16, 0, 0, 3, 0, 1, 'x'}}, /* ClientKeyExchange */
	{6, {0x14, 3, 3, 0, 1, 1}},			  /* ChangeCipherSpec */
};
#define BEGUN (sizeof(begun) / sizeof(begun[0]))

static unsigned part, parts;
static size_t at;

static struct tls server, more[TLS_CONNECTIONS];

void panic(const char *f, ...)
{
	(void)f;
	abort();
}

static size_t server_send(void *s, const void *buf, size_t n)
{
	(void)s;
	(void)buf;
	return n;
}

static int server_receive(void *s, void *buf, size_t n)
{
	size_t left = (size_t)(fuzz_end - fuzz_in);

	(void)s;
	if (part < parts) {
		left = begun[part].size - at;
		n = n < left ? n : left;
		memcpy(buf, begun[part].bytes + at, n);
		at += n;
		if (at == begun[part].size) {
			part++;
			at = 0;
		}
		return (int)n;
	}
	if (!left)
		return -ECONNRESET;
	n = n < left ? n : left;
	memcpy(buf, fuzz_in, n);
	fuzz_in += n;
	return (int)n;
}

static const struct tls_stream stream = {.send = server_send, .receive = server_receive};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {1};
	static bool ready;
	enum tls_result r = TLS_MORE;

	if (!ready) {
		tls_memory_init();
		REQUIRE(tls_setup(key, sizeof(key)) == 0);
		ready = true;
	}
	random_state = 1;
	fuzz_begin(data, size);
	parts = (unsigned)(take(1) % (BEGUN + 1));
	part = 0;
	at = 0;
	REQUIRE(tls_open(&server, &stream, NULL) == 0);
	for (unsigned i = 0; i < STEPS && r == TLS_MORE; i++)
		r = tls_handshake(&server);
	REQUIRE(r == TLS_CLOSED || r == TLS_BROKEN);
	tls_close(&server, false);
	for (unsigned i = 0; i < TLS_CONNECTIONS; i++)
		REQUIRE(tls_open(&more[i], &stream, NULL) == 0);
	for (unsigned i = 0; i < TLS_CONNECTIONS; i++)
		tls_close(&more[i], false);
	return 0;
}
