// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Watches time-outs of every kind that the kernel offers, all at once:
 *   timeouts [SECONDS [FILE [MS]]]   default: until SIGINT or SIGTERM
 * Each kind has a thread that asks for one random time-out after another and compares when it
 * came with the clock that it was asked for by. One line per kind,
 * and one, "precise", for all together that neither count in ticks nor wait for another thread:
 *   timeouts NAME n=TIMEOUTS early_ns=LARGEST late_ns=LARGEST late_tsc=WHEN p50_ns=LATE p99_ns=LATE
 * MS: so early may be what counts in jiffies; the CPU that keeps these is not always run.
 * FILE: gets a line for each of those that count as precise, of a kind in order: "TSC LATE_NS".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "lib/watch.h"

#define PRIORITY 20
/* Mostly short, now and then long. */
#define SHORT_NS (40 * NS_PER_MS)
#define LONG_NS	 (400 * NS_PER_MS)
#define LONG_ONE 20 /* in so many */
#define LEAST_NS NS_PER_MS
#define WARM_UP	 2    /* time-outs that do not count: pages and caches are cold */
#define KEPT	 8192 /* of a kind, for FILE */
#define EXPIRIES 10   /* of an interval timer before it gets another interval */

struct kind {
	const char *name;
	clockid_t clock;
	/* Waits for `t` ns of the clock, or (abs) until it shows `t`. Interval timers measure
	 * themselves. */
	void (*wait)(struct kind *k, int64_t t);
	bool abs, interval, coarse; /* coarse: late by more than its timer's lateness */
	int64_t unit;		    /* time-outs are multiples of this */
	long operation;		    /* what else the wait needs */
	int fd;
	uint32_t word; /* nobody wakes it */
	timer_t timer;
	uint64_t seed;
	pthread_t thread;
	struct timeouts result;
};

/* --- sleeping --- */

static void wait_nanosleep(struct kind *k, int64_t t)
{
	struct timespec ts = ns_timespec(t);

	(void)k;
	nanosleep(&ts, NULL);
}

static void wait_clock_nanosleep(struct kind *k, int64_t t)
{
	struct timespec ts = ns_timespec(t);

	clock_nanosleep(k->clock, k->abs ? TIMER_ABSTIME : 0, &ts, NULL);
}

static void wait_usleep(struct kind *k, int64_t t)
{
	(void)k;
	usleep((useconds_t)(t / NS_PER_US));
}

/* --- futexes, and what the C library builds of them --- */

static void wait_futex(struct kind *k, int64_t t)
{
	struct timespec ts = ns_timespec(t);

	syscall(SYS_futex, &k->word, k->operation | FUTEX_PRIVATE_FLAG, 0, &ts, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

static void wait_cond(struct kind *k, int64_t t)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct timespec ts = ns_timespec(t);
	pthread_condattr_t attr;
	pthread_cond_t cond;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, k->clock);
	pthread_cond_init(&cond, &attr);
	pthread_mutex_lock(&mutex);
	while (pthread_cond_timedwait(&cond, &mutex, &ts) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&mutex);
	pthread_cond_destroy(&cond);
}

static void wait_mutex(struct kind *k, int64_t t)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct timespec ts = ns_timespec(t);

	(void)k;
	pthread_mutex_trylock(&mutex); /* from the second time on it is taken */
	pthread_mutex_timedlock(&mutex, &ts);
}

static void wait_semaphore(struct kind *k, int64_t t)
{
	struct timespec ts = ns_timespec(t);
	sem_t sem;

	(void)k;
	sem_init(&sem, 0, 0);
	sem_timedwait(&sem, &ts);
}

/* --- waiting for files, where nothing ever comes --- */

