// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/lineedit.h"
#include <string.h>
#include "hv/fmt.h"

#define CTRL(c) ((c)&0x1f)
#define ESC	0x1b
#define DEL	0x7f

static void emits(const struct lineedit *e, const char *s)
{
	e->emit(s, strlen(s));
}

void lineedit_redraw(struct lineedit *e)
{
	char back[16];

	emits(e, "\r");
	emits(e, e->prompt);
	e->emit(e->line, e->len);
	emits(e, "\x1b[K");
	if (e->pos < e->len) {
		fmt(back, sizeof(back), "\x1b[%uD", (unsigned)(e->len - e->pos));
		emits(e, back);
	}
}

void lineedit_start(struct lineedit *e)
{
	e->len = e->pos = 0;
	e->line[0] = 0;
	e->browse = 0;
	e->escape_len = 0;
	lineedit_redraw(e);
}

static void set_line(struct lineedit *e, const char *s)
{
	e->len = strlen(s);
	memmove(e->line, s, e->len + 1);
	e->pos = e->len;
	lineedit_redraw(e);
}

static void insert(struct lineedit *e, const char *s, size_t n)
{
	if (e->len + n >= LINE_SIZE)
		return;
	memmove(e->line + e->pos + n, e->line + e->pos, e->len - e->pos + 1);
	memcpy(e->line + e->pos, s, n);
	e->len += n;
	e->pos += n;
	if (e->pos == e->len)
		e->emit(s, n);
	else
		lineedit_redraw(e);
}

/* Remove the bytes [from, to). */
static void cut(struct lineedit *e, size_t from, size_t to)
{
	if (from >= to)
		return;
	memmove(e->line + from, e->line + to, e->len - to + 1);
	e->len -= to - from;
	e->pos = from;
	lineedit_redraw(e);
}

static size_t word_start(const struct lineedit *e)
{
	size_t p = e->pos;

	while (p > 0 && e->line[p - 1] == ' ')
		p--;
	while (p > 0 && e->line[p - 1] != ' ')
		p--;
	return p;
}

static void browse(struct lineedit *e, int step)
{
	unsigned to = e->browse + (unsigned)step;

	if (to > e->entries) /* also below zero */
		return;
	if (e->browse == 0)
		memcpy(e->typed, e->line, sizeof(e->typed));
	e->browse = to;
	set_line(e, to == 0 ? e->typed : e->history[e->entries - to]);
}

static void remember(struct lineedit *e)
{
	if (e->len == 0 || (e->entries && strcmp(e->history[e->entries - 1], e->line) == 0))
		return;
	if (e->entries == HISTORY_SIZE) {
		memmove(e->history[0], e->history[1], sizeof(e->history) - sizeof(e->history[0]));
		e->entries--;
	}
	memcpy(e->history[e->entries++], e->line, LINE_SIZE);
}

static void move(struct lineedit *e, size_t to)
{
	if (to <= e->len) {
		e->pos = to;
		lineedit_redraw(e);
	}
}

/* ESC [ A..D, H, F, 1~, 3~, 4~ and the ESC O forms. */
static void escape(struct lineedit *e, uint8_t byte)
{
	e->escape[e->escape_len++ & 3] = byte;
	if (e->escape_len == 2 && (byte == '[' || byte == 'O'))
		return;
	if (e->escape_len == 3 && byte >= '0' && byte <= '9')
		return;
	if (e->escape_len == 4 && byte == '~')
		byte = e->escape[2] == '3'			    ? '~'
		       : e->escape[2] == '1' || e->escape[2] == '7' ? 'H'
								    : 'F';
	e->escape_len = 0;
	switch (byte) {
	case 'A':
		browse(e, 1);
		break;
	case 'B':
		browse(e, -1);
		break;
	case 'C':
		move(e, e->pos + 1);
		break;
	case 'D':
		move(e, e->pos - 1);
		break;
	case 'H':
		move(e, 0);
		break;
	case 'F':
		move(e, e->len);
		break;
	case '~':
		cut(e, e->pos, e->pos < e->len ? e->pos + 1 : e->pos);
		break;
	default:
		break;
	}
}

static void complete(struct lineedit *e)
{
	const char *rest = e->complete ? e->complete(e->line, e->pos) : NULL;

	if (rest)
		insert(e, rest, strlen(rest));
}

static void control(struct lineedit *e, uint8_t byte)
{
	switch (byte) {
	case CTRL('A'):
		move(e, 0);
		break;
	case CTRL('B'):
		move(e, e->pos - 1);
		break;
	case CTRL('C'):
		emits(e, "^C\r\n");
		lineedit_start(e);
		break;
	case CTRL('D'):
		cut(e, e->pos, e->pos < e->len ? e->pos + 1 : e->pos);
		break;
	case CTRL('E'):
		move(e, e->len);
		break;
	case CTRL('F'):
		move(e, e->pos + 1);
		break;
	case CTRL('H'):
	case DEL:
		cut(e, e->pos ? e->pos - 1 : 0, e->pos);
		break;
	case CTRL('I'):
		complete(e);
		break;
	case CTRL('K'):
		e->len = e->pos;
		e->line[e->len] = 0;
		lineedit_redraw(e);
		break;
	case CTRL('L'):
		emits(e, "\x1b[H\x1b[J");
		lineedit_redraw(e);
		break;
	case CTRL('N'):
		browse(e, -1);
		break;
	case CTRL('P'):
		browse(e, 1);
		break;
	case CTRL('U'):
		cut(e, 0, e->pos);
		break;
	case CTRL('W'):
		cut(e, word_start(e), e->pos);
		break;
	default:
		break;
	}
}

bool lineedit_feed(struct lineedit *e, uint8_t byte)
{
	uint8_t before = e->last;

	e->last = byte;
	if (e->escape_len) {
		escape(e, byte);
	} else if (byte == ESC) {
		e->escape[0] = byte;
		e->escape_len = 1;
	} else if (byte == '\r' || (byte == '\n' && before != '\r')) {
		emits(e, "\r\n");
		remember(e);
		return true;
	} else if (byte >= 0x20 && byte != DEL) {
		char c = (char)byte;

		insert(e, &c, 1);
	} else {
		control(e, byte);
	}
	return false;
}
