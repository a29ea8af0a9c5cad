/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sleep types of _S5 out of a DSDT's AML, without an interpreter: Name (_S5, Package (n)
 * {typ_a, typ_b, ...}) with constants (ACPI 6.4, 20.2 and 7.4.2). Pure; survives any bytes.
 */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/internal.h"

enum { ZERO_OP = 0x00, ONE_OP = 0x01, NAME_OP = 0x08, BYTE_PREFIX = 0x0a, WORD_PREFIX = 0x0b };
enum { DWORD_PREFIX = 0x0c, PACKAGE_OP = 0x12 };

struct aml {
	const uint8_t *p, *end;
};

static int next_byte(struct aml *a)
{
	return a->p < a->end ? *a->p++ : -ENOENT;
}

/* A constant's low byte; wider constants have it first. */
static int constant(struct aml *a)
{
	int op = next_byte(a), v = op;
	unsigned more = 0;

	if (op == BYTE_PREFIX || op == WORD_PREFIX || op == DWORD_PREFIX) {
		v = next_byte(a);
		more = op == WORD_PREFIX ? 1 : op == DWORD_PREFIX ? 3 : 0;
	} else if (op != ZERO_OP && op != ONE_OP) {
		return -ENOENT;
	}
	while (more-- > 0)
		if (next_byte(a) < 0)
			return -ENOENT;
	return v;
}

/* After the name: PackageOp PkgLength NumElements constants. */
static int package(struct aml a, uint8_t typ[2])
{
	int lead, elements, v;

	if (next_byte(&a) != PACKAGE_OP || (lead = next_byte(&a)) < 0)
		return -ENOENT;
	for (int more = lead >> 6; more > 0; more--)
		if (next_byte(&a) < 0)
			return -ENOENT;
	elements = next_byte(&a);
	if (elements < 1)
		return -ENOENT;
	v = constant(&a);
	if (v < 0 || v > 7)
		return -ENOENT;
	typ[0] = typ[1] = (uint8_t)v;
	if (elements > 1 && (v = constant(&a)) >= 0 && v <= 7)
		typ[1] = (uint8_t)v;
	return 0;
}

int aml_find_s5(const uint8_t *aml, size_t n, uint8_t typ[2])
{
	for (size_t i = 1; i + 4 <= n; i++) {
		bool named = aml[i - 1] == NAME_OP ||
			     (i > 1 && aml[i - 1] == '\\' && aml[i - 2] == NAME_OP);

		if (named && memcmp(&aml[i], "_S5_", 4) == 0 &&
		    package((struct aml){&aml[i + 4], &aml[n]}, typ) == 0)
			return 0;
	}
	return -ENOENT;
}
