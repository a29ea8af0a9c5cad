/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CMOS clock (MC146818A data sheet), read once at boot. */
#include "arch/x86_64/internal.h"
#include "hv/log.h"

enum { CMOS_INDEX = 0x70, CMOS_DATA = 0x71 };
enum { SECONDS = 0, MINUTES = 2, HOURS = 4, DAY = 7, MONTH = 8, YEAR = 9, REG_A = 10, REG_B = 11 };
#define A_UIP	 0x80
#define B_24H	 0x02
#define B_BINARY 0x04
#define HOURS_PM 0x80

#define UIP_WAIT_US 10
#define UIP_WAITS   500 /* an update takes 2 ms */
#define TRIES	    10

struct cmos_time {
	uint8_t seconds, minutes, hours, day, month, year, century;
};

static uint64_t boot_seconds;

static uint8_t cmos(uint8_t reg)
{
	outb(CMOS_INDEX, reg);
	return inb(CMOS_DATA);
}

static struct cmos_time sample(uint8_t century_reg)
{
	struct cmos_time t;

	for (unsigned i = 0; i < UIP_WAITS && cmos(REG_A) & A_UIP; i++)
		tsc_delay_us(UIP_WAIT_US);
	t.seconds = cmos(SECONDS);
	t.minutes = cmos(MINUTES);
	t.hours = cmos(HOURS);
	t.day = cmos(DAY);
	t.month = cmos(MONTH);
	t.year = cmos(YEAR);
	t.century = century_reg ? cmos(century_reg) : 0;
	return t;
}

static bool same(const struct cmos_time *a, const struct cmos_time *b)
{
	return a->seconds == b->seconds && a->minutes == b->minutes && a->hours == b->hours &&
	       a->day == b->day && a->month == b->month && a->year == b->year &&
	       a->century == b->century;
}

static unsigned number(uint8_t v, bool binary)
{
	return binary ? v : (v >> 4) * 10u + (v & 15u);
}

/* Days since 1970-01-01 in the Gregorian calendar; years counted from March, so that the leap day
 * comes last. */
static uint64_t days(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month <= 2 ? year - 1 : year;
	unsigned m = month <= 2 ? month + 9 : month - 3;

	return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static uint64_t unix_time(const struct cmos_time *t)
{
	uint8_t b = cmos(REG_B);
	bool binary = b & B_BINARY;
	unsigned hours = number(t->hours & (b & B_24H ? 0xff : 0x7f), binary);
	unsigned century = number(t->century, binary), year = number(t->year, binary);
	unsigned month = number(t->month, binary), day = number(t->day, binary);

	if (!(b & B_24H))
		hours = hours % 12 + (t->hours & HOURS_PM ? 12 : 0);
	year += (century >= 20 && century <= 22 ? century : 20) * 100;
	if (month < 1 || month > 12 || day < 1 || day > 31 || hours > 23) {
		log_warn("RTC: its date makes no sense; time starts at 1970");
		return 0;
	}
	return days(year, month, day) * 86400 + hours * 3600ull +
	       number(t->minutes, binary) * 60ull + number(t->seconds, binary);
}

void rtc_init_host(void)
{
	const struct acpi_fadt *f = acpi_fadt();
	uint8_t century = f && f->century < 0x80 ? f->century : 0;
	struct cmos_time a = sample(century), b;

	for (unsigned i = 0; i < TRIES; i++) {
		b = sample(century);
		if (same(&a, &b))
			break;
		a = b;
	}
	boot_seconds = unix_time(&a);
	log_info("RTC: %llu seconds since 1970", (unsigned long long)boot_seconds);
}

uint64_t host_rtc_seconds(void)
{
	return boot_seconds;
}