static int quiet_fd(struct kind *k)
{
	int pair[2];

	if (!k->fd && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
		k->fd = pair[0];
	return k->fd;
}

static void wait_poll(struct kind *k, int64_t t)
{
	struct pollfd p = {.fd = quiet_fd(k), .events = POLLIN};

	poll(&p, 1, (int)(t / NS_PER_MS));
}

static void wait_ppoll(struct kind *k, int64_t t)
{
	struct pollfd p = {.fd = quiet_fd(k), .events = POLLIN};
	struct timespec ts = ns_timespec(t);

	ppoll(&p, 1, &ts, NULL);
}

static void wait_select(struct kind *k, int64_t t)
{
	struct timeval tv = {.tv_sec = t / NS_PER_SEC, .tv_usec = t % NS_PER_SEC / NS_PER_US};
	int fd = quiet_fd(k);
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	select(fd + 1, &set, NULL, NULL, &tv);
}

static void wait_pselect(struct kind *k, int64_t t)
{
	struct timespec ts = ns_timespec(t);
	int fd = quiet_fd(k);
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	pselect(fd + 1, &set, NULL, NULL, &ts, NULL);
}

static int quiet_epoll(struct kind *k)
{
	if (!k->fd)
		k->fd = epoll_create1(0);
	return k->fd;
}

static void wait_epoll(struct kind *k, int64_t t)
{
	struct epoll_event e;

	epoll_wait(quiet_epoll(k), &e, 1, (int)(t / NS_PER_MS));
}

static void wait_epoll_ns(struct kind *k, int64_t t)
{
	struct timespec ts = ns_timespec(t);
	struct epoll_event e;

	epoll_pwait2(quiet_epoll(k), &e, 1, &ts, NULL);
}

/* A timer of the kernel's timer wheel, which counts in jiffies. */
static void wait_socket(struct kind *k, int64_t t)
{
	struct timeval tv = {.tv_sec = t / NS_PER_SEC, .tv_usec = t % NS_PER_SEC / NS_PER_US};
	int fd = quiet_fd(k);
	char c;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (recv(fd, &c, 1, 0) >= 0)
		watch_fail("a socket that nobody writes to had something to read");
}

static void wait_mqueue(struct kind *k, int64_t t)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
	struct timespec ts = ns_timespec(t);
	char c;

	if (!k->fd) {
		k->fd = mq_open("/timeouts", O_CREAT | O_RDONLY, 0600, &attr);
		mq_unlink("/timeouts");
	}
	mq_timedreceive(k->fd, &c, 1, NULL, &ts);
}

static void wait_sigtimedwait(struct kind *k, int64_t t)
{
	struct timespec ts = ns_timespec(t);
	sigset_t set;

	(void)k;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigtimedwait(&set, NULL, &ts);
}

/* --- timers --- */

static void wait_timerfd(struct kind *k, int64_t t)
{
	struct itimerspec its = {.it_value = ns_timespec(t)};
	uint64_t expired;

	if (!k->fd)
		k->fd = timerfd_create(k->clock, 0);
	timerfd_settime(k->fd, k->abs ? TFD_TIMER_ABSTIME : 0, &its, NULL);
	if (read(k->fd, &expired, sizeof(expired)) != sizeof(expired) || expired != 1)
		watch_fail("a timerfd expired more than once");
}

/* Every interval `t` from `start` on: `count` tells how often since it was asked last. */
static void measure_interval(struct kind *k, int64_t start, int64_t t,
			     uint64_t (*count)(struct kind *k))
{
	for (uint64_t seen = 0; seen < EXPIRIES;) {
		uint64_t more = count(k);
		int64_t now = clock_ns(k->clock), first = start + (int64_t)(seen + 1) * t,
			last = start + (int64_t)(seen + more) * t;

		/* The first was due longest ago; and the last must be due. */
		timeouts_add(&k->result, last > now ? last : first, now);
		seen += more;
	}
}

static uint64_t count_timerfd(struct kind *k)
{
	uint64_t expired = 0;

	if (read(k->fd, &expired, sizeof(expired)) != sizeof(expired))
		watch_fail("a timerfd can't be read");
	return expired;
}

static void interval_timerfd(struct kind *k, int64_t t)
{
	int64_t start = clock_ns(k->clock);
	struct itimerspec its = {.it_value = ns_timespec(start + t), .it_interval = ns_timespec(t)};

	if (!k->fd)
		k->fd = timerfd_create(k->clock, 0);
	timerfd_settime(k->fd, TFD_TIMER_ABSTIME, &its, NULL);
	measure_interval(k, start, t, count_timerfd);
}

static sigset_t one_signal(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	return set;
}

static uint64_t count_signal(struct kind *k)
{
	sigset_t set = one_signal((int)k->operation);
	siginfo_t info;

	while (sigwaitinfo(&set, &info) < 0)
		;
	return 1 + (uint64_t)info.si_overrun;
}

static void signal_timer(struct kind *k)
{
	struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = (int)k->operation};

	e._sigev_un._tid = gettid();
	if (!k->timer && timer_create(k->clock, &e, &k->timer))
		watch_fail("no POSIX timer");
}

static void wait_timer(struct kind *k, int64_t t)
{
	struct itimerspec its = {.it_value = ns_timespec(t)};

	signal_timer(k);
	timer_settime(k->timer, k->abs ? TIMER_ABSTIME : 0, &its, NULL);
	if (count_signal(k) != 1)
		watch_fail("a POSIX timer expired more than once");
}

