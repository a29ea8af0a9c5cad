/* build: tools/ctl/experiment.c tools/ctl/text.c tools/ctl/json.c tools/ctl/agree.c tools/ctl/when.c hv/duration.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure parts of stasisctl: experiment file, JSON from a node, agreement on the time, times as
 * people type them. What it does with nodes is tested by test/cases/ctl*.py. */
#include <errno.h>
#include <stdlib.h>
#include "proto/wire.h"
#include "test/unit/check.h"
#include "tools/ctl/agree.h"
#include "tools/ctl/experiment.h"
#include "tools/ctl/json.h"
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
				   "experiment = demo_1.x/9223372036854775807\n"
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
	CHECK_EQ(e.number, INT64_MAX);
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
	CHECK_EQ(parse("experiment = a/9223372036854775808\n"), -EINVAL);
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
	json_t *said = json_said(s, strlen(s));

	json_decref(said);
	return said;
}

static void only_what_any_reader_can_take_is_json(void)
{
	static const char *const good[] = {
		"{}",
		" {\"a\":[1,-2.5e+3,{\"b\":null},true,false,\"x\\\"\\u00e9\\n\"]} \n",
		"{\"a\":-9223372036854775808}",
	};
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"1",
		"{\"a\":1,}",
		"{\"a\":01}",
		"{\"a\":\"}",
		"{\"\n\":1}",
		"{} x",
		"{}{}",
		"{\"a\":NaN}",
		"{\"a\":-Infinity}",
		"{\"a\":1e999}",
		"{\"a\":9223372036854775808}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xc0\x80\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":1,\"b\":2,\"a\":1}",
		"{\"a\":[{\"b\":1,\"b\":1}]}",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!CHECK(valid(good[i])))
			printf("%s\n", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!CHECK(!valid(bad[i])))
			printf("%s\n", bad[i]);
	CHECK(!json_said("{}\0", 3));
	CHECK(!json_said(NULL, 0));
}

static void json_depth_is_limited(void)
{
	static char s[2 * 100000 + 10];

	for (unsigned depth = 2; depth < 100000; depth = depth < 60 ? depth + 1 : 2 * depth) {
		size_t n = (size_t)sprintf(s, "{\"a\":");

		memset(s + n, '[', depth - 1);
		n += depth - 1;
		memset(s + n, ']', depth - 1);
		n += depth - 1;
		s[n] = '}';
		s[n + 1] = 0;
		CHECK_EQ(valid(s), depth <= 32);
	}
}

/* What jansson has allocated */
static size_t held, most;

static void *counting_malloc(size_t bytes)
{
	size_t *p = malloc(bytes + 16);

	*p = bytes + 16;
	held += *p;
	if (held > most)
		most = held;
	return p + 2;
}

static void counting_free(void *p)
{
	size_t *begin = p;

	if (!p)
		return;
	held -= begin[-2];
	free(begin - 2);
}

static void json_size_and_memory_are_limited(void)
{
	static const char *const pieces[] = {"{},", "[],", "1,", "\"\",", "[{}],", "{\"\":0},"};
	static char s[JSON_SAID_MAX + 2];

	json_set_alloc_funcs(counting_malloc, counting_free);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t n = (size_t)sprintf(s, "{\"a\":["), size = strlen(pieces[i]);
		json_t *said;

		while (n + size + 3 < JSON_SAID_MAX) {
			memcpy(s + n, pieces[i], size);
			n += size;
		}
		n--; /* the last comma */
		s[n++] = ']';
		while (n < JSON_SAID_MAX - 1)
			s[n++] = ' ';
		s[n++] = '}';
		most = 0;
		said = json_said(s, n);
		CHECK(said);
		json_decref(said);
		if (!CHECK(most < 100ull * JSON_SAID_MAX))
			printf("%s: %zu bytes\n", pieces[i], most);
		s[n++] = ' ';
		CHECK(!json_said(s, n));
	}
	CHECK_EQ(held, 0);
	json_set_alloc_funcs(malloc, free);
}

static void written(json_t *object, const char *want)
{
	char *s = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);

	CHECK_STR(s, want);
	free(s);
	json_decref(object);
}

static void json_is_written(void)
{
	json_t *o = json_object();

	json_add(o, "b", json_bytes("\"\\\x1b\0\xc3\xff", 6));
	json_add(o, "a", json_string(NULL));
	json_add(o, "n", json_ns(INT64_MAX));
	json_add(o, "m", json_ns(UINT64_MAX));
	json_add(o, "none", json_bytes(NULL, 0));
	written(o, "{\"b\":\"\\\"\\\\\\u001B\\u0000\\u00C3\\u00FF\",\"a\":null,"
		   "\"n\":9223372036854775807,\"m\":null,\"none\":\"\"}");
}

static void what_a_node_says_goes_on_unchanged(void)
{
	static const char text[] = "{\"z\":1,\"a\":[9223372036854775807,-1,0.5],"
				   "\"x\":\"\\u00E9\\\"\",\"b\":{\"\":null,\"y\":true}}";

	written(json_said(text, strlen(text)), text);
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
	CHECK_EQ(when_parse("2024-02-29 00:00", now, &w), 0);
	CHECK_EQ(w.ns, 1709164800000000000ull);
	CHECK_EQ(when_parse("4500000000000000000", now, &w), 0);
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
		"4611686018427387904", /* 2^62 */
		"2023-02-29 12:00",
		"2023-02-31 12:00Z",
		"2023-11-31T12:00",
		"2117-01-01 12:00",
		"9999-12-31 23:59",
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
	RUN(only_what_any_reader_can_take_is_json);
	RUN(json_depth_is_limited);
	RUN(json_size_and_memory_are_limited);
	RUN(json_is_written);
	RUN(what_a_node_says_goes_on_unchanged);
	RUN(most_agree);
	RUN(touching_is_agreeing);
	RUN(extremes_are_survived);
	RUN(times_are_read);
	RUN(other_texts_are_not);
	return check_result();
}
