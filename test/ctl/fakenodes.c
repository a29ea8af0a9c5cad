// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * usage: fakenodes NODES EXPERIMENT KEY
 * Prints `node INDEX PORT` for each and `ready`; then takes lines from stdin and answers each with
 * a line: kill I        nothing answers any more         reset I      another boot; it has
 * forgotten all hangup I      its connections break            hostile I MODE (answer.c; "-": not)
 *   late I NS     its freezes come late            offset I NS  its shared time is wrong
 *   bound I NS    what it says of its clock's error; never
 *   busy I 0|1    frozen by hand                   step I       its clock was stepped
 *   say I TEXT    a line of its log                state I      prints its state and its freezes
 *   frozen        prints how many are frozen
 */
#include "test/ctl/fakenodes.h"
#include <inttypes.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define BOUND	      1000
#define MARGIN	      (20 * NSEC_PER_MSEC)
#define KEY_BYTES     32

mbedtls_ssl_config tls;
uv_loop_t loop;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static struct node *nodes;
static uint32_t count;
static uint64_t last_boot = 1000;

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

struct moment node_now(const struct node *n)
{
	return (struct moment){.mono = clock_ns(CLOCK_MONOTONIC),
			       .shared = clock_ns(CLOCK_REALTIME) + (uint64_t)n->offset,
			       .bound = n->bound,
			       .drift_ppb = 1};
}

/* --- the platform under the participant --- */

static void act(struct node *n, const struct participant_action *a)
{
	struct connection *to = a->reply ? n->asker : n->commander;
	uint8_t bytes[WIRE_MESSAGE_MAX];

	switch (a->type) {
	case PARTICIPANT_FREEZE:
		n->freeze_at = a->at;
		n->until = a->until;
		break;
	case PARTICIPANT_CANCEL:
		n->freeze_at = WIRE_NEVER;
		break;
	case PARTICIPANT_THAW:
		n->thaw_at = a->until + n->p.report.late;
		break;
	case PARTICIPANT_SEND:
		if (to)
			serve_send(to, CTL_FREEZE, 0, bytes, wire_encode(&a->message, bytes));
		break;
	default:
		break;
	}
}

static bool happen(struct node *n, const struct moment *now)
{
	if (n->freeze_at != WIRE_NEVER && now->shared >= n->freeze_at + n->late) {
		/* the simulated machine is as exact as it is told to be */
		n->frozen_at = n->freeze_at + n->late;
		n->thaw_at = n->until == WIRE_NEVER ? WIRE_NEVER : n->until + n->late;
		n->freeze_at = WIRE_NEVER;
		n->freezes++;
		participant_frozen(&n->p, n->late, now);
		return true;
	}
	if (n->thaw_at != WIRE_NEVER && now->shared >= n->thaw_at) {
		participant_thawed(&n->p, n->thaw_at - n->frozen_at, 0, now);
		n->thaw_at = WIRE_NEVER;
		return true;
	}
	return false;
}

static void on_timer(uv_timer_t *t)
{
	node_pump(t->data);
}

void node_pump(struct node *n)
{
	struct moment now;
	struct participant_action a;
	uint64_t at, shared;

	do {
		now = node_now(n);
		while (participant_next(&n->p, &now, &a))
			act(n, &a);
	} while (happen(n, &now));
	at = participant_deadline(&n->p, &now);
	shared = n->freeze_at == WIRE_NEVER ? WIRE_NEVER : n->freeze_at + n->late;
	if (n->thaw_at < shared)
		shared = n->thaw_at;
	if (shared != WIRE_NEVER && now.mono + (shared - now.shared) < at)
		at = now.mono + (shared - now.shared);
	if (at == WIRE_NEVER)
		(void)uv_timer_stop(&n->timer);
	else
		(void)uv_timer_start(&n->timer, on_timer,
				     at > now.mono ? (at - now.mono) / NSEC_PER_MSEC + 1 : 1, 0);
}

static void start(struct node *n)
{
	const struct participant_config config = {
		.experiment = n->experiment,
		.boot = ++last_boot,
		.node = n->index,
		.margin = MARGIN,
	};

	participant_init(&n->p, &config);
	n->freeze_at = n->thaw_at = n->until = WIRE_NEVER;
}

/* --- orders --- */

static void say_to_log(struct node *n, const char *text)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "%s\n", text);
	for (int i = 0; i < CONNECTIONS; i++)
		if (n->connections[i] && n->connections[i]->log_channel)
			serve_send(n->connections[i], CTL_LOG, n->connections[i]->log_channel, line,
				   strlen(line));
}

static void reset(struct node *n)
{
	serve_hang_up(n);
	start(n);
}

static uint32_t count_frozen(void)
{
	uint32_t frozen = 0;

	for (uint32_t i = 0; i < count; i++)
		frozen += nodes[i].p.report.state == STATE_FROZEN;
	return frozen;
}

