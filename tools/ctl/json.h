/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON, by libjansson: bytes that need not be text, and what nodes say. Pure. */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_SAID_MAX (512 << 10) /* a node's whole log, every byte escaped, is shorter */

/* Adds a member to an object. NULL, as json_string makes of NULL: null. */
void json_add(json_t *object, const char *name, json_t *value);
json_t *json_ns(uint64_t ns); /* below 2^63; UINT64_MAX (never, or not known): null */

/* A string of any bytes: each is the character of its number, U+0000 to U+00FF. */
json_t *json_bytes(const void *bytes, size_t n);

/* What a node says, if that is one object (RFC 8259) which any reader can take: no longer than
 * JSON_SAID_MAX, nested no deeper than 32, no name twice in an object, integers from -2^63 to
 * 2^63 - 1, valid UTF-8 without NUL. Else NULL. The tree has at most 100 times the text's size. */
json_t *json_said(const char *s, size_t n);
