// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools/ctl/ctl.h"
#include "tools/ctl/progress.h"

static void say(const char *f, va_list ap)
{
	progress_hide();
	(void)fputs("stasisctl: ", stderr);
	(void)vfprintf(stderr, f, ap);
	(void)fputc('\n', stderr);
}

void warn(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	say(f, ap);
	va_end(ap);
}

static void say_json(const char *f, va_list ap)
{
	json_t *o = json_begin(NULL);
	char what[1024];

	(void)vsnprintf(what, sizeof(what), f, ap);
	json_add(o, "error", json_bytes(what, strlen(what)));
	put_json(o);
}

static void say_both(const char *f, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	say(f, ap);
	if (options.json)
		say_json(f, again);
	va_end(again);
}

void die(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	say_both(f, ap);
	va_end(ap);
	exit(EXIT_FAILED);
}

void die_usage(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	say_both(f, ap);
	va_end(ap);
	exit(EXIT_USAGE);
}

static void end_line(bool well)
{
	if (!well || putchar('\n') == EOF || fflush(stdout) != 0) {
		warn("the output can't be written: %s", strerror(errno));
		exit(EXIT_FAILED);
	}
}

void put_line(struct text *t)
{
	progress_hide();
	end_line(fwrite(t->s, 1, t->len, stdout) == t->len);
	text_clear(t);
}

json_t *json_begin(const char *command)
{
	json_t *o = json_object();

	json_add(o, "version", json_integer(CTL_JSON_VERSION));
	if (command)
		json_add(o, "command", json_string(command));
	return o;
}

void put_json(json_t *object)
{
	progress_hide();
	end_line(json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) == 0);
	json_decref(object);
}

const char *duration_text(char buf[DURATION_TEXT], uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{NSEC_PER_SEC, "s"}, {NSEC_PER_MSEC, "ms"}, {1000, "us"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t thousandths = ns / (units[i].ns / 1000);

		if (ns < units[i].ns)
			continue;
		if (thousandths % 1000)
			(void)snprintf(buf, DURATION_TEXT, "%" PRIu64 ".%03" PRIu64 " %s",
				       thousandths / 1000, thousandths % 1000, units[i].name);
		else
			(void)snprintf(buf, DURATION_TEXT, "%" PRIu64 " %s", thousandths / 1000,
				       units[i].name);
		return buf;
	}
	(void)snprintf(buf, DURATION_TEXT, "%" PRIu64 " ns", ns);
	return buf;
}
