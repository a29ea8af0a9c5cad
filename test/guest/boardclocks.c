// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Watches the clocks of the board and their interrupts, against CLOCK_MONOTONIC_RAW:
 *   boardclocks [SECONDS]        default: until SIGINT or SIGTERM
 * HPET (by /dev/hpet: counter and periodic interrupt), ACPI PM timer (by its port), RTC (by
 * /dev/rtc0: the second's edge, update, periodic and alarm interrupt). Lines, where there is such a
 * clock, else `boardclocks NAME absent: WHY`:
 *   boardclocks NAME n=READINGS step_ns=.. step_tsc=WHEN back_ns=LARGEST   counters, close together
 *   boardclocks NAME n=COMPARISONS jump_ns=.. wander_ns=.. drift_ns=.. drift_ppm=..
 *   boardclocks NAME n=INTERRUPTS missed=.. late_ns=LARGEST           periodic interrupts
 *   boardclocks NAME n=ALARMS early_ns=.. late_ns=.. p50_ns=.. p99_ns=..
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/hpet.h>
#include <linux/rtc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lib/watch.h"

#define PRIORITY 25
/* An interrupt that does not come in so long is lost. */
#define PATIENCE_NS (10 * NS_PER_SEC)
#define LOOK_MS	    100 /* whether the run is over */

static int64_t raw_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_RAW);
}

/* Waits for an interrupt; false if the run is over, or it does not come, which is an error. */
static bool comes(int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t end = raw_ns() + PATIENCE_NS;

	while (!watch_over && raw_ns() < end)
		if (poll(&p, 1, LOOK_MS) == 1)
			return true;
	if (!watch_over)
		watch_fail(what);
	return false;
}

/* --- counters --- */

struct counter {
	const char *name, *drift_name, *absent;
	uint64_t (*read)(void);
	uint64_t mask, last, total;
	double ns_per_tick;
	struct steps steps;
	struct drift drift;
};

static volatile const uint64_t *hpet;
static uint16_t pm_port;

#define HPET_COUNTER 0xf0 /* IA-PC HPET specification 2.3.4 */

static uint64_t read_hpet(void)
{
	return hpet[HPET_COUNTER / 8];
}

static uint64_t read_pm(void)
{
	return inl(pm_port);
}

static struct counter hpet_counter = {
	.name = "hpet", .drift_name = "hpet_drift", .read = read_hpet};
static struct counter pm_counter = {
	.name = "pm_timer", .drift_name = "pm_timer_drift", .read = read_pm};

static int open_hpet(void)
{
	int fd = open("/dev/hpet", O_RDONLY);
	void *p = MAP_FAILED;
	uint64_t capabilities;

	if (fd < 0) {
		hpet_counter.absent = "/dev/hpet can't be opened";
		return -1;
	}
	p = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		hpet_counter.absent = "/dev/hpet can't be mapped";
		return fd;
	}
	hpet = p;
	capabilities = hpet[0]; /* 2.3.4: period in fs, and whether there are 64 bits */
	hpet_counter.ns_per_tick = (double)(capabilities >> 32) / 1e6;
	hpet_counter.mask = capabilities & 1 << 13 ? UINT64_MAX : UINT32_MAX;
	return fd;
}

/* ACPI 5.2.9, fixed ACPI description table */
#define FADT_PM_TMR_BLK	 76
#define FADT_FLAGS	 112
#define FADT_TMR_VAL_EXT (1u << 8)
#define FADT_LEAST	 116
#define PM_TIMER_HZ	 3579545.0

static void open_pm(void)
{
	int fd = open("/sys/firmware/acpi/tables/FACP", O_RDONLY);
	uint8_t fadt[FADT_LEAST];
	uint32_t port = 0, flags = 0;

	if (fd >= 0 && read(fd, fadt, sizeof(fadt)) == sizeof(fadt)) {
		memcpy(&port, fadt + FADT_PM_TMR_BLK, sizeof(port));
		memcpy(&flags, fadt + FADT_FLAGS, sizeof(flags));
	}
	if (fd >= 0)
		close(fd);
	if (!port)
		pm_counter.absent = "the ACPI tables name none";
	else if (iopl(3))
		pm_counter.absent = "no access to ports";
	pm_port = (uint16_t)port;
	pm_counter.ns_per_tick = 1e9 / PM_TIMER_HZ;
	pm_counter.mask = flags & FADT_TMR_VAL_EXT ? 0xffffffff : 0xffffff;
}

