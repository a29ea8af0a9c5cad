/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: storage/nbd.c storage/nbd_receive.c */
/* The NBD engine against nbdkit and qemu-nbd over sockets, also while they are killed and started
 * again, and against a server of the test's own that breaks the rules. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "storage/nbd.h"
#include "test/unit/check.h"

#define DISK_BYTES (8u << 20)
#define SECTORS	   (DISK_BYTES / SECTOR_SIZE)
#define PATIENCE_S 60

static const char *const nbdkit[] = {"nbdkit", "-f",   "-U",	   "sock", "-e",
				     "disk",   "file", "disk.img", NULL};
/* the filter hides it by default */
static const char *const without_fua[] = {"nbdkit", "-f",	    "-U",   "sock",	"-e",
					  "disk",   "--filter=fua", "file", "disk.img", NULL};
static const char *const qemu_nbd[] = {"qemu-nbd", "-k",  "@/sock", "-x", "disk",     "-t",
				       "-f",	   "raw", "-e",	    "4",  "disk.img", NULL};
static char directory[] = "/tmp/nbd-XXXXXX";

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- a server --- */

static pid_t start_server(const char *const *argv)
{
	static char path[64];
	const char *args[16];
	pid_t pid;

	(void)unlink("sock");
	for (unsigned i = 0; i < 16; i++) {
		args[i] = argv[i];
		if (!argv[i])
			break;
		if (argv[i][0] == '@') {
			(void)snprintf(path, sizeof(path), "%s%s", directory, argv[i] + 1);
			args[i] = path;
		}
	}
	pid = fork();
	if (pid == 0) {
		(void)execvp(args[0], (char *const *)args);
		_exit(127);
	}
	return pid;
}

static void kill_server(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* --- its connection --- */

struct link {
	int fd;
	bool connecting;
	struct nbd *n;
};

static int link_connect(void *stream)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
	struct link *l = stream;

	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(l->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		(void)close(l->fd);
		l->fd = -1;
		return -ENODEV;
	}
	l->connecting = true;
	return 0;
}

static size_t link_write(void *stream, const void *buf, size_t n)
{
	struct link *l = stream;
	ssize_t taken = send(l->fd, buf, n, MSG_NOSIGNAL);

	return taken < 0 ? 0 : (size_t)taken;
}

static void link_push(void *stream)
{
	(void)stream;
}

static void link_close(void *stream)
{
	struct link *l = stream;

	(void)close(l->fd);
	l->fd = -1;
}

static const struct nbd_stream_ops link_ops = {link_connect, link_write, link_push, link_close};

/* Whatever the socket has to say, for a moment. */
static void turn(struct link *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN | POLLOUT};
	uint8_t buf[4096];
	ssize_t got;

	nbd_tick(l->n, now_ms());
	if (l->connecting) {
		l->connecting = false;
		nbd_connected(l->n);
	}
	p.fd = l->fd;
	(void)poll(&p, 1, 10);
	if (l->fd < 0)
		return;
	nbd_writable(l->n);
	if (l->fd < 0)
		return;
	got = recv(l->fd, buf, sizeof(buf), 0);
	if (got > 0) {
		nbd_received(l->n, buf, (size_t)got);
	} else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
		link_close(l);
		nbd_closed(l->n);
	}
}

static bool until(struct link *l, bool (*what)(struct link *l))
{
	uint64_t end = now_ms() + PATIENCE_S * 1000;

	while (!what(l) && now_ms() < end)
		turn(l);
	return what(l);
}

static bool is_ready(struct link *l)
{
	return l->n->state == NBD_READY;
}

/* --- requests --- */

#define JOBS 40
struct job {
	struct block_request r;
	struct block_vec vec[2];
	bool busy;
	uint8_t data[NBD_MAX_SECTORS * SECTOR_SIZE];
};
static struct job jobs[JOBS];
static uint8_t model[DISK_BYTES];
static unsigned busy, errors;

static void done(struct block_request *r)
{
	struct job *j = r->owner;

	busy--;
	j->busy = false;
	if (r->status)
		errors++;
	if (!r->status && r->op == BLOCK_READ)
		CHECK(memcmp(j->data, model + r->sector * SECTOR_SIZE,
			     j->vec[0].bytes + j->vec[1].bytes) == 0);
}

