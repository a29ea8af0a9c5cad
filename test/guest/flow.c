// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Numbered streams of UDP datagrams, and what became of them (test/lib/flow.py knows the same):
 *   flow send ADDRESS PORT STREAM COUNT INTERVAL_US [SIZE]
 *   flow recv PORT SECONDS       0: until SIGINT or SIGTERM
 * The receiver prints `flow listens`, and at the end a line for each stream: `flow STREAM frames=N
 * missing=N reordered=N duplicate=N gap_min_ns=N gap_p50_ns=N gap_max_ns=N`, the gaps by the
 * kernel's stamps, the twelve longest as `flow-gap STREAM before=NUMBER ns=N`, the first twelve
 * that are missing as `flow-missing STREAM number=N`, and `flow ok` or `flow FAIL what`. Both run
 * with real-time priority if they may.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/numbered.h"
#include "lib/watch.h"

#define STREAMS	   16
#define FRAMES_MAX 65536

static struct stream {
	uint32_t number, frames, next, reordered, duplicate, n_gaps;
	int64_t last;
	bool seen[FRAMES_MAX];
	struct {
		int64_t ns;
		uint32_t number; /* of the frame after it */
	} gap[FRAMES_MAX];
} streams[STREAMS];
static unsigned n_streams;
static volatile sig_atomic_t ended;

static void end(int sig)
{
	(void)sig;
	ended = 1;
}

static int fail(const char *what)
{
	printf("flow FAIL %s: %s\n", what, strerror(errno));
	return 1;
}

/* --- send --- */

static int send_all(char **argv, size_t size)
{
	static uint8_t data[65536];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	const uint32_t stream = (uint32_t)atoi(argv[2]), count = (uint32_t)atoi(argv[3]);
	const int64_t interval = atoll(argv[4]) * 1000, start = clock_ns(CLOCK_MONOTONIC);
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (s < 0 || inet_pton(AF_INET, argv[0], &to.sin_addr) != 1)
		return fail("address");
	for (uint32_t i = 0; i < count && !ended; i++) {
		struct timespec t = ns_timespec(start + interval * i);
		struct numbered h = {htonl(NUMBERED_MAGIC), htonl(stream), htonl(i)};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		memcpy(data, &h, sizeof(h));
		if (sendto(s, data, size, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			return fail("send");
	}
	printf("flow ok\n");
	return 0;
}

/* --- receive --- */

static struct stream *stream_of(uint32_t number)
{
	for (unsigned i = 0; i < n_streams; i++)
		if (streams[i].number == number)
			return &streams[i];
	if (n_streams == STREAMS)
		return NULL;
	streams[n_streams].number = number;
	return &streams[n_streams++];
}

static void take(const struct numbered *h, int64_t at)
{
	struct stream *s = stream_of(ntohl(h->stream));
	uint32_t n = ntohl(h->number);

	if (!s || n >= FRAMES_MAX)
		return;
	if (s->seen[n])
		s->duplicate++;
	else if (n < s->next)
		s->reordered++;
	s->frames += !s->seen[n];
	s->seen[n] = true;
	if (n >= s->next)
		s->next = n + 1;
	if (s->last && s->n_gaps < FRAMES_MAX) {
		s->gap[s->n_gaps].ns = at - s->last;
		s->gap[s->n_gaps++].number = n;
	}
	s->last = at;
}

static int receive_one(int s)
{
	uint8_t data[2048], control[256];
	struct iovec v = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(s, &m, 0);
	struct numbered h;

	if (n < (ssize_t)sizeof(h))
		return n < 0 && errno != EINTR ? -1 : 0;
	memcpy(&h, data, sizeof(h));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS ||
		    ntohl(h.magic) != NUMBERED_MAGIC)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		take(&h, t.tv_sec * NS_PER_SEC + t.tv_nsec);
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	int64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static void show(struct stream *s)
{
	qsort(s->gap, s->n_gaps, sizeof(s->gap[0]), compare);
	printf("flow %u frames=%u missing=%u reordered=%u duplicate=%u gap_min_ns=%lld "
	       "gap_p50_ns=%lld gap_max_ns=%lld\n",
	       s->number, s->frames, s->next - s->frames, s->reordered, s->duplicate,
	       (long long)(s->n_gaps ? s->gap[0].ns : 0),
	       (long long)(s->n_gaps ? s->gap[s->n_gaps / 2].ns : 0),
	       (long long)(s->n_gaps ? s->gap[s->n_gaps - 1].ns : 0));
	for (unsigned i = 1; i <= 12 && i <= s->n_gaps; i++)
		printf("flow-gap %u before=%u ns=%lld\n", s->number, s->gap[s->n_gaps - i].number,
		       (long long)s->gap[s->n_gaps - i].ns);
	for (uint32_t i = 0, told = 0; i < s->next && told < 12; i++)
		if (!s->seen[i]) {
			printf("flow-missing %u number=%u\n", s->number, i);
			told++;
		}
}

static int receive_all(const char *port, int64_t seconds)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	const int64_t until =
		seconds ? clock_ns(CLOCK_MONOTONIC) + seconds * NS_PER_SEC : INT64_MAX;
	int s = socket(AF_INET, SOCK_DGRAM, 0), on = 1, room = 8 << 20;

	setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(s, (struct sockaddr *)&here, sizeof(here)) != 0)
		return fail("bind");
	printf("flow listens\n");
	while (!ended && clock_ns(CLOCK_MONOTONIC) < until) {
		struct pollfd p = {.fd = s, .events = POLLIN};

		if (poll(&p, 1, 100) > 0 && receive_one(s) != 0)
			return fail("receive");
	}
	for (unsigned i = 0; i < n_streams; i++)
		show(&streams[i]);
	printf("flow ok\n");
	return 0;
}

int main(int argc, char **argv)
{
	const struct sched_param first = {.sched_priority = 50};

	(void)sched_setscheduler(0, SCHED_FIFO, &first); /* gaps are the wire's, not others' work */
	signal(SIGINT, end);
	signal(SIGTERM, end);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc >= 7 && argc <= 8 && !strcmp(argv[1], "send")) {
		size_t size = argc == 8 ? (size_t)atoi(argv[7]) : 64;

		if (size >= sizeof(struct numbered) && size <= 65000)
			return send_all(argv + 2, size);
	} else if (argc == 4 && !strcmp(argv[1], "recv")) {
		return receive_all(argv[2], atoll(argv[3]));
	}
	fprintf(stderr, "usage: flow send ADDRESS PORT STREAM COUNT INTERVAL_US [SIZE]\n"
			"       flow recv PORT SECONDS\n");
	return 2;
}