static int64_t counter_ns(struct counter *c)
{
	uint64_t now = c->read(), more = (now - c->last) & c->mask;

	if (!c->steps.n)
		more = 0;
	/* More than half the counter's range is a step back. */
	c->total += more <= c->mask / 2 ? more : more - c->mask - 1;
	c->last = now;
	return (int64_t)((double)c->total * c->ns_per_tick);
}

#define TRIES 5

/* Compares between two looks at MONOTONIC_RAW that are as close together as can be had. */
static void compare(struct counter *c)
{
	int64_t best = INT64_MAX, best_raw = 0, best_value = 0;

	steps_pause(&c->steps);
	for (int i = 0; i < TRIES; i++) {
		int64_t before = raw_ns(), value = counter_ns(c), after = raw_ns();

		steps_read(&c->steps, value);
		if (after - before < best) {
			best = after - before;
			best_raw = before + best / 2;
			best_value = value;
		}
	}
	drift_add(&c->drift, best_raw, best_value);
}

static void *watch_counters(void *unused)
{
	struct timespec pause = ns_timespec(20 * NS_PER_MS);

	(void)unused;
	be_urgent(PRIORITY);
	if (!pm_counter.absent && iopl(3))
		watch_fail("iopl");
	while (!watch_over) {
		if (!hpet_counter.absent)
			compare(&hpet_counter);
		if (!pm_counter.absent)
			compare(&pm_counter);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void report_counter(const struct counter *c)
{
	if (c->absent) {
		watch_absent(c->name, c->absent);
		return;
	}
	steps_print(c->name, &c->steps);
	drift_print(c->drift_name, &c->drift);
}

/* --- the HPET's interrupt --- */

#define HPET_FREQUENCY 32
#define SESSION	       32 /* beats; clocks differ by some ppm */

static const char *hpet_irq_absent;
static struct beats hpet_beats;

static void *watch_hpet_irq(void *arg)
{
	int fd = *(int *)arg;

	be_urgent(PRIORITY);
	if (fd < 0 || ioctl(fd, HPET_IRQFREQ, (unsigned long)HPET_FREQUENCY)) {
		hpet_irq_absent = "no comparator is free";
		return NULL;
	}
	ioctl(fd, HPET_EPI, 0); /* if it can; else the driver sets it anew each time */
	if (ioctl(fd, HPET_IE_ON, 0)) {
		hpet_irq_absent = "the comparator has no interrupt";
		return NULL;
	}
	while (!watch_over) {
		beats_begin(&hpet_beats, NS_PER_SEC / HPET_FREQUENCY);
		for (int i = 0; i < SESSION; i++) {
			unsigned long count;

			if (!comes(fd, "the HPET's interrupt stays away") ||
			    read(fd, &count, sizeof(count)) != sizeof(count))
				return NULL;
			beats_add(&hpet_beats, count, raw_ns());
		}
	}
	ioctl(fd, HPET_IE_OFF, 0);
	return NULL;
}

/* --- the RTC --- */

static int rtc = -1;
static const char *rtc_absent;
static struct steps rtc_steps;
static struct drift rtc_edge;
static struct beats rtc_update, rtc_periodic;
static struct timeouts rtc_alarm;

static int64_t rtc_ns(void)
{
	struct rtc_time t;
	struct tm tm;

	if (ioctl(rtc, RTC_RD_TIME, &t)) {
		watch_fail("the RTC can't be read");
		return 0;
	}
	tm = (struct tm){.tm_sec = t.tm_sec,
			 .tm_min = t.tm_min,
			 .tm_hour = t.tm_hour,
			 .tm_mday = t.tm_mday,
			 .tm_mon = t.tm_mon,
			 .tm_year = t.tm_year};
	return timegm(&tm) * NS_PER_SEC;
}

static bool rtc_interrupt(const char *what, unsigned long *count)
{
	unsigned long data;

	if (!comes(rtc, what) || read(rtc, &data, sizeof(data)) != sizeof(data))
		return false;
	*count = data >> 8;
	return true;
}

/* When the next second begins, and which one it is. By interrupt: whoever reads the RTC shortly
 * before keeps the CPU for a millisecond or more, until the RTC has been updated. */
static int64_t next_edge(int64_t *second)
{
	unsigned long count;
	int64_t raw;

	if (ioctl(rtc, RTC_UIE_ON, 0))
		watch_fail("no RTC update interrupts");
	steps_pause(&rtc_steps);
	steps_read(&rtc_steps, rtc_ns());
	if (!rtc_interrupt("no RTC update interrupt", &count)) {
		ioctl(rtc, RTC_UIE_OFF, 0);
		return 0;
	}
	raw = raw_ns();
	*second = rtc_ns();
	steps_read(&rtc_steps, *second);
	drift_add(&rtc_edge, raw, *second);
	ioctl(rtc, RTC_UIE_OFF, 0);
	return raw;
}

#define UPDATES 3

static void watch_update(void)
{
	int64_t before = rtc_ns();
	unsigned long count;

	if (ioctl(rtc, RTC_UIE_ON, 0)) {
		watch_fail("no RTC update interrupts");
		return;
	}
	beats_begin(&rtc_update, NS_PER_SEC);
	for (int i = 1; i <= UPDATES && rtc_interrupt("no RTC update interrupt", &count); i++) {
		beats_add(&rtc_update, count, raw_ns());
		if (rtc_ns() < before + i * NS_PER_SEC)
			watch_fail("an RTC update interrupt came before the update");
	}
	ioctl(rtc, RTC_UIE_OFF, 0);
}

#define PERIODIC_HZ 64

static void watch_periodic(void)
{
	unsigned long count;

	if (ioctl(rtc, RTC_IRQP_SET, PERIODIC_HZ) || ioctl(rtc, RTC_PIE_ON, 0)) {
		watch_fail("no RTC periodic interrupts");
		return;
	}
	beats_begin(&rtc_periodic, NS_PER_SEC / PERIODIC_HZ);
	for (int i = 0; i < PERIODIC_HZ && rtc_interrupt("no RTC periodic interrupt", &count); i++)
		beats_add(&rtc_periodic, count, raw_ns());
	ioctl(rtc, RTC_PIE_OFF, 0);
}

static void watch_alarm(void)
{
	struct rtc_wkalrm alarm = {.enabled = 1};
	int64_t second, edge = next_edge(&second), at, now, raw;
	unsigned long count;
	time_t seconds;
	struct tm tm;

	if (!edge)
		return;
	at = second + 2 * NS_PER_SEC;
	seconds = at / NS_PER_SEC;
	gmtime_r(&seconds, &tm);
	alarm.time = (struct rtc_time){.tm_sec = tm.tm_sec,
				       .tm_min = tm.tm_min,
				       .tm_hour = tm.tm_hour,
				       .tm_mday = tm.tm_mday,
				       .tm_mon = tm.tm_mon,
				       .tm_year = tm.tm_year};
	if (ioctl(rtc, RTC_WKALM_SET, &alarm))
		watch_fail("no RTC alarms");
	if (!rtc_interrupt("an RTC alarm stays away", &count))
		return;
	raw = raw_ns();
	now = rtc_ns();
	/* Early by the RTC's own account, or late by MONOTONIC_RAW's. */
	timeouts_add(&rtc_alarm, now < at ? at : edge + at - second,
		     now < at			? now
		     : raw < edge + at - second ? edge + at - second
						: raw);
}

static void *watch_rtc(void *unused)
{
	int64_t second;

	(void)unused;
	be_urgent(PRIORITY);
	rtc = open("/dev/rtc0", O_RDONLY);
	if (rtc < 0) {
		rtc_absent = "/dev/rtc0 can't be opened";
		return NULL;
	}
	for (unsigned i = 0; !watch_over; i++) {
		next_edge(&second);
		if (i % 3 == 0)
			watch_periodic();
		else if (i % 3 == 1)
			watch_update();
		else
			watch_alarm();
	}
	close(rtc);
	return NULL;
}

static void report_rtc(void)
{
	if (rtc_absent) {
		watch_absent("rtc", rtc_absent);
		return;
	}
	steps_print("rtc", &rtc_steps);
	drift_print("rtc_edge", &rtc_edge);
	beats_print("rtc_update", &rtc_update);
	beats_print("rtc_periodic", &rtc_periodic);
	timeouts_print("rtc_alarm", &rtc_alarm);
}

int main(int argc, char **argv)
{
	pthread_t counters, hpet_irq, rtc_thread;
	int hpet_fd;

	watch_begin("boardclocks");
	hpet_fd = open_hpet();
	open_pm();
	pthread_create(&counters, NULL, watch_counters, NULL);
	pthread_create(&hpet_irq, NULL, watch_hpet_irq, &hpet_fd);
	pthread_create(&rtc_thread, NULL, watch_rtc, NULL);
	watch_wait(argc > 1 ? atol(argv[1]) : 0);
	pthread_join(counters, NULL);
	pthread_join(hpet_irq, NULL);
	pthread_join(rtc_thread, NULL);
	report_counter(&hpet_counter);
	report_counter(&pm_counter);
	if (hpet_irq_absent)
		watch_absent("hpet_irq", hpet_irq_absent);
	else
		beats_print("hpet_irq", &hpet_beats);
	report_rtc();
	return watch_verdict();
}