static void order(const char *what, struct node *n, const char *value)
{
	struct moment now = node_now(n);

	if (strcmp(what, "kill") == 0)
		serve_stop(n);
	else if (strcmp(what, "reset") == 0)
		reset(n);
	else if (strcmp(what, "hangup") == 0)
		serve_hang_up(n);
	else if (strcmp(what, "hostile") == 0)
		(void)snprintf(n->hostile, sizeof(n->hostile), "%.15s", *value == '-' ? "" : value);
	else if (strcmp(what, "late") == 0)
		n->late = strtoull(value, NULL, 10);
	else if (strcmp(what, "offset") == 0)
		n->offset = strtoll(value, NULL, 10);
	else if (strcmp(what, "bound") == 0)
		n->bound = *value == 'n' ? WIRE_NEVER : strtoull(value, NULL, 10);
	else if (strcmp(what, "busy") == 0)
		participant_busy(&n->p, *value == '1', &now);
	else if (strcmp(what, "step") == 0)
		participant_stepped(&n->p, &now);
	else if (strcmp(what, "say") == 0)
		say_to_log(n, value);
	else if (strcmp(what, "state") == 0) {
		(void)printf("%d %u\n", n->p.report.state, n->freezes);
		return;
	} else {
		(void)printf("unknown: %s\n", what);
		return;
	}
	node_pump(n);
	(void)puts("ok");
}

static void on_line(char *line)
{
	char what[16] = "", value[128] = "";
	unsigned index = 0;

	if (strcmp(line, "frozen") == 0)
		(void)printf("%u\n", count_frozen());
	else if (sscanf(line, "%15s %u %127[^\n]", what, &index, value) >= 2 && index < count)
		order(what, &nodes[index], value);
	else
		(void)printf("bad: %s\n", line);
	(void)fflush(stdout);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	static char buf[4096];
	static size_t used;
	ssize_t n = read(STDIN_FILENO, buf + used, sizeof(buf) - 1 - used);
	char *line = buf, *newline;

	(void)poll;
	(void)status;
	(void)events;
	if (n <= 0)
		exit(0);
	used += (size_t)n;
	buf[used] = 0;
	while ((newline = strchr(line, '\n'))) {
		*newline = 0;
		on_line(line);
		line = newline + 1;
	}
	used = strlen(line);
	memmove(buf, line, used + 1);
}

/* --- beginning --- */

static void init_tls(const char *hex)
{
	static const int suites[] = {MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256,
				     MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256, 0};
	static const unsigned char identity[] = "any";
	uint8_t key[KEY_BYTES];
	char pair[3] = {0};

	for (int i = 0; i < KEY_BYTES; i++) {
		memcpy(pair, hex + 2 * (size_t)i, 2);
		key[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	mbedtls_ssl_config_init(&tls);
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&drbg);
	if (mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
	    mbedtls_ssl_config_defaults(&tls, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
	    mbedtls_ssl_conf_psk(&tls, key, KEY_BYTES, identity, sizeof(identity) - 1) != 0)
		exit(2);
	mbedtls_ssl_conf_rng(&tls, mbedtls_ctr_drbg_random, &drbg);
	mbedtls_ssl_conf_ciphersuites(&tls, suites);
}

/* Any identity will do, as with a node: the key is what counts. */
static int any_identity(void *key, mbedtls_ssl_context *ssl, const unsigned char *id, size_t n)
{
	(void)id;
	(void)n;
	return mbedtls_ssl_set_hs_psk(ssl, key, KEY_BYTES);
}

int main(int argc, char **argv)
{
	static uv_poll_t input;
	static uint8_t key[KEY_BYTES];
	struct rlimit limit;

	if (argc != 4 || strlen(argv[3]) != 2 * (size_t)KEY_BYTES) {
		(void)fputs("usage: fakenodes NODES EXPERIMENT KEY\n", stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	init_tls(argv[3]);
	memcpy(key, tls.psk, sizeof(key));
	mbedtls_ssl_conf_psk_cb(&tls, any_identity, key);
	(void)uv_loop_init(&loop);
	count = (uint32_t)strtoul(argv[1], NULL, 10);
	nodes = calloc(count, sizeof(*nodes));
	for (uint32_t i = 0; i < count; i++) {
		struct node *n = &nodes[i];

		n->index = i;
		n->experiment = strtoull(argv[2], NULL, 10);
		n->bound = BOUND;
		(void)uv_timer_init(&loop, &n->timer);
		n->timer.data = n;
		start(n);
		serve_start(n);
		(void)printf("node %u %u\n", i, n->port);
	}
	(void)puts("ready");
	(void)fflush(stdout);
	(void)uv_poll_init(&loop, &input, STDIN_FILENO);
	(void)uv_poll_start(&input, UV_READABLE, on_input);
	return uv_run(&loop, UV_RUN_DEFAULT);
}
