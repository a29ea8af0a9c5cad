// SPDX-License-Identifier: GPL-2.0-or-later
/* Runs seeds; see sim.h. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "test/sim/sim.h"

struct scenario scenario;
uint64_t seed, now, messages;
bool verbose;

static void draw_scenario(uint32_t fixed_nodes)
{
	static const uint64_t bounds[] = {100, 1000, 20000, 1000000};
	struct scenario *s = &scenario;

	*s = (struct scenario){
		.calm = one_in(6),
		.epochs = (uint32_t)between(2, 5),
		.delay = between(10000, 5 * MS),
		.jitter = between(1000, 5 * MS),
		.bound = bounds[below(4)],
		.drift_ppb = between(1, 5000),
		.nodes = (uint32_t)(one_in(20) ? between(20, 60) : between(1, 8)),
	};
	if (fixed_nodes)
		s->nodes = fixed_nodes;
	s->heals = START + between(3, 12) * SECOND;
	s->ends = s->heals + 45 * SECOND;
	if (s->calm)
		return;
	s->loss = one_in(2) ? (uint32_t)below(40) : 0;
	s->duplication = one_in(2) ? (uint32_t)below(30) : 0;
	s->late_timers = one_in(2) ? (uint32_t)below(20) : 0;
	s->late_max = one_in(2) ? 100 * MS : MS;
	s->mischief = (uint32_t)below(12);
}

static void accident(void)
{
	uint32_t i = (uint32_t)below(scenario.nodes);

	switch (below(8)) {
	case 0:
	case 1:
		network_part();
		break;
	case 2:
	case 3:
		node_crash(i);
		break;
	case 4:
		coordinator_crash();
		break;
	case 5:
		coordinator_start(); /* while the other lives */
		break;
	case 6:
		node_step_clock(i);
		break;
	default:
		node_by_hand(i);
	}
}

static void heal(void)
{
	trace("nothing goes wrong any more");
	for (uint32_t i = 0; i < scenario.nodes; i++)
		if (nodes[i].by_hand)
			node_by_hand(i);
}

static void happen(const struct event *e)
{
	switch (e->type) {
	case EV_DELIVER_NODE:
		node_deliver(e->to, e);
		break;
	case EV_DELIVER_COORD:
		coordinator_deliver(e->to, e);
		break;
	case EV_NODE_TIMER:
		node_timer(e->to, e->generation);
		break;
	case EV_COORD_TIMER:
		coordinator_timer(e->to, e->generation);
		break;
	case EV_FREEZE:
		node_freeze_due(e->to, e->generation);
		break;
	case EV_THAW:
		node_thaw_due(e->to, e->generation);
		break;
	case EV_BOOT:
		node_boot(e->to);
		break;
	case EV_START:
		coordinator_start();
		break;
	case EV_OPERATOR:
		operator_turn();
		break;
	case EV_ACCIDENT:
		if (e->to)
			heal();
		else
			accident();
	}
}

static void run(uint32_t fixed_nodes)
{
	struct event e;

	now = START;
	chance_reset(seed);
	draw_scenario(fixed_nodes);
	events_reset();
	network_reset();
	checks_reset();
	operators_reset();
	nodes_reset();
	event_add(now, EV_START, 0, 0);
	event_add(now + 10 * MS, EV_OPERATOR, 0, 0);
	for (uint32_t i = 0; i < scenario.mischief; i++)
		event_add(now + below(scenario.heals - now), EV_ACCIDENT, 0, 0);
	event_add(scenario.heals, EV_ACCIDENT, 1, 0);
	while (event_take(&e) && e.at <= scenario.ends) {
		now = e.at;
		happen(&e);
	}
	check_end();
}

static void usage(FILE *to)
{
	(void)fprintf(to,
		      "usage: sim [--seed N | --seeds A-B] [--nodes N] [--trace]\n"
		      "Runs the freeze protocol in a world drawn from each seed. Exit status 1 if "
		      "something\nthat must hold did not; the last line says what was seen.\n");
}

static bool number(const char *text, char **end, uint64_t *value)
{
	*value = strtoull(text, end, 10);
	return *end != text && *text != '-';
}

static void parse(int argc, char **argv, uint64_t *first, uint64_t *last, uint64_t *node_count)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},	 {"seeds", required_argument, NULL, 'r'},
		{"nodes", required_argument, NULL, 'n'}, {"trace", no_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},	 {0},
	};
	bool ok = true;
	char *end = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			ok = number(optarg, &end, first) && !*end;
			*last = *first;
			break;
		case 'r':
			ok = number(optarg, &end, first) && *end == '-' &&
			     number(end + 1, &end, last) && !*end && *last >= *first;
			break;
		case 'n':
			ok = number(optarg, &end, node_count) && !*end && *node_count &&
			     *node_count <= 100000;
			break;
		case 't':
			verbose = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			ok = false;
		}
		if (!ok)
			break;
	}
	if (!ok || optind != argc) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	uint64_t first = 1, last = 1, node_count = 0, fingerprint = 0;

	parse(argc, argv, &first, &last, &node_count);
	for (seed = first; seed <= last; seed++) {
		run((uint32_t)node_count);
		fingerprint = fingerprint * 31 + trace_fingerprint();
	}
	printf("ok seeds %" PRIu64 "-%" PRIu64 ": %" PRIu64 " messages; epochs %" PRIu64
	       " clean, %" PRIu64 " late, %" PRIu64 " partial, %" PRIu64
	       " called off; fingerprint %016" PRIx64 "\n",
	       first, last, messages, outcomes[OUTCOME_CLEAN], outcomes[OUTCOME_LATE],
	       outcomes[OUTCOME_PARTIAL], outcomes[OUTCOME_ABORTED], fingerprint);
	return 0;
}
