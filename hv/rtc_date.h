/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calendar arithmetic of the guest's RTC: registers <-> seconds (proleptic Gregorian, 1970 = 0).
 * Pure, total. */
#pragma once
#include <stdint.h>

struct rtc_date {
	int32_t year;		  /* with its century */
	uint8_t month, day, wday; /* 1-12, 1-31, 1-7 = Sunday to Saturday */
	uint8_t hour, minute, second;
};

struct rtc_date rtc_date_from_seconds(int64_t seconds);
/* Values out of range carry over, as 31 April = 1 May; month is taken modulo 12. wday is ignored.
 */
int64_t rtc_date_to_seconds(const struct rtc_date *d);
