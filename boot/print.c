// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/print.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct out {
	char *buf;
	size_t size, n;
	va_list ap;
};

static void put(struct out *o, char c)
{
	if (o->n + 1 < o->size)
		o->buf[o->n] = c;
	o->n++;
}

struct spec {
	bool zero;
	int width, precision; /* precision: -1 = none */
	bool wide;	      /* l, ll, z */
};

/* The analyzer loses track of a va_list that was copied.
 * NOLINTBEGIN(clang-analyzer-valist.Uninitialized) */
static const char *parse_spec(const char *f, struct spec *s, struct out *o)
{
	*s = (struct spec){.precision = -1};
	if (*f == '0') {
		s->zero = true;
		f++;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		s->width = s->width * 10 + (*f - '0');
	if (f[0] == '.' && f[1] == '*') {
		s->precision = va_arg(o->ap, int);
		f += 2;
	}
	for (; *f == 'l' || *f == 'z'; f++)
		s->wide = true;
	return f;
}

static void put_padded(struct out *o, const struct spec *s, const char *text, size_t n)
{
	for (size_t i = n; i < (size_t)s->width; i++)
		put(o, s->zero ? '0' : ' ');
	for (size_t i = 0; i < n; i++)
		put(o, text[i]);
}

static void put_number(struct out *o, const struct spec *s, uint64_t v, unsigned base, bool minus)
{
	char digits[24];
	size_t i = sizeof digits;

	do {
		digits[--i] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (minus)
		digits[--i] = '-';
	put_padded(o, s, digits + i, sizeof digits - i);
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
	size_t n = 0;

	while (text[n] && (s->precision < 0 || n < (size_t)s->precision))
		n++;
	put_padded(o, s, text, n);
}

static void convert(struct out *o, char how, const struct spec *s)
{
	int64_t d;
	char c;

	switch (how) {
	case 's':
		put_string(o, s, va_arg(o->ap, const char *));
		return;
	case 'c':
		c = (char)va_arg(o->ap, int);
		put_padded(o, s, &c, 1);
		return;
	case 'd':
		d = s->wide ? va_arg(o->ap, int64_t) : va_arg(o->ap, int);
		put_number(o, s, d < 0 ? 0 - (uint64_t)d : (uint64_t)d, 10, d < 0);
		return;
	case 'u':
	case 'x':
		put_number(o, s, s->wide ? va_arg(o->ap, uint64_t) : va_arg(o->ap, unsigned),
			   how == 'u' ? 10 : 16, false);
		return;
	default:
		put(o, how);
	}
}

/* NOLINTEND(clang-analyzer-valist.Uninitialized) */

int vsniprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = {.buf = buf, .size = size};
	struct spec s;

	va_copy(o.ap, ap);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(&o, *fmt);
			continue;
		}
		fmt = parse_spec(fmt + 1, &s, &o);
		if (!*fmt)
			break;
		convert(&o, *fmt, &s);
	}
	va_end(o.ap);
	if (size)
		buf[o.n < size ? o.n : size - 1] = 0;
	return (int)o.n;
}

int sniprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsniprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