static void submit(struct nbd *n, struct job *j, enum block_op op, uint64_t sector,
		   unsigned sectors)
{
	unsigned first = sectors > 1 ? sectors / 2 : sectors;

	j->vec[0] = (struct block_vec){j->data, (size_t)first * SECTOR_SIZE};
	j->vec[1] = (struct block_vec){j->data + j->vec[0].bytes,
				       (size_t)(sectors - first) * SECTOR_SIZE};
	j->r = (struct block_request){.op = op,
				      .sector = sector,
				      .vec = j->vec,
				      .n_vec = sectors > 1 ? 2 : 1,
				      .done = done,
				      .owner = j};
	j->busy = true;
	busy++;
	n->dev.ops->submit(&n->dev, &j->r);
}

static bool all_done(struct link *l)
{
	(void)l;
	return busy == 0;
}

/* Sectors that no request in flight touches: else their order would be open. */
static bool touched(uint64_t sector, unsigned sectors)
{
	for (unsigned i = 0; i < JOBS; i++) {
		const struct job *j = &jobs[i];
		uint64_t n = (j->vec[0].bytes + j->vec[1].bytes) / SECTOR_SIZE;

		if (j->busy && sector < j->r.sector + n && j->r.sector < sector + sectors)
			return true;
	}
	return false;
}

static void submit_random(struct link *l)
{
	for (unsigned i = 0; i < JOBS; i++) {
		unsigned sectors = 1 + (unsigned)rand() % NBD_MAX_SECTORS;
		uint64_t sector = (uint64_t)rand() % (SECTORS - sectors);
		enum block_op op = rand() % 2 ? BLOCK_READ : BLOCK_WRITE;

		if (jobs[i].busy || touched(sector, sectors))
			continue;
		for (size_t b = 0; op == BLOCK_WRITE && b < (size_t)sectors * SECTOR_SIZE; b++)
			jobs[i].data[b] = model[sector * SECTOR_SIZE + b] = (uint8_t)rand();
		if (op == BLOCK_READ)
			memset(jobs[i].data, 0xa5, sizeof(jobs[i].data));
		submit(l->n, &jobs[i], op, sector, sectors);
	}
}

static int flush(struct link *l)
{
	submit(l->n, &jobs[0], BLOCK_FLUSH, 0, 0);
	CHECK(until(l, all_done));
	return jobs[0].r.status;
}

