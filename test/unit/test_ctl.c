/* build: tools/ctl/experiment.c tools/ctl/text.c tools/ctl/json_read.c tools/ctl/agree.c tools/ctl/when.c hv/duration.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure parts of stasisctl: experiment file, JSON from a node, agreement on the time, times as
 * people type them. What it does with nodes is tested by test/cases/ctl.py. */
#include <errno.h>
#include <stdlib.h>
#include "proto/wire.h"
#include "test/unit/check.h"
#include "tools/ctl/agree.h"
#include "tools/ctl/experiment.h"
#include "tools/ctl/json_read.h"
#include "tools/ctl/text.h"
#include "tools/ctl/when.h"

#define MS  1000000ull
#define KEY "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

/* --- experiment files --- */

static struct experiment e;
static char why[WHY_BYTES];

static int parse(const char *text)
{
	why[0] = 0;
	experiment_free(&e);
	return experiment_parse(&e, "f", text, strlen(text), why);
}

static void a_whole_file(void)
{
	static const char text[] = "# nodes\r\n"
				   "experiment = demo_1.x/18446744073709551615\n"
				   "  key=" KEY "  # not a good place\n"
				   "margin = 1.5s\n"
				   "\n"
				   "node a 10.0.0.1\n"
				   "node\tb\t[2001:db8::1]:99\n"
				   "node c 2001:db8::2\n"
				   "node d host.example.net:65535";

	if (!CHECK_EQ(parse(text), 0)) {
		printf("%s\n", why);
		return;
	}
	CHECK_STR(e.name, "demo_1.x");
	CHECK_EQ(e.number, UINT64_MAX);
	CHECK(e.key_file == NULL && e.key[1] == 0x11 && e.key[31] == 0xff);
	CHECK_EQ(e.margin, 1500 * MS);
	CHECK_EQ(e.late_limit, 1000 * MS);
	CHECK_EQ(e.node_count, 4);
	CHECK_STR(e.nodes[0].host, "10.0.0.1");
	CHECK_EQ(e.nodes[0].port, 4789);
	CHECK_STR(e.nodes[1].host, "2001:db8::1");
	CHECK_EQ(e.nodes[1].port, 99);
	CHECK_STR(e.nodes[2].host, "2001:db8::2");
	CHECK_EQ(e.nodes[2].port, 4789);
	CHECK_STR(e.nodes[3].name, "d");
	CHECK_EQ(e.nodes[3].port, 65535);
	CHECK_EQ(e.nodes[3].line, 9);
}

static void numbers_have_ends(void)
{
	CHECK_EQ(parse("experiment = a/18446744073709551616\n"), -EINVAL);
	CHECK_EQ(parse("experiment = a/-1\n"), -EINVAL);
	CHECK_EQ(parse("experiment = a/1x\n"), -EINVAL);
	CHECK_EQ(parse("margin = 99999999999999999999s\n"), -EINVAL);
	CHECK(strncmp(why, "f:1: margin", 11) == 0);
}

static void keys_are_hex(void)
{
	uint8_t key[KEY_BYTES];

	CHECK(key_parse(" \n" KEY "\r\n ", strlen(KEY) + 5, key));
	CHECK(!key_parse(KEY, strlen(KEY) - 1, key));
	CHECK(!key_parse(KEY "00", strlen(KEY) + 2, key));
	CHECK(!key_parse("", 0, key));
	CHECK(!key_parse("x0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", 64,
			 key));
}

/* --- JSON --- */

static bool valid(const char *s)
{
	return json_is_object(s, strlen(s));
}

static void json_is_well_formed_or_not(void)
{
	static const char *const good[] = {
		"{}",
		" {\"a\":[1,-2.5e+3,{\"b\":null},true,false,\"x\\\"\\u00e9\\n\"]} \n",
		"{\"a\":0}",
	};
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\":01}",
		"{\"a\":1.}",
		"{\"a\":tru}",
		"{} x",
		"{\"a\":\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":-}",
		"{\"\n\":1}",
		"{\"a\":1 \"b\":2}",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!CHECK(valid(good[i])))
			printf("%s\n", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!CHECK(!valid(bad[i])))
			printf("%s\n", bad[i]);
}

static void json_depth_is_limited(void)
{
	char s[200] = "{\"a\":";

	for (unsigned depth = 1; depth < 60; depth++) {
		size_t n = 5;

		memset(s + n, '[', depth - 1);
		n += depth - 1;
		memset(s + n, ']', depth - 1);
		n += depth - 1;
		s[n++] = '}';
		if (depth == 1) /* no value at all */
			continue;
		CHECK_EQ(json_is_object(s, n), depth <= 32);
	}
}

static void json_members_are_found(void)
{
	static const char s[] =
		"{\"in\":{\"a\":5},\"a\":18446744073709551615,\"b\":18446744073709551616,"
		"\"c\":1.5,\"d\":-1,\"e\":\"x\\u001by\",\"f\":\"12345678\"}";
	uint64_t v = 0;
	char t[9];

	CHECK(json_read_u64(s, strlen(s), "a", &v));
	CHECK_EQ(v, UINT64_MAX);
	CHECK(!json_read_u64(s, strlen(s), "b", &v));
	CHECK(!json_read_u64(s, strlen(s), "c", &v));
	CHECK(!json_read_u64(s, strlen(s), "d", &v));
	CHECK(!json_read_u64(s, strlen(s), "e", &v));
	CHECK(!json_read_u64(s, strlen(s), "none", &v));
	CHECK(json_read_string(s, strlen(s), "e", t, sizeof(t)));
	CHECK_STR(t, "x?y");
	CHECK(json_read_string(s, strlen(s), "f", t, 9));
	CHECK(!json_read_string(s, strlen(s), "f", t, 8));
	CHECK(!json_read_string(s, strlen(s), "a", t, sizeof(t)));
}

