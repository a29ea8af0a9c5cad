/* build: hv/machine.c hv/clock_unit.c hv/vcpu_unit.c hv/vcpu_section.c arch/x86_64/fpu_area.c vmx/check.c hv/msr.c hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/ioapic.c hv/pic.c hv/irq.c hv/pit.c hv/hpet.c hv/pm.c hv/rtc.c hv/rtc_date.c hv/vuart.c hv/ports.c hv/pci.c hv/virtqueue.c hv/pass.c hv/pass_irq.c hv/virtio.c hv/msix.c hv/vblk.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * docs/state-format.md against the code: every kind of unit in hv/ has its table there, in the
 * version that is written, and the table's fields are the payload's bytes.
 */
#include <ctype.h>
#include <glob.h>
#include "test/unit/check.h"
#include "test/unit/whole_board.h"

#define DOCUMENT   "docs/state-format.md"
#define LINES_MAX  600
#define FIELDS_MAX 256

static char lines[LINES_MAX][512];
static unsigned n_lines;
static uint8_t image[IMAGE_MAX];
static int image_size;

static void read_document(void)
{
	FILE *f = fopen(DOCUMENT, "r");

	if (!CHECK(f != NULL))
		return;
	while (n_lines < LINES_MAX && fgets(lines[n_lines], sizeof(lines[0]), f))
		n_lines++;
	CHECK(n_lines < LINES_MAX);
	(void)fclose(f);
}

/* `lapic 3` is one of the `lapic N`. */
static void kind_of(const char *unit, char *kind, size_t size)
{
	const char *space = strchr(unit, ' ');

	(void)snprintf(kind, size, "%.*s%s", space ? (int)(space - unit) : (int)strlen(unit), unit,
		       space ? " N" : "");
}

/* The line behind a unit's heading, 0: there is none with this version. */
static unsigned section_lines(const struct unit *u)
{
	char kind[32], heading[64];

	kind_of(u->name, kind, sizeof(kind));
	(void)snprintf(heading, sizeof(heading), "### `%s`, version %u\n", kind, u->version);
	for (unsigned i = 0; i < n_lines; i++)
		if (strcmp(lines[i], heading) == 0)
			return i + 1;
	return 0;
}

/* --- a payload, read by its table --- */

struct walk {
	const uint8_t *p;
	size_t size, pos;
	struct {
		char name[32];
		uint64_t val;
	} field[FIELDS_MAX];
	unsigned n;
	bool open; /* what follows can't be told from the payload */
};

/* A count: digits, or a field that came before. */
static bool count_of(struct walk *w, const char *text, size_t len, uint64_t *count)
{
	if (isdigit((unsigned char)*text)) {
		*count = strtoull(text, NULL, 10);
		return true;
	}
	for (unsigned i = w->n; i-- > 0;) {
		if (strlen(w->field[i].name) == len && strncmp(w->field[i].name, text, len) == 0) {
			*count = w->field[i].val;
			return true;
		}
	}
	return false;
}

/* `u32[24]` called `name` */
static void take_field(struct walk *w, const char *type, const char *name, size_t name_len)
{
	unsigned bytes = (unsigned)strtoul(type + 1, NULL, 10) / 8;
	const char *bracket = strchr(type, '[');
	uint64_t count = 1;

	CHECK(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
	if (bracket && bracket < strchr(type, '`') &&
	    !count_of(w, bracket + 1, strcspn(bracket + 1, "]"), &count)) {
		w->open = CHECK(strncmp(bracket, "[writable]", 10) == 0);
		return;
	}
	if (!CHECK(w->pos + bytes * count <= w->size)) {
		printf("  at %.*s\n", (int)name_len, name);
		w->open = true;
		return;
	}
	if (CHECK(w->n < FIELDS_MAX && name_len < sizeof(w->field[0].name))) {
		memcpy(w->field[w->n].name, name, name_len);
		memcpy(&w->field[w->n].val, w->p + w->pos, bytes);
		w->n++;
	}
	w->pos += bytes * count;
}

/* The rows from `line`, until the table or a group ends. Returns the line behind. */
static unsigned take_rows(struct walk *w, unsigned line)
{
	while (line < n_lines && !w->open && strncmp(lines[line], "| `", 3) == 0) {
		const char *type = lines[line] + 3, *name = strchr(type, '|');
		unsigned end = line + 1;
		uint64_t times;

		if (*type == '}')
			return line + 1;
		if (*type == 'u') {
			name += 2;
			take_field(w, type, name, strcspn(name, " |"));
			line++;
			continue;
		}
		if (!CHECK(count_of(w, type, strcspn(type, " "), &times) && strstr(type, "{`")))
			return n_lines;
		while (!times && end < n_lines && strncmp(lines[end - 1], "| `}`", 5) != 0)
			end++;
		for (; times && !w->open; times--)
			end = take_rows(w, line + 1);
		line = end;
	}
	return line;
}

static void check_unit(const struct unit *u)
{
	size_t at = section_find(image, image_size, u->name);
	unsigned line = section_lines(u);
	struct walk w = {.p = section_payload(image, at), .size = section_bytes(image, at)};

	if (!CHECK(line > 0)) {
		printf("  " DOCUMENT " has no version %u of %s\n", u->version, u->name);
		return;
	}
	while (line < n_lines && strncmp(lines[line], "| `", 3) != 0)
		line++;
	take_rows(&w, line);
	if (!w.open && !CHECK_EQ(w.pos, w.size))
		printf("  %s: its table does not have all of its bytes\n", u->name);
}

static void every_table_is_the_payload(void)
{
	image_size = image_save(image);
	for (unsigned i = 0; i < unit_count(); i++)
		check_unit(unit_at(i));
}

static void every_table_has_its_unit(void)
{
	for (unsigned i = 0; i < n_lines; i++) {
		bool found = strncmp(lines[i], "### `", 5) != 0;

		for (unsigned k = 0; !found && k < unit_count(); k++)
			found = section_lines(unit_at(k)) == i + 1;
		if (!CHECK(found))
			printf("  %s", lines[i]);
	}
}

/* Each call of unit_register in hv/ but its definition is of a kind that is on this board. */
static void every_kind_of_unit_is_here(void)
{
	unsigned calls = 0, kinds = 0;
	glob_t files;

	if (!CHECK(glob("hv/*.c", 0, NULL, &files) == 0))
		return;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		FILE *f = fopen(files.gl_pathv[i], "r");
		char line[512];

		while (f && fgets(line, sizeof(line), f))
			calls += strstr(line, "unit_register(&") != NULL;
		if (f)
			(void)fclose(f);
	}
	globfree(&files);
	for (unsigned i = 0; i < unit_count(); i++) {
		const char *space = strchr(unit_at(i)->name, ' ');

		kinds += !space || space[1] == '0';
	}
	CHECK_EQ(calls, kinds);
}

int main(void)
{
	whole_start();
	read_document();
	RUN(every_table_is_the_payload);
	RUN(every_table_has_its_unit);
	RUN(every_kind_of_unit_is_here);
	return check_result();
}
