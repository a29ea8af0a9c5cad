// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/ctl/json.h"
#include <stdbool.h>
#include <stdlib.h>
#include "tools/ctl/text.h"

#define DEPTH_MAX 32

void json_add(json_t *object, const char *name, json_t *value)
{
	(void)json_object_set_new(object, name, value ? value : json_null());
}

json_t *json_ns(uint64_t ns)
{
	return ns == UINT64_MAX ? json_null() : json_integer((json_int_t)ns);
}

json_t *json_bytes(const void *bytes, size_t n)
{
	const unsigned char *s = bytes;
	char *utf8 = allocate(2 * n);
	size_t len = 0;
	json_t *string;

	for (size_t i = 0; i < n; i++) {
		if (s[i] >= 0x80)
			utf8[len++] = (char)(0xc0 | s[i] >> 6);
		utf8[len++] = (char)(s[i] < 0x80 ? s[i] : 0x80 | (s[i] & 0x3f));
	}
	string = json_stringn_nocheck(utf8, len);
	free(utf8);
	return string;
}

static bool is_deep(json_t *value, unsigned depth)
{
	const char *name;
	size_t index;
	json_t *member;

	if (depth > DEPTH_MAX)
		return json_is_object(value) || json_is_array(value);
	json_object_foreach (value, name, member)
		if (is_deep(member, depth + 1))
			return true;
	json_array_foreach (value, index, member)
		if (is_deep(member, depth + 1))
			return true;
	return false;
}

json_t *json_said(const char *s, size_t n)
{
	json_t *said = n <= JSON_SAID_MAX ? json_loadb(s, n, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (!json_is_object(said) || is_deep(said, 1)) {
		json_decref(said);
		return NULL;
	}
	return said;
}
