// SPDX-License-Identifier: GPL-2.0-or-later
/* Numbers, names, addresses. */
#include <string.h>
#include "boot/config_internal.h"

int config_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool config_number(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	unsigned base = 10;
	uint64_t v = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (!*s)
		return false;
	for (; *s; s++) {
		int d = config_hex_digit(*s);

		if (d < 0 || (unsigned)d >= base || v > (UINT64_MAX - (unsigned)d) / base)
			return false;
		v = v * base + (unsigned)d;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool config_u32(const char *s, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (!config_number(s, min, max, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

bool config_port(const char *s, uint16_t *port)
{
	uint64_t v;

	if (!config_number(s, 1, 65535, &v))
		return false;
	*port = (uint16_t)v;
	return true;
}

bool config_choice(const char *s, const char *const names[], unsigned n, uint32_t *out)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(s, names[i]) != 0)
			continue;
		*out = i;
		return true;
	}
	return false;
}

/* Four decimal bytes with dots, then `stop` (or the text's end, which every address may have);
 * `*rest` is what follows. 0.0.0.0 and groups are no node's addresses. */
bool config_ip(const char *s, char stop, uint32_t *ip, const char **rest)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned byte = 0, digits = 0;

		for (; *s >= '0' && *s <= '9' && digits < 4; s++, digits++)
			byte = byte * 10 + (unsigned)(*s - '0');
		if (!digits || byte > 255 || (i < 3 && *s++ != '.'))
			return false;
		v = v << 8 | byte;
	}
	if ((*s && *s != stop) || v >> 24 == 0 || v >> 28 >= 0xe)
		return false;
	*rest = *s ? s + 1 : NULL;
	*ip = v;
	return true;
}
