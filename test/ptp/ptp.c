// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net/ptp_clock.c on this host's network: sockets on ports 319 and 320, software time stamps. Its
 * local clock is the host's, made wrong on purpose: CLOCK_REALTIME is then the truth, since a
 * master on the same host gives that time.
 *
 * Prints a JSON line a second: what the clock believes, and by how much it is really off.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "net/ptp_clock.h"

#define SECOND UINT64_C(1000000000)

static struct ptp_clock ptp;
static struct shared_clock wrong; /* truth to local */
static int event_fd, general_fd;
static uint64_t begun, print_at;
static unsigned steps;

static void die(const char *what)
{
	(void)fprintf(stderr, "ptp: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t truth(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t local(uint64_t true_ns)
{
	return shared_at(&wrong, true_ns);
}

/* --- sockets --- */

static int open_socket(const char *interface, uint16_t port, bool stamps)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct ip_mreqn group = {.imr_multiaddr.s_addr = htonl(PTP_GROUP)};
	int one = 1, zero = 0, fd = socket(AF_INET, SOCK_DGRAM, 0);
	int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE |
		    SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY |
		    SOF_TIMESTAMPING_OPT_ID;

	group.imr_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || !group.imr_ifindex)
		die(interface);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) != 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)) != 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &zero, sizeof(zero)) != 0)
		die("socket");
	if (stamps && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)) != 0)
		die("SO_TIMESTAMPING");
	return fd;
}

/* One message and its stamp; its size, or -1: none. */
static ssize_t receive(int fd, int flags, uint8_t *buf, size_t size, uint64_t *stamp)
{
	char control[512] __attribute__((aligned(8)));
	struct iovec v = {buf, size};
	struct msghdr h = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 512};
	ssize_t n = recvmsg(fd, &h, flags | MSG_DONTWAIT);

	*stamp = PTP_NO_STAMP;
	if (n < 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		struct scm_timestamping t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		if (t.ts[0].tv_sec)
			*stamp = local((uint64_t)t.ts[0].tv_sec * SECOND +
				       (uint64_t)t.ts[0].tv_nsec);
	}
	return n;
}

static void send_message(const struct ptp_action *a)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(a->event ? PTP_PORT_EVENT : PTP_PORT_GENERAL),
		.sin_addr.s_addr = htonl(PTP_GROUP),
	};
	int fd = a->event ? event_fd : general_fd;
	uint64_t stamp;
	uint8_t none[1];

	if (sendto(fd, a->bytes, a->size, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return;
	/* a veth's stamp is there when sendto returns */
	if (a->cookie && receive(fd, MSG_ERRQUEUE, none, sizeof(none), &stamp) >= 0)
		ptp_sent(&ptp, a->cookie, stamp);
}

static void read_all(int fd)
{
	uint8_t buf[1500];
	uint64_t stamp;
	ssize_t n;

	while ((n = receive(fd, 0, buf, sizeof(buf), &stamp)) >= 0)
		ptp_receive(&ptp, buf, (size_t)n, stamp, local(truth()));
}

/* --- the loop --- */

static void report(void)
{
	static const char *const names[] = {"listening", "master", "passive", "slave"};
	uint64_t t = truth(), l = local(t), bound = ptp_bound(&ptp, l);

	printf("{\"t\":%.3f,\"state\":\"%s\",\"locked\":%s,\"offset_ns\":%" PRId64
	       ",\"delay_ns\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"steps\":%u,\"bound_ns\":",
	       (double)(t - begun) / 1e9, names[ptp.state], ptp_locked(&ptp) ? "true" : "false",
	       ptp.servo.offset, ptp.servo.delay, ptp.servo.rejected, steps);
	if (bound == SERVO_NO_BOUND)
		printf("null");
	else
		printf("%" PRIu64, bound);
	printf(",\"error_ns\":%" PRId64 "}\n", (int64_t)(shared_at(&ptp.shared, l) - t));
	(void)fflush(stdout);
}

static void settle(void)
{
	struct ptp_action a;

	while (ptp_next(&ptp, local(truth()), &a)) {
		if (a.type == PTP_SEND)
			send_message(&a);
		else if (a.type == PTP_STEPPED)
			steps++;
	}
}

static void wait_for_something(void)
{
	struct pollfd fds[] = {{.fd = event_fd, .events = POLLIN},
			       {.fd = general_fd, .events = POLLIN}};
	uint64_t l = local(truth()), deadline = ptp_deadline(&ptp), wait = print_at - l;
	struct timespec t;

	if (deadline < print_at)
		wait = deadline > l ? deadline - l : 0;
	if (print_at < l)
		wait = 0;
	t.tv_sec = (time_t)(wait / SECOND);
	t.tv_nsec = (long)(wait % SECOND);
	(void)ppoll(fds, 2, &t, NULL);
	read_all(event_fd);
	read_all(general_fd);
}

static void identify(const char *interface, struct ptp_config *config)
{
	struct ifreq r = {0};

	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	if (ioctl(event_fd, SIOCGIFHWADDR, &r) != 0)
		die("MAC");
	memcpy(config->identity, r.ifr_hwaddr.sa_data, 3);
	config->identity[3] = 0xff;
	config->identity[4] = 0xfe;
	memcpy(config->identity + 5, r.ifr_hwaddr.sa_data + 3, 3);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"priority", required_argument, NULL, 'p'}, {"ppb", required_argument, NULL, 'r'},
		{"offset", required_argument, NULL, 'o'},   {"true-time", no_argument, NULL, 't'},
		{"slave-only", no_argument, NULL, 's'},	    {0}};
	struct ptp_config config = {PTP_DEFAULTS};
	int64_t ppb = 0, offset = 0;
	bool true_time = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			config.priority1 = (uint8_t)atoi(optarg);
			break;
		case 'r':
			ppb = atoll(optarg);
			break;
		case 'o':
			offset = atoll(optarg);
			break;
		case 't':
			true_time = true;
			break;
		case 's':
			config.slave_only = true;
			break;
		default:
			return 2;
		}
	}
	if (optind != argc - 1) {
		(void)fprintf(stderr, "usage: ptp [--priority N] [--ppb RATE] [--offset NS] "
				      "[--true-time] [--slave-only] INTERFACE\n");
		return 2;
	}
	event_fd = open_socket(argv[optind], PTP_PORT_EVENT, true);
	general_fd = open_socket(argv[optind], PTP_PORT_GENERAL, false);
	identify(argv[optind], &config);
	begun = truth();
	wrong = (struct shared_clock){.local = begun, .shared = SECOND, .rate = RATE_OF(ppb)};
	ptp_init(&ptp, &config, local(begun), begun + (uint64_t)offset);
	if (true_time) /* as a master: give out the truth whatever the local clock's rate */
		ptp.shared.rate = RATE_OF(-ppb);
	print_at = local(begun) + SECOND;
	for (;;) {
		settle();
		if (local(truth()) >= print_at) {
			report();
			print_at += SECOND;
		}
		wait_for_something();
	}
}
