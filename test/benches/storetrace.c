// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A trace of writes, on a store in memory or over NBD, and what it cost the devices below. Which
 * sectors are written depends on nothing but the arguments.
 *
 * usage: storetrace TARGET PATTERN REQUEST_BYTES COUNT DISK_BYTES DEPTH FLUSH_EVERY
 * TARGET: "store", an NBD URI, or a device's name. PATTERN: sequential or random. FLUSH_EVERY:
 * writes; 0: one flush at the end. Prints JSON: bytes by the guest and, of a store, to and from its
 * devices; "closed": after the store has been closed, with its index. For a device, it writes
 * nothing, but prints the trace as fio reads it (its manual, "Trace file format v2").
 */
#include <inttypes.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "storage/fiber.h"
#include "storage/store.h"

#define DEPTH_MAX    64
#define STACK_BYTES  (64u * 1024)
#define DEVICE_BYTES (2ull << 30)

struct trace {
	bool random;
	uint64_t request, count, disk, flush_every; /* bytes, writes, bytes, writes */
	unsigned depth;
	uint64_t next, state;
};

static _Noreturn void fail(const char *what)
{
	(void)fprintf(stderr, "storetrace: %s\n", what);
	exit(1);
}

void fiber_overflow(void)
{
	fail("a fiber's stack is too small");
}

/* Where the next write goes, in bytes; false: that was all. *flush: one follows it. */
static bool next_write(struct trace *t, uint64_t *at, bool *flush)
{
	uint64_t i = t->next;

	if (i == t->count)
		return false;
	t->next++;
	t->state ^= t->state << 13;
	t->state ^= t->state >> 7;
	t->state ^= t->state << 17;
	*at = (t->random ? t->state : i) % (t->disk / t->request) * t->request;
	*flush = t->flush_every && t->next % t->flush_every == 0;
	return true;
}

/* --- devices in memory that count --- */

struct counted {
	struct blockdev dev;
	char *data; /* NULL: reads as a pattern, takes no writes */
	uint64_t read, written, writes, flushes;
	struct block_request *queue, **end;
};

static void submit(struct blockdev *dev, struct block_request *r)
{
	struct counted *d = (struct counted *)dev;

	r->next = NULL;
	*d->end = r;
	d->end = &r->next;
}

static void transfer(struct counted *d, const struct block_request *r)
{
	uint64_t at = r->sector * SECTOR_SIZE;

	for (unsigned i = 0; i < r->n_vec; i++) {
		if (r->op == BLOCK_WRITE) {
			memcpy(d->data + at, r->vec[i].base, r->vec[i].bytes);
			d->written += r->vec[i].bytes;
		} else {
			if (d->data)
				memcpy(r->vec[i].base, d->data + at, r->vec[i].bytes);
			else
				memset(r->vec[i].base, 'g', r->vec[i].bytes);
			d->read += r->vec[i].bytes;
		}
		at += r->vec[i].bytes;
	}
}

static void poll(struct blockdev *dev)
{
	struct counted *d = (struct counted *)dev;
	struct block_request *r = d->queue;

	if (!r)
		return;
	d->queue = r->next;
	if (!d->queue)
		d->end = &d->queue;
	r->status = 0;
	if (r->op == BLOCK_FLUSH)
		d->flushes++;
	else
		transfer(d, r);
	d->writes += r->op == BLOCK_WRITE;
	r->done(r);
}

static const struct blockdev_ops counted_ops = {.name = "counted", .submit = submit, .poll = poll};

static void counted_init(struct counted *d, uint64_t bytes, bool data)
{
	*d = (struct counted){.dev = {.ops = &counted_ops,
				      .sectors = bytes / SECTOR_SIZE,
				      .max_sectors = 2048,
				      .max_vec = 64}};
	d->end = &d->queue;
	if (!data)
		return;
	d->data = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (d->data == MAP_FAILED)
		fail("out of memory");
}

/* --- the store --- */

struct bench {
	struct trace trace;
	struct counted dev, golden;
	struct fiber_sched *sched;
	struct store *store;
	char *data;
	unsigned busy;
	bool done;
};

static void expect(int err, const char *what)
{
	if (err) {
		(void)fprintf(stderr, "storetrace: %s: error %d\n", what, err);
		exit(1);
	}
}

static void run(struct bench *b, void (*fn)(void *))
{
	b->done = false;
	expect(fiber_start(b->sched, fn, b), "fiber_start");
	while (!b->done) {
		fiber_run(b->sched, 4);
		poll(&b->dev.dev);
		poll(&b->golden.dev);
	}
}

static void open_store(void *arg)
{
	struct bench *b = arg;
	struct store_options o = {.seed = 1};
	char why[200] = "";

	expect(store_format(&b->dev.dev, &b->golden.dev, &o, false), "store_format");
	expect(store_open(&b->dev.dev, &b->golden.dev, NULL, &b->store, why, sizeof(why)), why);
	b->done = true;
}

static void worker(void *arg)
{
	struct bench *b = arg;
	uint64_t at;
	bool flush;

	while (next_write(&b->trace, &at, &flush)) {
		struct block_vec v = {b->data, b->trace.request};

		expect(store_write(b->store, at / SECTOR_SIZE, &v, 1), "store_write");
		if (flush)
			expect(store_flush(b->store), "store_flush");
	}
	if (--b->busy == 0) {
		expect(store_flush(b->store), "store_flush");
		b->done = true;
	}
}

