// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A paced stream of numbered, time-stamped datagrams over IPv4/UDP, and its judge:
 *   stream send ADDRESS PORT RATE SECONDS     RATE datagrams a second; PORT is the stream's number
 *   stream receive PORT FILE [each]           until SIGINT or SIGTERM
 * The receiver takes the kernel's time stamp of each arrival (CLOCK_REALTIME) and writes a line to
 * FILE for each second of the sender's: `second first_number received min_ns max_ns gap_ns`, where
 * min and max are of (arrival here - departure there), which contains how far apart the two clocks
 * are, and gap is the largest pause between arrivals; with `each` a line for each datagram instead:
 * `number arrival-departure_ns`. At the end it prints
 * `stream received=N lost=N twice=N disordered=N drops=N` (drops: those of the socket's buffer),
 * and the first FEW that are missing before the last one as `stream-missing number=N`; the first
 * FEW that come twice as `stream-twice number=N last=N`, with the highest number so far. The sender
 * prints `stream sent=N failed=N late_max_ns=N`: how late it was woken at worst.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/numbered.h"
#include "lib/watch.h"

#define NUMBERS_MAX (1 << 22)
#define BUFFER	    (4 << 20) /* of the socket: bytes */
#define FEW	    16

/* Big-endian. */
struct datagram {
	struct numbered is;
	uint32_t zero;
	uint64_t departure;
	uint8_t padding[176];
};

static int die(const char *what)
{
	(void)fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));
	return 1;
}

static int send_all(const char *address, int port, long rate, long seconds)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct datagram d = {.is = {htonl(NUMBERED_MAGIC), htonl((uint32_t)port), 0}};
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || rate <= 0) {
		(void)fprintf(stderr, "stream: not an address or a rate\n");
		return 2;
	}
	if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof(to)) != 0)
		return die(address);

	int64_t start = clock_ns(CLOCK_MONOTONIC), late_max = 0;
	long total = rate * seconds, failed = 0;

	be_urgent(1);
	for (long i = 0; i < total; i++) {
		int64_t due = start + i * NS_PER_SEC / rate, late;
		struct timespec t = ns_timespec(due);

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		late = clock_ns(CLOCK_MONOTONIC) - due;
		if (late > late_max)
			late_max = late;
		d.is.number = htonl((uint32_t)i);
		d.departure = htobe64((uint64_t)clock_ns(CLOCK_REALTIME));
		if (send(s, &d, sizeof(d), 0) != sizeof(d))
			failed++;
	}
	printf("stream sent=%ld failed=%ld late_max_ns=%lld\n", total, failed, (long long)late_max);
	return failed ? 1 : 0;
}

/* --- the receiver --- */
struct second {
	int64_t number; /* the sender's clock; 0: none yet */
	uint64_t first, received;
	int64_t min, max, gap;
};

struct receiver {
	int socket;
	FILE *out;
	bool each;
	struct second second;
	uint8_t *seen; /* a bit each */
	uint64_t received, twice, disordered, highest;
	int64_t last; /* arrival */
	uint32_t drops;
};

static void put_second(struct receiver *r)
{
	const struct second *s = &r->second;

	if (s->received && !r->each)
		fprintf(r->out, "%lld %llu %llu %lld %lld %lld\n", (long long)s->number,
			(unsigned long long)s->first, (unsigned long long)s->received,
			(long long)s->min, (long long)s->max, (long long)s->gap);
}

static void take(struct receiver *r, const struct datagram *d, int64_t arrival)
{
	int64_t departure = (int64_t)be64toh(d->departure), way = arrival - departure;
	int64_t number = departure / NS_PER_SEC;
	uint32_t n = ntohl(d->is.number);
	struct second *s = &r->second;

	if (ntohl(d->is.magic) != NUMBERED_MAGIC || n >= NUMBERS_MAX)
		return;
	if (r->seen[n / 8] & 1 << n % 8) {
		if (++r->twice <= FEW)
			printf("stream-twice number=%u last=%llu\n", n,
			       (unsigned long long)r->highest);
		return;
	}
	r->seen[n / 8] |= (uint8_t)(1 << n % 8);
	if (r->received && n < r->highest)
		r->disordered++;
	else
		r->highest = n;
	if (r->each)
		fprintf(r->out, "%u %lld\n", n, (long long)way);
	if (number != s->number) {
		put_second(r);
		*s = (struct second){.number = number, .first = n, .min = way, .max = way};
	}
	if (way < s->min)
		s->min = way;
	if (way > s->max)
		s->max = way;
	if (r->received && arrival - r->last > s->gap)
		s->gap = arrival - r->last;
	s->received++;
	r->received++;
	r->last = arrival;
}

static void receive_one(struct receiver *r)
{
	char control[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t))];
	struct datagram d;
	struct iovec v = {&d, sizeof(d)};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	int64_t arrival = 0;

	if (recvmsg(r->socket, &m, 0) != sizeof(d))
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&t, CMSG_DATA(c), sizeof(t));
			arrival = t.tv_sec * NS_PER_SEC + t.tv_nsec;
		} else if (c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&r->drops, CMSG_DATA(c), sizeof(r->drops));
		}
	}
	if (arrival)
		take(r, &d, arrival);
}

static void *receive_all(void *arg)
{
	struct receiver *r = arg;

	be_urgent(1);
	while (!watch_over)
		receive_one(r);
	return NULL;
}

static void put_missing(const struct receiver *r)
{
	unsigned told = 0;

	for (uint64_t n = 0; r->received && n < r->highest && told < FEW; n++)
		if (!(r->seen[n / 8] & 1 << n % 8)) {
			printf("stream-missing number=%llu\n", (unsigned long long)n);
			told++;
		}
}

static int receive(int port, const char *file, bool each)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval patience = {.tv_usec = 100000};
	struct receiver r = {.out = fopen(file, "w"),
			     .each = each,
			     .seen = calloc(NUMBERS_MAX / 8, 1),
			     .socket = socket(AF_INET, SOCK_DGRAM, 0)};
	int s = r.socket, on = 1, buffer = BUFFER;
	pthread_t thread;

	if (!r.out || !r.seen)
		return die(file);
	watch_begin("stream");
	if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0 ||
	    setsockopt(s, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)) != 0 ||
	    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) != 0 ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
		return die("socket");
	if ((errno = pthread_create(&thread, NULL, receive_all, &r)) != 0)
		return die("thread");
	watch_wait(0);
	pthread_join(thread, NULL);
	put_second(&r);
	if (fclose(r.out) != 0)
		return die(file);
	printf("stream received=%llu lost=%llu twice=%llu disordered=%llu drops=%u\n",
	       (unsigned long long)r.received,
	       (unsigned long long)(r.received ? r.highest + 1 - r.received : 0),
	       (unsigned long long)r.twice, (unsigned long long)r.disordered, r.drops);
	put_missing(&r);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "send") == 0)
		return send_all(argv[2], atoi(argv[3]), atol(argv[4]), atol(argv[5]));
	if (argc == 4 && strcmp(argv[1], "receive") == 0)
		return receive(atoi(argv[2]), argv[3], false);
	if (argc == 5 && strcmp(argv[1], "receive") == 0 && strcmp(argv[4], "each") == 0)
		return receive(atoi(argv[2]), argv[3], true);
	(void)fprintf(stderr, "usage: stream send ADDRESS PORT RATE SECONDS | stream receive PORT "
			      "FILE [each]\n");
	return 2;
}