static void json_that_is_written_is_read(void)
{
	struct text t = {0};
	char s[16];
	uint64_t v;

	json_open(&t, NULL, '{');
	json_string(&t, "a", "\"\\\x1b\xc3");
	json_open(&t, "b", '[');
	json_u64(&t, NULL, 1);
	json_null(&t, NULL);
	json_close(&t, ']');
	json_u64(&t, "c", 7);
	json_bool(&t, "d", true);
	json_string(&t, "e", NULL);
	json_close(&t, '}');
	CHECK_STR(
		t.s,
		"{\"a\":\"\\\"\\\\\\u001b\\u00c3\",\"b\":[1,null],\"c\":7,\"d\":true,\"e\":null}");
	CHECK(json_is_object(t.s, t.len));
	CHECK(json_read_string(t.s, t.len, "a", s, sizeof(s)));
	CHECK_STR(s, "\"\\??");
	CHECK(json_read_u64(t.s, t.len, "c", &v) && v == 7);
	text_free(&t);
}

/* --- the time on which most agree --- */

static void most_agree(void)
{
	static const struct interval in[] = {{0, 10}, {8, 12}, {11, 13}, {-100, -90}, {9, 9}};
	struct agreement a = agree(in, 0);

	CHECK_EQ(a.votes, 0);
	a = agree(in, 1);
	CHECK_EQ(a.votes, 1);
	CHECK_EQ(a.offset, 5);
	CHECK_EQ(a.error, 5);
	a = agree(in, 5);
	CHECK_EQ(a.votes, 3);
	CHECK_EQ(a.offset, 9);
	CHECK_EQ(a.error, 0);
}

static void touching_is_agreeing(void)
{
	static const struct interval in[] = {{0, 10}, {10, 20}};
	struct agreement a = agree(in, 2);

	CHECK_EQ(a.votes, 2);
	CHECK_EQ(a.offset, 10);
}

static void extremes_are_survived(void)
{
	static const struct interval in[] = {{INT64_MIN, INT64_MAX}, {INT64_MAX, INT64_MAX}};
	struct agreement a = agree(in, 2);

	CHECK_EQ(a.votes, 2);
	CHECK_EQ(a.offset, INT64_MAX);
}

/* --- times --- */

static void times_are_read(void)
{
	const time_t now = 1700000000; /* 2023-11-14 22:13:20 UTC */
	struct when w;

	(void)setenv("TZ", "UTC", 1);
	CHECK_EQ(when_parse("1700000000000000001", now, &w), 0);
	CHECK(!w.wall && w.ns == 1700000000000000001ull);
	CHECK_EQ(when_parse("22:13:21.5", now, &w), 0);
	CHECK(w.wall);
	CHECK_EQ(w.ns, 1700000001500000000ull);
	CHECK_EQ(when_parse("22:13:20", now, &w), 0); /* tomorrow */
	CHECK_EQ(w.ns, 1700086400000000000ull);
	CHECK_EQ(when_parse("2023-11-14 22:13", now, &w), 0);
	CHECK_EQ(w.ns, 1699999980000000000ull);
	CHECK_EQ(when_parse("2023-11-14T22:13:20.000000001Z", now, &w), 0);
	CHECK_EQ(w.ns, 1700000000000000001ull);
	(void)setenv("TZ", "EST5", 1);
	CHECK_EQ(when_parse("17:13:21", now, &w), 0);
	CHECK_EQ(w.ns, 1700000001000000000ull);
	CHECK_EQ(when_parse("22:13:21Z", now, &w), 0);
	CHECK_EQ(w.ns, 1700000001000000000ull);
}

static void other_texts_are_not(void)
{
	static const char *const bad[] = {
		"",
		"12",
		"123456789012345",
		"24:00",
		"12:60",
		"1:00",
		"12:00:60",
		"12:00:00.",
		"12:00x",
		"2023-13-01 12:00",
		"noon",
		"2023-11-14",
		"-1",
		"12:00:00.1ZZ",
		"2023-00-01 12:00",
		"99999999999999999999999999",
	};
	struct when w;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!CHECK_EQ(when_parse(bad[i], 1700000000, &w), -EINVAL))
			printf("%s\n", bad[i]);
}

int main(void)
{
	RUN(a_whole_file);
	RUN(numbers_have_ends);
	RUN(keys_are_hex);
	experiment_free(&e);
	RUN(json_is_well_formed_or_not);
	RUN(json_depth_is_limited);
	RUN(json_members_are_found);
	RUN(json_that_is_written_is_read);
	RUN(most_agree);
	RUN(touching_is_agreeing);
	RUN(extremes_are_survived);
	RUN(times_are_read);
	RUN(other_texts_are_not);
	return check_result();
}