static void close_store(void *arg)
{
	struct bench *b = arg;

	expect(store_close(b->store), "store_close");
	b->done = true;
}

static void on_store(const struct trace *t)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b)
		fail("out of memory");
	b->trace = *t;
	b->data = malloc(t->request);
	b->sched = fiber_sched_create(DEPTH_MAX + 4, STACK_BYTES);
	if (!b->data || !b->sched)
		fail("out of memory");
	memset(b->data, 'w', t->request);
	counted_init(&b->dev, DEVICE_BYTES, true);
	counted_init(&b->golden, t->disk, false);
	run(b, open_store);
	b->dev.read = b->dev.written = b->dev.writes = b->dev.flushes = b->golden.read = 0;
	b->busy = t->depth;
	for (unsigned i = 1; i < t->depth; i++)
		expect(fiber_start(b->sched, worker, b), "fiber_start");
	run(b, worker);
	printf("{\"guest\": %" PRIu64 ", \"written\": %" PRIu64 ", \"read\": %" PRIu64
	       ", \"golden_read\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"flushes\": %" PRIu64,
	       t->count * t->request, b->dev.written, b->dev.read, b->golden.read, b->dev.writes,
	       b->dev.flushes);
	run(b, close_store);
	printf(", \"closed\": %" PRIu64 "}\n", b->dev.written);
}

/* --- over NBD --- */

struct slot {
	struct client *client;
	bool flush; /* after the write that is under way */
};

struct client {
	struct trace trace;
	struct nbd_handle *nbd;
	struct slot slot[DEPTH_MAX];
	char *data;
	unsigned busy;
};

static void nbd_expect(int64_t result)
{
	if (result < 0)
		fail(nbd_get_error());
}

static int completed(void *user, int *error);

static void go_on(struct slot *s)
{
	struct client *c = s->client;
	nbd_completion_callback call = {.callback = completed, .user_data = s};
	uint64_t at;

	if (s->flush) {
		s->flush = false;
		nbd_expect(nbd_aio_flush(c->nbd, call, 0));
	} else if (next_write(&c->trace, &at, &s->flush)) {
		nbd_expect(nbd_aio_pwrite(c->nbd, c->data, c->trace.request, at, call, 0));
	} else {
		c->busy--;
	}
}

/* libnbd forbids new commands from inside: the loop goes on for the slot. */
static struct slot *ready[DEPTH_MAX];
static unsigned n_ready;

static int completed(void *user, int *error)
{
	if (*error)
		fail("an NBD request failed");
	ready[n_ready++] = user;
	return 1; /* retire the command */
}

static void over_nbd(const char *uri, const struct trace *t)
{
	struct client c = {
		.trace = *t, .nbd = nbd_create(), .data = malloc(t->request), .busy = t->depth};

	if (!c.nbd || !c.data)
		fail("out of memory");
	memset(c.data, 'w', t->request);
	nbd_expect(nbd_connect_uri(c.nbd, uri));
	for (unsigned i = 0; i < t->depth; i++) {
		c.slot[i].client = &c;
		ready[n_ready++] = &c.slot[i];
	}
	while (c.busy) {
		while (n_ready)
			go_on(ready[--n_ready]);
		if (c.busy)
			nbd_expect(nbd_poll(c.nbd, -1));
	}
	nbd_expect(nbd_flush(c.nbd, 0));
	nbd_expect(nbd_shutdown(c.nbd, 0));
	printf("{\"guest\": %" PRIu64 "}\n", t->count * t->request);
}

/* --- for fio --- */

static void for_fio(const char *device, struct trace *t)
{
	uint64_t at;
	bool flush;

	printf("fio version 2 iolog\n%s add\n%s open\n", device, device);
	while (next_write(t, &at, &flush)) {
		printf("%s write %" PRIu64 " %" PRIu64 "\n", device, at, t->request);
		if (flush)
			printf("%s datasync 0 0\n", device);
	}
	printf("%s datasync 0 0\n%s close\n", device, device);
}

int main(int argc, char **argv)
{
	struct trace t;

	if (argc != 8)
		fail("usage: storetrace TARGET PATTERN REQUEST_BYTES COUNT DISK_BYTES DEPTH "
		     "FLUSH_EVERY");
	t = (struct trace){.random = strcmp(argv[2], "random") == 0,
			   .request = strtoull(argv[3], NULL, 10),
			   .count = strtoull(argv[4], NULL, 10),
			   .disk = strtoull(argv[5], NULL, 10),
			   .depth = (unsigned)strtoul(argv[6], NULL, 10),
			   .flush_every = strtoull(argv[7], NULL, 10),
			   .state = 88172645463325252ull};
	if (!t.request || t.request % SECTOR_SIZE || t.disk < t.request || !t.depth ||
	    t.depth > DEPTH_MAX)
		fail("a request is a multiple of 512 bytes, the depth 1 to 64");
	if (strcmp(argv[1], "store") == 0)
		on_store(&t);
	else if (argv[1][0] == '/')
		for_fio(argv[1], &t);
	else
		over_nbd(argv[1], &t);
	return 0;
}
