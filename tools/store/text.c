// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <unistd.h>
#include "tools/store/tool.h"

void print_json(json_t *members)
{
	json_t *o = json_pack("{s:i}", "version", STORE_JSON_VERSION);

	(void)json_object_update(o, members);
	(void)json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
	json_decref(members);
}

json_t *json_text(char *text)
{
	json_t *t = json_string(text);

	if (t)
		return t;
	make_printable(text);
	return json_string(text);
}

void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

const char *size_text(char buf[SIZE_TEXT], uint64_t bytes)
{
	static const char unit[][4] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned u = 0;
	uint64_t tenths = bytes * 10;

	if (bytes > UINT64_MAX / 10)
		tenths = UINT64_MAX;
	while (tenths >= 10240 && u + 1 < sizeof(unit) / sizeof(unit[0])) {
		tenths /= 1024;
		u++;
	}
	if (u)
		(void)snprintf(buf, SIZE_TEXT, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10,
			       tenths % 10, unit[u]);
	else
		(void)snprintf(buf, SIZE_TEXT, "%" PRIu64 " B", bytes);
	return buf;
}

void progress_begin(struct progress *p, const struct options *o, const char *what, uint64_t total)
{
	*p = (struct progress){.what = what,
			       .total = total ? total : 1,
			       .shown = -1,
			       .on = o->progress || isatty(STDERR_FILENO)};
	progress_at(p, 0);
}

void progress_at(struct progress *p, uint64_t done)
{
	static const char bar[] = "########################################";
	int percent = done >= p->total ? 100 : (int)(done / (p->total / 100 + 1));
	char size[2][SIZE_TEXT];

	p->done = done;
	if (!p->on || percent == p->shown)
		return;
	p->shown = percent;
	(void)fprintf(stderr, "\r%-10s [%-40.*s] %3d %%  %s of %s  ", p->what, percent * 40 / 100,
		      bar, percent, size_text(size[0], done), size_text(size[1], p->total));
}

void progress_end(struct progress *p)
{
	progress_at(p, p->total);
	if (p->on)
		(void)fputc('\n', stderr);
}
