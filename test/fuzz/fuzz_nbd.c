// SPDX-License-Identifier: GPL-2.0-or-later
/* build: storage/nbd.c storage/nbd_receive.c */
/* What a server may send: an input is steps, each a byte that says what happens and for bytes from
 * the server how many. Each request ends once, and its memory is touched only inside its bounds
 * (each has a heap block of its own). */
#include <stdlib.h>
#include <string.h>
#include "storage/nbd.h"
#include "test/fuzz/fuzz.h"

#define REQUESTS 24

struct job {
	struct block_request r;
	struct block_vec vec[2];
	bool busy;
};
static struct job jobs[REQUESTS];
static bool connected;

static int wire_connect(void *stream)
{
	(void)stream;
	REQUIRE(!connected);
	connected = true;
	return 0;
}

static size_t wire_write(void *stream, const void *buf, size_t n)
{
	static volatile uint8_t sum;

	(void)stream;
	REQUIRE(connected);
	for (size_t i = 0; i < n; i++)
		sum = sum + ((const uint8_t *)buf)[i];
	return n > 100 ? n / 2 : n; /* some come in parts */
}

static void wire_push(void *stream)
{
	(void)stream;
}

static void wire_close(void *stream)
{
	(void)stream;
	REQUIRE(connected);
	connected = false;
}

static const struct nbd_stream_ops ops = {wire_connect, wire_write, wire_push, wire_close};

static void done(struct block_request *r)
{
	struct job *j = r->owner;

	REQUIRE(j->busy);
	j->busy = false;
	free(j->vec[0].base);
	free(j->vec[1].base);
}

static void submit(struct nbd *n, unsigned what)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct job *j = &jobs[i];

		if (j->busy)
			continue;
		j->busy = true;
		for (unsigned v = 0; v < 2; v++) {
			j->vec[v].bytes = (1 + (what >> v & 1)) * SECTOR_SIZE;
			j->vec[v].base = calloc(1, j->vec[v].bytes);
		}
		j->r = (struct block_request){.op = what % 3,
					      .sector = what & 0xf0,
					      .vec = j->vec,
					      .n_vec = 2,
					      .done = done,
					      .owner = j};
		n->dev.ops->submit(&n->dev, &j->r);
		return;
	}
}

/* The way to READY, which random bytes hardly find. */
static void negotiate(struct nbd *n)
{
	static const uint8_t hello[] = "NBDMAGICIHAVEOPT\0\3"
				       "\0\3\xe8\x89\4\x55\x65\xa9\0\0\0\x08\0\0\0\1\0\0\0\0"
				       "\0\3\xe8\x89\4\x55\x65\xa9\0\0\0\x07\0\0\0\3\0\0\0\x0c"
				       "\0\0\0\0\0\0\0\x10\0\0\0\5"
				       "\0\3\xe8\x89\4\x55\x65\xa9\0\0\0\x07\0\0\0\1\0\0\0";

	nbd_connected(n);
	nbd_received(n, hello, sizeof(hello)); /* its last NUL is the length's last byte */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct nbd_options o = {.export = "disk", .request_ms = 1000, .give_up_ms = 3000};
	static struct nbd n;
	uint64_t now = 1;

	memset(jobs, 0, sizeof(jobs));
	connected = false;
	nbd_init(&n, &o, &ops, NULL);
	while (size >= 2) {
		unsigned what = data[0], more = data[1];

		data += 2;
		size -= 2;
		switch (what % 8) {
		case 0:
			if (connected && n.state == NBD_CONNECTING)
				nbd_connected(&n);
			break;
		case 1:
			if (connected && n.state == NBD_CONNECTING)
				negotiate(&n);
			break;
		case 2:
			nbd_tick(&n, now += more * 10);
			break;
		case 3:
			if (connected) {
				connected = false;
				nbd_closed(&n);
			}
			break;
		case 4:
			nbd_writable(&n);
			break;
		case 5:
			submit(&n, more);
			break;
		default:
			more = more < size ? more : (unsigned)size;
			if (connected && n.state > NBD_CONNECTING && n.state < NBD_FAILED)
				nbd_received(&n, data, more);
			data += more;
			size -= more;
		}
	}
	if (connected) {
		connected = false;
		nbd_closed(&n);
	}
	while (n.state != NBD_FAILED && n.now < now + 60000)
		nbd_tick(&n, n.now + 1000);
	for (unsigned i = 0; i < REQUESTS; i++)
		REQUIRE(!jobs[i].busy);
	return 0;
}
