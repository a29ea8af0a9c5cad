// SPDX-License-Identifier: GPL-2.0-or-later
/* ahci0, nvme1:2, name:golden, nbd://10.0.0.1/x: where an image or a store lies. Pure. */
#include <string.h>
#include "boot/config.h"

#define NBD_PORT 10809

/* 1 to 3 digits; what follows, NULL if there is none. */
static const char *number(const char *s, uint32_t *n)
{
	const char *from = s;

	for (*n = 0; *s >= '0' && *s <= '9' && s - from < 3; s++)
		*n = *n * 10 + (uint32_t)(*s - '0');
	return s == from ? NULL : s;
}

static bool parse_drive(const char *text, struct disk_place *p)
{
	static const char kinds[][5] = {"ahci", "nvme", "ide"};
	const char *end = NULL;
	uint32_t n;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !end; i++)
		if (strncmp(text, kinds[i], strlen(kinds[i])) == 0)
			end = number(text + strlen(kinds[i]), &n);
	if (!end)
		return false;
	memcpy(p->drive, text, (size_t)(end - text));
	if (!*end)
		return true;
	if (*end++ != ':')
		return false;
	end = number(end, &p->partition);
	return end && !*end && p->partition;
}

/* ADDRESS[:PORT]/EXPORT */
static bool parse_nbd(const char *text, struct disk_place *p)
{
	const char *slash = strchr(text, '/'), *port;
	char host[24] = "";
	uint32_t n = 0;

	if (!slash || (size_t)(slash - text) >= sizeof host || strlen(slash) > sizeof p->export)
		return false;
	memcpy(host, text, (size_t)(slash - text));
	if (!config_ip(host, ':', &p->ip, &port))
		return false;
	p->port = NBD_PORT;
	if (port) {
		for (; *port >= '0' && *port <= '9' && n <= 65535; port++)
			n = n * 10 + (uint32_t)(*port - '0');
		if (*port || n < 1 || n > 65535)
			return false;
		p->port = n;
	}
	memcpy(p->export, slash + 1, strlen(slash + 1));
	return true;
}

bool disk_place_parse(const char *text, struct disk_place *p)
{
	size_t n = strlen(text);

	memset(p, 0, sizeof *p);
	if (strncmp(text, "nbd://", 6) == 0)
		return parse_nbd(text + 6, p);
	if (strncmp(text, "name:", 5) != 0)
		return parse_drive(text, p);
	if (n == 5 || n - 5 >= sizeof p->name)
		return false;
	memcpy(p->name, text + 5, n - 5);
	return true;
}
