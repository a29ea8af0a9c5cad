/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build: hv/duration.c */
#include <errno.h>
#include "hv/duration.h"
#include "test/unit/check.h"

static const struct {
	const char *text;
	int err;
	uint64_t ns;
} cases[] = {
	{"0s", 0, 0},
	{"1ns", 0, 1},
	{"200us", 0, 200000},
	{"1.5s", 0, 1500000000},
	{"0.000000001s", 0, 1},
	{"0.5ns", 0, 0},
	{"90m", 0, 5400000000000},
	{"1h", 0, 3600000000000},
	{"878400h", 0, 3162240000000000000}, /* 100 years of 366 days */
	{"878401h", -ERANGE, 0},
	{"99999999999999999999999999s", -ERANGE, 0},
	{"18446744073709551616ns", -ERANGE, 0},
	{"", -EINVAL, 0},
	{"5", -EINVAL, 0},
	{"s", -EINVAL, 0},
	{".5s", -EINVAL, 0},
	{"1.s", -EINVAL, 0},
	{"1.0000000001s", -EINVAL, 0},
	{"-1s", -EINVAL, 0},
	{"1 s", -EINVAL, 0},
	{"1S", -EINVAL, 0},
	{"1sec", -EINVAL, 0},
	{"1e3s", -EINVAL, 0},
};

static void parsing(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 0;
		int err = duration_parse(cases[i].text, &ns);

		CHECK_EQ(err, cases[i].err);
		if (!err)
			CHECK_EQ(ns, cases[i].ns);
	}
}

int main(void)
{
	RUN(parsing);
	return check_result();
}
