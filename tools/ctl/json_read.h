/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON from a node (RFC 8259): is it one well-formed object, and what are its members? Pure;
 * survives any bytes, allocates nothing. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exactly one object, nested no deeper than 32, and nothing behind it but white space. */
bool json_is_object(const char *s, size_t n);

/* Members of the outermost object of a text for which json_is_object holds. False: there is none
 * of that name and kind; a number must be an integer from 0 to UINT64_MAX, a string must fit. What
 * is not printable ASCII in a string becomes '?'. */
bool json_read_u64(const char *s, size_t n, const char *key, uint64_t *value);
bool json_read_string(const char *s, size_t n, const char *key, char *value, size_t size);
