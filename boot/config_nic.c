// SPDX-License-Identifier: GPL-2.0-or-later
/* nic.WHICH=ROLE: a card by its MAC or its place, and whose it is. */
#include <string.h>
#include "boot/config_internal.h"

/* 1 to `max` hexadecimal digits, then `stop`; what follows. */
static const char *hex_field(const char *s, unsigned max, char stop, uint8_t *out)
{
	unsigned v = 0, n = 0;

	for (; n < max && *s && *s != stop; s++, n++) {
		int d = config_hex_digit(*s);

		if (d < 0)
			return NULL;
		v = v * 16 + (unsigned)d;
	}
	if (n == 0 || *s != stop)
		return NULL;
	*out = (uint8_t)v;
	return stop ? s + 1 : s;
}

static bool parse_mac(const char *s, struct nic_config *nic)
{
	char separator = strchr(s, '-') ? '-' : ':';

	for (unsigned i = 0; i < 6; i++) {
		s = hex_field(s, 2, i < 5 ? separator : 0, &nic->mac[i]);
		if (!s)
			return false;
	}
	nic->by_mac = 1;
	return true;
}

static bool parse_bdf(const char *s, struct nic_config *nic)
{
	s = hex_field(s, 2, ':', &nic->bus);
	if (s)
		s = hex_field(s, 2, '.', &nic->dev);
	if (s)
		s = hex_field(s, 1, 0, &nic->fn);
	return s && nic->dev < 32 && nic->fn < 8;
}

static bool same_nic(const struct nic_config *a, const struct nic_config *b)
{
	if (a->by_mac != b->by_mac)
		return false;
	if (a->by_mac)
		return !memcmp(a->mac, b->mac, sizeof a->mac);
	return a->bus == b->bus && a->dev == b->dev && a->fn == b->fn;
}

static bool parse_role(const char *s, uint8_t *role)
{
	static const char *const names[] = {
		[NIC_ROLE_NONE] = "none",
		[NIC_ROLE_CONTROL] = "control",
		[NIC_ROLE_EXPERIMENT] = "experiment",
	};
	uint32_t i;

	if (!config_choice(s, names, sizeof names / sizeof *names, &i))
		return false;
	*role = (uint8_t)i;
	return true;
}

int config_set_nic(struct config *c, const struct source *s, const char *which, const char *value)
{
	struct nic_config nic = {0};

	if (!parse_bdf(which, &nic)) {
		memset(&nic, 0, sizeof nic);
		if (!parse_mac(which, &nic))
			return config_fail(s, "bad key nic.%.*s: use nic.MAC or nic.BB:DD.F",
					   CONFIG_SHOWN, which);
	}
	if (!parse_role(value, &nic.role))
		return config_fail(s, "bad nic role %.*s: use control, experiment or none",
				   CONFIG_SHOWN, value);
	for (uint32_t i = 0; i < c->n_nics; i++) {
		if (!same_nic(&c->nics[i], &nic))
			continue;
		if (i < s->n_nics_before)
			return 0;
		return config_fail(s, "nic.%.*s given twice: remove one", CONFIG_SHOWN, which);
	}
	if (c->n_nics == HANDOFF_MAX_NICS)
		return config_fail(s, "more than %u nic keys: remove some", HANDOFF_MAX_NICS);
	c->nics[c->n_nics++] = nic;
	return 1;
}
