/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world in which the freeze protocol's own object files run: nodes with imperfect clocks and
 * timers, a network that loses, repeats, delays and parts, coordinators that die. One seed is one
 * run, exactly.
 *
 * Units: ns; "true" time is the world's, which nobody in it can read.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "proto/coordinator.h"
#include "proto/participant.h"

#define MS		 UINT64_C(1000000)
#define SECOND		 UINT64_C(1000000000)
#define NEVER		 UINT64_MAX
#define START		 (1000000 * SECOND)
#define MAX_COORDINATORS 12
#define EXPERIMENT	 0x5354415349530001u
#define RECORDS		 8 /* freezes that are remembered of each node */

/* --- chance (chance.c) --- */
void chance_reset(uint64_t seed);
uint64_t chance_next(void);
uint64_t below(uint64_t n);		    /* 0 .. n - 1 */
uint64_t between(uint64_t lo, uint64_t hi); /* inclusive */
bool one_in(uint32_t n);
bool percent(uint32_t p);

/* What goes wrong in this run, drawn from the seed. */
struct scenario {
	uint32_t nodes, epochs;
	uint32_t loss, duplication; /* per cent */
	uint64_t delay, jitter;	    /* of a message */
	uint32_t late_timers;	    /* per cent */
	uint64_t late_max;
	uint64_t bound, drift_ppb; /* of the nodes' clocks: honest */
	uint32_t mischief;	   /* about how many accidents */
	bool calm;		   /* nothing goes wrong: every epoch must be clean */
	uint64_t heals;		   /* true time from which on nothing goes wrong */
	uint64_t ends;		   /* and by which all must be at rest */
};
extern struct scenario scenario;
extern uint64_t seed, now, messages;
extern bool verbose;

/* --- events (events.c) --- */
enum event_type {
	EV_DELIVER_NODE, /* message to a node */
	EV_DELIVER_COORD,
	EV_NODE_TIMER,
	EV_COORD_TIMER,
	EV_FREEZE, /* a node's physical timer */
	EV_THAW,
	EV_BOOT,
	EV_START, /* of a coordinator */
	EV_OPERATOR,
	EV_ACCIDENT,
};
struct event {
	uint64_t at, order;
	enum event_type type;
	uint32_t to, from;
	uint32_t generation; /* of a timer: older ones are void */
	uint32_t size;
	uint8_t bytes[WIRE_MESSAGE_MAX];
};
void events_reset(void);
void event_add(uint64_t at, enum event_type type, uint32_t to, uint32_t generation);
void event_message(uint64_t at, enum event_type type, uint32_t to, uint32_t from,
		   const struct wire_message *m);
bool event_take(struct event *e);

/* --- network (network.c) --- */
void network_reset(void);
void network_send(enum event_type type, uint32_t to, uint32_t from, const struct wire_message *m);
void network_part(void); /* some of the nodes, for a while */

/* --- nodes (nodes.c) --- */
/* One freeze as it really was. */
struct record {
	uint64_t epoch, at, until; /* until: as known at the thaw */
	uint64_t start, end;	   /* true; end 0: it lasts */
	uint64_t late;		   /* d */
	bool broken;		   /* reset, or its clock stepped, in it */
};
struct sim_node {
	struct participant p;
	bool up, held, by_hand;
	uint32_t boots, peer; /* coordinator that it answers to */
	/* shared time = true time + error + rate * (now - since) */
	int64_t error, rate_ppb;
	uint64_t since;
	bool planned, frozen;
	uint64_t plan_at, plan_until; /* shared */
	uint32_t freeze_generation, thaw_generation, timer_generation;
	uint64_t timer_at;
	uint32_t freezes;
	struct record records[RECORDS];
};
extern struct sim_node *nodes;
void nodes_reset(void);
void node_boot(uint32_t i);
void node_crash(uint32_t i);
void node_step_clock(uint32_t i);
void node_by_hand(uint32_t i);
void node_deliver(uint32_t i, const struct event *e);
void node_timer(uint32_t i, uint32_t generation);
void node_freeze_due(uint32_t i, uint32_t generation);
void node_thaw_due(uint32_t i, uint32_t generation);
const struct record *node_record(const struct sim_node *n, uint64_t epoch);

/* --- coordinators and who gives them orders (operator.c) --- */
void operators_reset(void);
void coordinator_start(void);
void coordinator_crash(void);
void coordinator_deliver(uint32_t i, const struct event *e);
void coordinator_timer(uint32_t i, uint32_t generation);
void operator_turn(void);
bool operator_at_rest(void);
/* T and T' as they were ordered; false: never. */
bool operator_ordered(uint64_t epoch, uint64_t *at, uint64_t *until);
extern uint64_t outcomes[OUTCOME_ABORTED + 1];

/* --- what must hold (checks.c) --- */
void checks_reset(void);
void check_outcome(const struct coordinator *c);
void check_node(uint32_t i); /* after each event */
void check_plan(uint32_t i, uint64_t epoch, uint64_t at, uint64_t until);
void check_freeze(uint32_t i, uint64_t start); /* at its start */
void check_end(void);
void violated(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* One line of the run's story; part of its fingerprint. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t trace_fingerprint(void);
