/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs share that watch clocks and time-outs: measuring, reporting, ending.
 *
 * All times are ns. A program watches from watch_begin to the end of watch_wait, prints one line
 * per gauge, and ends with watch_verdict's status: 1 if a clock went back or a time-out fired
 * early.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_US  1000ll
#define NS_PER_MS  1000000ll
#define NS_PER_SEC 1000000000ll

/* --- a clock that is read again and again --- */
struct steps {
	uint64_t n;
	int64_t last, step, back; /* the largest step between readings, and the largest one back */
	uint64_t step_tsc;	  /* at the reading after the former */
	bool fresh;		  /* the next reading makes no step: time was let pass meanwhile */
};

void steps_pause(struct steps *s);
void steps_read(struct steps *s, int64_t now);
void steps_merge(struct steps *into, const struct steps *from);
void steps_print(const char *name, const struct steps *s);

/* --- time-outs against the clock that they were asked for by --- */
#define LATE_BUCKETS 512 /* eight to each power of two */

struct timeout {
	uint64_t tsc; /* when it was noticed */
	int64_t late;
};

struct timeouts {
	uint64_t n;
	int64_t early, late;
	uint64_t late_tsc; /* when the latest one was noticed */
	uint64_t buckets[LATE_BUCKETS];
	struct timeout *each; /* the first `room` of them */
	uint64_t room;	      /* 0: they are not kept */
};

void timeouts_add(struct timeouts *t, int64_t deadline, int64_t now);
void timeouts_merge(struct timeouts *into, const struct timeouts *from);
void timeouts_print(const char *name, const struct timeouts *t);

/* --- interrupts that come at regular intervals, whatever their phase --- */
struct beats {
	uint64_t n, missed; /* missed: the kernel reported more than one at once */
	int64_t late;	    /* largest lateness, against the most punctual one of its session */
	uint64_t late_tsc;  /* when that was noticed */
	int64_t period, origin, least, most;
	uint64_t seen; /* in this session */
};

void beats_begin(struct beats *b, int64_t period);
void beats_add(struct beats *b, uint64_t count, int64_t now);
void beats_print(const char *name, const struct beats *b);

/* --- a clock against CLOCK_MONOTONIC_RAW --- */
struct drift {
	uint64_t n;
	int64_t first_at, last_at;     /* MONOTONIC_RAW of the first and the last comparison */
	int64_t first, last, min, max; /* the clock minus MONOTONIC_RAW */
	int64_t jump;		       /* the largest change from one comparison to the next */
};

void drift_add(struct drift *d, int64_t raw, int64_t clock);
void drift_print(const char *name, const struct drift *d);

/* One line instead of a gauge's: this machine does not have it. */
void watch_absent(const char *name, const char *why);

/* --- the run --- */
extern const char *watch_program; /* the first word of each line */
extern atomic_bool watch_over;

/* Before any thread: SIGINT and SIGTERM will end the run. */
void watch_begin(const char *program);
/* Until one of them comes, or for so many seconds if not 0; sets watch_over. */
void watch_wait(long seconds);
/* Prints `PROGRAM ok` or `PROGRAM FAIL what`; the program's exit status. */
int watch_verdict(void);
/* The calling thread waits for this signal of the process, which all block (sigtimedwait). The C
 * library's own threads for timers (SIGEV_THREAD) don't: where one of them gets it, it goes on to
 * the taker instead of ending the program. */
void watch_take(int signal);
/* Something is wrong that is not measured; keeps the first. */
void watch_fail(const char *what);

/* --- odds and ends --- */
int64_t clock_ns(clockid_t clock);
struct timespec ns_timespec(int64_t ns);
uint64_t tsc_now(void); /* not before what precedes it */
uint64_t random_below(uint64_t *seed, uint64_t limit);
void be_urgent(int priority); /* SCHED_FIFO, so that the load does not hold it up */
void be_on_cpu(int cpu);
