/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the configuration's reader (boot/config.h) share. Pure. */
#pragma once
#include "boot/config.h"

#define CONFIG_SHOWN 24 /* characters of a key or value repeated in an error line */

/* Where the text under the parser comes from. */
struct source {
	const char *p, *end;
	unsigned line;	   /* 0: load options */
	uint32_t seen;	   /* keys met in this source, for duplicates */
	uint32_t override; /* keys of an earlier source, which win */
	uint32_t n_nics_before;
	struct config_error *e;
};

/* The error's line; -1. */
__attribute__((format(printf, 2, 3))) int config_fail(const struct source *s, const char *fmt, ...);

/* --- words (config_text.c) --- */

bool config_blank(char c);
void config_skip_blanks(struct source *s);
/* One word (up to a blank) or, with `line`, the rest of the text less trailing blanks and comment.
 * "..." keeps blanks and #, \" is a quote itself; other backslashes stand for themselves (they
 * separate directories in file names). -1: an error. */
int config_take(struct source *s, bool line, char *out, size_t size);

/* --- values (config_value.c). False: not one, and nothing is changed --- */

/* Decimal, or hexadecimal with 0x, from min to max. */
bool config_number(const char *s, uint64_t min, uint64_t max, uint64_t *out);
bool config_u32(const char *s, uint32_t min, uint32_t max, uint32_t *out);
/* Of TCP, or of the processor's I/O: 1 to 65535. */
bool config_port(const char *s, uint16_t *port);
int config_hex_digit(char c); /* -1: none */
/* Which of these it is. */
bool config_choice(const char *s, const char *const names[], unsigned n, uint32_t *out);

/* --- keys (config_keys.c, config_nic.c) --- */

struct config_key {
	const char *name;
	bool (*set)(struct config *, const char *value);
	const char *use; /* what a right value looks like */
	bool secret;	 /* never shown */
};
extern const struct config_key config_keys[];
extern const unsigned config_n_keys; /* at most 32: config.given has a bit for each */

void config_defaults(struct config *c);
/* nic.WHICH=ROLE. 1: taken, 0: an earlier source has it already, -1: an error. */
int config_set_nic(struct config *c, const struct source *s, const char *which, const char *value);