static void interval_timer(struct kind *k, int64_t t)
{
	int64_t start = clock_ns(k->clock);
	struct itimerspec its = {.it_value = ns_timespec(start + t), .it_interval = ns_timespec(t)};
	struct timespec none = {0};
	sigset_t set = one_signal((int)k->operation);

	signal_timer(k);
	timer_settime(k->timer, TIMER_ABSTIME, &its, NULL);
	measure_interval(k, start, t, count_signal);
	timer_settime(k->timer, 0, &(struct itimerspec){0}, NULL);
	sigtimedwait(&set, NULL, &none); /* one that came in between */
}

static void timer_thread(union sigval v)
{
	sem_post(v.sival_ptr);
}

/* A new thread for each expiry, by way of a helper thread of the C library. */
static void wait_timer_thread(struct kind *k, int64_t t)
{
	struct itimerspec its = {.it_value = ns_timespec(t)};
	static sem_t expired;

	if (!k->timer) {
		struct sigevent e = {.sigev_notify = SIGEV_THREAD,
				     .sigev_notify_function = timer_thread,
				     .sigev_value.sival_ptr = &expired};

		sem_init(&expired, 0, 0);
		if (timer_create(k->clock, &e, &k->timer))
			watch_fail("no POSIX timer");
	}
	timer_settime(k->timer, 0, &its, NULL);
	sem_wait(&expired);
}

static struct timeval timeval(int64_t ns)
{
	return (struct timeval){.tv_sec = ns / NS_PER_SEC, .tv_usec = ns % NS_PER_SEC / NS_PER_US};
}

/* SIGALRM has no count: one that finds another pending is lost. So each expiry is armed anew. */
static void wait_itimer(struct kind *k, int64_t t)
{
	struct itimerval it = {.it_value = timeval(t)};
	sigset_t set = one_signal(SIGALRM);

	(void)k;
	watch_take(SIGALRM);
	setitimer(ITIMER_REAL, &it, NULL);
	while (sigwaitinfo(&set, NULL) < 0)
		;
}

#define MONOTONIC CLOCK_MONOTONIC
#define REALTIME  CLOCK_REALTIME