static void make_disk(void)
{
	int fd = open("disk.img", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	(void)close(fd);
	memset(model, 0, sizeof(model));
	errors = 0;
}

static void against(const char *const *server, bool fua)
{
	static struct nbd n;
	const struct nbd_options o = {.export = "disk", .request_ms = 30000};
	struct link l = {.fd = -1, .n = &n};
	pid_t pid;

	make_disk();
	pid = start_server(server);
	nbd_init(&n, &o, &link_ops, &l);
	if (!CHECK(until(&l, is_ready))) {
		kill_server(pid);
		return;
	}
	CHECK_EQ(n.dev.sectors, SECTORS);
	CHECK(n.structured);
	CHECK_EQ(n.fua, fua);
	for (unsigned round = 0; round < 200; round++) {
		submit_random(&l);
		turn(&l);
	}
	CHECK(until(&l, all_done));
	CHECK_EQ(errors, 0);
	CHECK_EQ(flush(&l), 0);
	/* killed with requests on the wire: they are carried out by its successor */
	submit_random(&l);
	turn(&l);
	kill_server(pid);
	pid = start_server(server);
	CHECK(until(&l, all_done));
	CHECK_EQ(errors, 0);
	CHECK_EQ(n.dev.count.resets, 1);
	/* acknowledged, and then the server's memory was gone: without FUA a flush can't be
	 * promised, once */
	submit(&n, &jobs[1], BLOCK_WRITE, 7, 1);
	memcpy(model + 7 * SECTOR_SIZE, jobs[1].data, SECTOR_SIZE);
	CHECK(until(&l, all_done));
	kill_server(pid);
	pid = start_server(server);
	submit(&n, &jobs[1], BLOCK_READ, 7, 1);
	CHECK(until(&l, all_done));
	CHECK_EQ(flush(&l), fua ? 0 : -EIO);
	CHECK_EQ(flush(&l), 0);
	kill_server(pid);
	link_close(&l);
}

static void nbdkit_server(void)
{
	against(nbdkit, true);
}

static void server_without_fua(void)
{
	against(without_fua, false);
}

static void qemu_server(void)
{
	against(qemu_nbd, true);
}

static void wrong_export(void)
{
	static struct nbd n;
	const struct nbd_options o = {.export = "another", .request_ms = 30000};
	struct link l = {.fd = -1, .n = &n};
	pid_t pid;

	make_disk();
	pid = start_server(qemu_nbd);
	nbd_init(&n, &o, &link_ops, &l);
	for (uint64_t end = now_ms() + PATIENCE_S * 1000; n.state != NBD_FAILED && now_ms() < end;)
		turn(&l);
	CHECK_STR(n.trouble, "the server refuses the export: correct its name, or the server's "
			     "list");
	kill_server(pid);
}

/* --- a server that the test plays --- */

static struct {
	uint8_t sent[65536]; /* by the engine */
	size_t n;
	unsigned connects, closes;
} wire;

static int wire_connect(void *stream)
{
	(void)stream;
	wire.connects++;
	wire.n = 0;
	return 0;
}

static size_t wire_write(void *stream, const void *buf, size_t n)
{
	(void)stream;
	if (n > sizeof(wire.sent) - wire.n)
		n = sizeof(wire.sent) - wire.n;
	memcpy(wire.sent + wire.n, buf, n);
	wire.n += n;
	return n;
}

static void wire_push(void *stream)
{
	(void)stream;
}

static void wire_close(void *stream)
{
	(void)stream;
	wire.closes++;
}

static const struct nbd_stream_ops wire_ops = {wire_connect, wire_write, wire_push, wire_close};

static uint8_t answer[4096];
static size_t answer_n;

static void say(uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		answer[answer_n++] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

/* One byte at a time: every boundary is crossed. */
static void tell(struct nbd *n)
{
	for (size_t i = 0; i < answer_n; i++)
		nbd_received(n, answer + i, 1);
	answer_n = 0;
}

static void say_option(unsigned option, unsigned reply, unsigned length)
{
	say(0x0003e889045565a9, 8);
	say(option, 4);
	say(reply, 4);
	say(length, 4);
}

static void negotiate(struct nbd *n, uint64_t bytes, unsigned flags, uint32_t most)
{
	say(0x4e42444d41474943, 8);
	say(0x49484156454f5054, 8);
	say(3, 2);
	tell(n);
	say_option(8, 1, 0);
	tell(n);
	say_option(7, 3, 12);
	say(0, 2);
	say(bytes, 8);
	say(flags, 2);
	say_option(7, 3, 14);
	say(3, 2);
	say(1, 4);
	say(4096, 4);
	say(most, 4);
	say_option(7, 1, 0);
	tell(n);
}

/* Connected to it, with a READ of two sectors at 4 on the wire. */
static uint64_t reading(struct nbd *n)
{
	static const struct nbd_options o = {.export = "x", .request_ms = 1000, .give_up_ms = 5000};
	uint64_t cookie = 0;

	memset(&wire, 0, sizeof(wire));
	errors = 0;
	nbd_init(n, &o, &wire_ops, NULL);
	nbd_tick(n, 1000);
	nbd_connected(n);
	negotiate(n, DISK_BYTES, 1 | 4, 65536);
	CHECK_EQ(n->state, NBD_READY);
	CHECK_EQ(n->dev.max_sectors, 128);
	wire.n = 0;
	submit(n, &jobs[0], BLOCK_READ, 4, 2);
	CHECK_EQ(wire.n, 28);
	for (unsigned i = 8; i < 16; i++)
		cookie = cookie << 8 | wire.sent[i];
	return cookie;
}

static void say_chunk(unsigned flags, unsigned type, uint64_t cookie, unsigned length)
{
	say(0x668e33ef, 4);
	say(flags, 2);
	say(type, 2);
	say(cookie, 8);
	say(length, 4);
}

static void say_data(unsigned flags, uint64_t cookie, uint64_t offset, unsigned bytes)
{
	say_chunk(flags, 1, cookie, 8 + bytes);
	say(offset, 8);
	memset(answer + answer_n, 0, bytes);
	answer_n += bytes;
}

static void finish_all(struct nbd *n)
{
	nbd_tick(n, n->now + 100000);
	nbd_tick(n, n->now + 100000);
	nbd_closed(n);
	nbd_tick(n, n->now + 100000);
	CHECK_EQ(busy, 0);
}

static void chunks(void)
{
	static struct nbd n;
	uint64_t cookie = reading(&n);

	memset(model, 0, sizeof(model));
	say_data(0, cookie, 5 * SECTOR_SIZE, SECTOR_SIZE);
	say_chunk(0, 2, cookie, 12); /* a hole */
	say(4 * SECTOR_SIZE, 8);
	say(SECTOR_SIZE, 4);
	tell(&n);
	CHECK_EQ(busy, 1);
	say_chunk(1, 0, cookie, 0);
	tell(&n);
	CHECK_EQ(busy, 0);
	CHECK_EQ(errors, 0);
	CHECK_EQ(wire.closes, 0);
}

static void error_chunk(void)
{
	static struct nbd n;
	uint64_t cookie = reading(&n);

	say_chunk(1, 0x8001, cookie, 6 + 5);
	say(28, 4);
	say(5, 2);
	say(0x66756c6c21, 5);
	tell(&n);
	CHECK_EQ(busy, 0);
	CHECK(jobs[0].r.status == -ENOSPC);
	CHECK_EQ(wire.closes, 0);
}

/* Each of them ends the connection, and touches nothing outside the request (ASan). */
static void rules_broken(void)
{
	static struct nbd n;

	for (unsigned i = 0; i < 10; i++) {
		uint64_t cookie = reading(&n);

		switch (i) {
		case 0: /* before it */
			say_data(1, cookie, 3 * SECTOR_SIZE, SECTOR_SIZE);
			break;
		case 1: /* beyond it */
			say_data(1, cookie, 5 * SECTOR_SIZE, 2 * SECTOR_SIZE);
			break;
		case 2: /* another's */
			say_data(1, cookie + 1, 4 * SECTOR_SIZE, SECTOR_SIZE);
			break;
		case 3: /* twice */
			say_data(0, cookie, 4 * SECTOR_SIZE, SECTOR_SIZE);
			say_data(1, cookie, 4 * SECTOR_SIZE, SECTOR_SIZE);
			break;
		case 4: /* not all */
			say_data(1, cookie, 4 * SECTOR_SIZE, SECTOR_SIZE);
			break;
		case 5: /* no chunk */
			say(0x12345678, 4);
			break;
		case 6: /* a length that wraps */
			say_chunk(1, 2, cookie, 12);
			say(UINT64_MAX - 511, 8);
			say(1024, 4);
			break;
		case 7: /* half a sector */
			say_data(1, cookie, 4 * SECTOR_SIZE + 256, 256);
			break;
		case 8: /* a huge chunk */
			say_chunk(1, 1, cookie, 0xffffffff);
			break;
		default: /* an old reply to a read */
			say(0x67446698, 4);
			say(0, 4);
			say(cookie, 8);
		}
		tell(&n);
		if (!CHECK_EQ(wire.closes, 1) || !CHECK(n.trouble[0]))
			printf("rule %u\n", i);
		CHECK_EQ(busy, 1);
		finish_all(&n);
		CHECK(jobs[0].r.status == -ETIMEDOUT);
	}
}

/* No answer: the connection is given up, another is made, the request goes out again. */
static void sent_again(void)
{
	static struct nbd n;
	uint64_t cookie = reading(&n);

	nbd_tick(&n, 1900);
	CHECK_EQ(wire.closes, 0);
	nbd_tick(&n, 2100);
	CHECK_EQ(wire.closes, 1);
	nbd_tick(&n, 2500);
	CHECK_EQ(wire.connects, 2);
	nbd_connected(&n);
	negotiate(&n, DISK_BYTES, 1 | 4, 65536);
	CHECK_EQ(n.state, NBD_READY);
	CHECK_EQ(n.resent, 1);
	say_data(1, cookie, 4 * SECTOR_SIZE, 2 * SECTOR_SIZE); /* the first one's, late */
	tell(&n);
	CHECK_EQ(wire.closes, 2);
	finish_all(&n);
}

static void another_size(void)
{
	static struct nbd n;

	(void)reading(&n);
	nbd_closed(&n);
	nbd_tick(&n, 2500);
	nbd_connected(&n);
	negotiate(&n, DISK_BYTES / 2, 1 | 4, 65536);
	CHECK_EQ(n.state, NBD_FAILED);
	CHECK(jobs[0].r.status == -ENODEV);
	CHECK_STR(n.trouble, "the export has another size than before");
	CHECK_EQ(busy, 0);
}

static void limits(void)
{
	static struct nbd n;

	(void)reading(&n);
	submit(&n, &jobs[1], BLOCK_READ, SECTORS - 1, 2);
	CHECK(jobs[1].r.status == -ERANGE);
	submit(&n, &jobs[1], BLOCK_READ, 0, 129);
	CHECK(jobs[1].r.status == -ERANGE);
	submit(&n, &jobs[1], BLOCK_READ, UINT64_MAX, 1);
	CHECK(jobs[1].r.status == -ERANGE);
	CHECK_EQ(busy, 1);
	finish_all(&n);
}

int main(void)
{
	if (!mkdtemp(directory) || chdir(directory) != 0)
		return 1;
	RUN(chunks);
	RUN(error_chunk);
	RUN(rules_broken);
	RUN(sent_again);
	RUN(another_size);
	RUN(limits);
	RUN(nbdkit_server);
	RUN(server_without_fua);
	RUN(qemu_server);
	RUN(wrong_export);
	(void)unlink("sock");
	(void)unlink("disk.img");
	(void)rmdir(directory);
	return check_result();
}
