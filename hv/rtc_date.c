// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/rtc_date.h"

#define DAY_SECONDS 86400
#define ERA_DAYS    146097 /* 400 years */
#define EPOCH_DAYS  719468 /* 0000-03-01 to 1970-01-01 */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Years are counted from 1 March, so that the leap day is the last of its year. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = year - (month <= 2), era = floor_div(y, 400);
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + (int64_t)day - 1;

	return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - EPOCH_DAYS;
}

struct rtc_date rtc_date_from_seconds(int64_t seconds)
{
	int64_t days = floor_div(seconds, DAY_SECONDS), rest = seconds - days * DAY_SECONDS;
	int64_t z = days + EPOCH_DAYS, era = floor_div(z, ERA_DAYS), doe = z - era * ERA_DAYS;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / (ERA_DAYS - 1)) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	struct rtc_date d;

	d.day = (uint8_t)(doy - (153 * mp + 2) / 5 + 1);
	d.month = (uint8_t)(mp < 10 ? mp + 3 : mp - 9);
	d.year = (int32_t)(yoe + era * 400 + (d.month <= 2));
	d.wday =
		(uint8_t)(days - floor_div(days + 4, 7) * 7 + 4 + 1); /* 1970-01-01: Thursday = 5 */
	d.hour = (uint8_t)(rest / 3600);
	d.minute = (uint8_t)(rest / 60 % 60);
	d.second = (uint8_t)(rest % 60);
	return d;
}

int64_t rtc_date_to_seconds(const struct rtc_date *d)
{
	unsigned month = d->month % 12 ? d->month % 12u : 12;

	return days_from_civil(d->year, month, d->day) * DAY_SECONDS +
	       (d->hour * 60LL + d->minute) * 60 + d->second;
}