static struct kind kinds[] = {
	{.name = "nanosleep", .clock = MONOTONIC, .wait = wait_nanosleep},
	{.name = "usleep", .clock = MONOTONIC, .wait = wait_usleep, .unit = NS_PER_US},
	{.name = "clock_nanosleep", .clock = MONOTONIC, .wait = wait_clock_nanosleep},
	{.name = "clock_nanosleep_abs",
	 .clock = MONOTONIC,
	 .wait = wait_clock_nanosleep,
	 .abs = true},
	{.name = "clock_nanosleep_realtime",
	 .clock = REALTIME,
	 .wait = wait_clock_nanosleep,
	 .abs = true},
	{.name = "clock_nanosleep_boottime",
	 .clock = CLOCK_BOOTTIME,
	 .wait = wait_clock_nanosleep,
	 .abs = true},
	{.name = "clock_nanosleep_tai",
	 .clock = CLOCK_TAI,
	 .wait = wait_clock_nanosleep,
	 .abs = true},
	{.name = "futex", .clock = MONOTONIC, .wait = wait_futex, .operation = FUTEX_WAIT},
	{.name = "futex_abs",
	 .clock = MONOTONIC,
	 .wait = wait_futex,
	 .operation = FUTEX_WAIT_BITSET,
	 .abs = true},
	{.name = "futex_realtime",
	 .clock = REALTIME,
	 .wait = wait_futex,
	 .operation = FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME,
	 .abs = true},
	{.name = "cond", .clock = MONOTONIC, .wait = wait_cond, .abs = true},
	{.name = "cond_realtime", .clock = REALTIME, .wait = wait_cond, .abs = true},
	{.name = "mutex", .clock = REALTIME, .wait = wait_mutex, .abs = true},
	{.name = "semaphore", .clock = REALTIME, .wait = wait_semaphore, .abs = true},
	{.name = "poll", .clock = MONOTONIC, .wait = wait_poll, .unit = NS_PER_MS},
	{.name = "ppoll", .clock = MONOTONIC, .wait = wait_ppoll},
	{.name = "select", .clock = MONOTONIC, .wait = wait_select, .unit = NS_PER_US},
	{.name = "pselect", .clock = MONOTONIC, .wait = wait_pselect},
	{.name = "epoll", .clock = MONOTONIC, .wait = wait_epoll, .unit = NS_PER_MS},
	{.name = "epoll_ns", .clock = MONOTONIC, .wait = wait_epoll_ns},
	{.name = "socket",
	 .clock = MONOTONIC,
	 .wait = wait_socket,
	 .unit = NS_PER_US,
	 .coarse = true},
	{.name = "mqueue", .clock = REALTIME, .wait = wait_mqueue, .abs = true},
	{.name = "sigtimedwait", .clock = MONOTONIC, .wait = wait_sigtimedwait},
	{.name = "timerfd", .clock = MONOTONIC, .wait = wait_timerfd},
	{.name = "timerfd_abs", .clock = MONOTONIC, .wait = wait_timerfd, .abs = true},
	{.name = "timerfd_realtime", .clock = REALTIME, .wait = wait_timerfd, .abs = true},
	{.name = "timerfd_boottime", .clock = CLOCK_BOOTTIME, .wait = wait_timerfd, .abs = true},
	{.name = "timerfd_interval",
	 .clock = MONOTONIC,
	 .wait = interval_timerfd,
	 .interval = true},
	{.name = "timer", .clock = MONOTONIC, .wait = wait_timer},
	{.name = "timer_realtime", .clock = REALTIME, .wait = wait_timer, .abs = true},
	{.name = "timer_interval", .clock = MONOTONIC, .wait = interval_timer, .interval = true},
	{.name = "timer_thread", .clock = MONOTONIC, .wait = wait_timer_thread, .coarse = true},
	{.name = "itimer", .clock = MONOTONIC, .wait = wait_itimer, .unit = NS_PER_US},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void *watch(void *arg)
{
	struct kind *k = arg;

	be_urgent(PRIORITY);
	for (int i = 0; !watch_over; i++) {
		bool is_long = random_below(&k->seed, LONG_ONE) == 0 && !k->interval;
		uint64_t most = (uint64_t)(is_long ? LONG_NS : SHORT_NS) - LEAST_NS;
		int64_t t = LEAST_NS + (int64_t)random_below(&k->seed, most), deadline;

		if (k->unit)
			t -= t % k->unit;
		if (k->interval) {
			k->wait(k, t);
			continue;
		}
		deadline = clock_ns(k->clock) + t;
		k->wait(k, k->abs ? deadline : t);
		if (i >= WARM_UP)
			timeouts_add(&k->result, deadline, clock_ns(k->clock));
	}
	return NULL;
}

static void block_signals(void)
{
	int signal = SIGRTMIN;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGUSR2);
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i].wait != wait_timer && kinds[i].wait != interval_timer)
			continue;
		kinds[i].operation = signal++;
		sigaddset(&set, (int)kinds[i].operation);
	}
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void keep_each(void)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct timeouts *t = &kinds[i].result;

		if (kinds[i].coarse)
			continue;
		t->each = calloc(KEPT, sizeof(*t->each));
		t->room = t->each ? KEPT : 0;
		if (!t->each)
			watch_fail("no memory for each time-out");
	}
}

static void write_each(const char *path)
{
	FILE *f = fopen(path, "w");

	for (size_t i = 0; f && i < KINDS; i++) {
		const struct timeouts *t = &kinds[i].result;

		for (uint64_t j = 0; j < t->n && j < t->room; j++)
			fprintf(f, "%llu %lld\n", (unsigned long long)t->each[j].tsc,
				(long long)t->each[j].late);
	}
	if (!f || fclose(f) != 0)
		watch_fail("the file of time-outs can't be written");
}

int main(int argc, char **argv)
{
	static struct timeouts precise;

	watch_begin("timeouts");
	block_signals();
	if (argc > 2)
		keep_each();
	for (size_t i = 0; i < KINDS; i++) {
		kinds[i].seed = 88172645463325252ull + i * 0x9e3779b97f4a7c15ull;
		pthread_create(&kinds[i].thread, NULL, watch, &kinds[i]);
	}
	watch_wait(argc > 1 ? atol(argv[1]) : 0);
	for (size_t i = 0; i < KINDS; i++)
		pthread_join(kinds[i].thread, NULL);
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i].coarse && argc > 3 &&
		    kinds[i].result.early <= atol(argv[3]) * NS_PER_MS)
			kinds[i].result.early = 0;
		timeouts_print(kinds[i].name, &kinds[i].result);
		if (!kinds[i].coarse)
			timeouts_merge(&precise, &kinds[i].result);
	}
	timeouts_print("precise", &precise);
	if (argc > 2)
		write_each(argv[2]);
	return watch_verdict();
}
