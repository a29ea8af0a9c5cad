/* build: arch/x86_64/aml_s5.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sleep types of _S5 are found in the shapes that firmware writes, and nowhere else. */
#include <stdlib.h>
#include "arch/x86_64/internal.h"
#include "test/unit/check.h"

#define FIND(...)                                            \
	({                                                   \
		static const uint8_t aml_[] = {__VA_ARGS__}; \
		typ[0] = typ[1] = 0xee;                      \
		aml_find_s5(aml_, sizeof(aml_), typ);        \
	})
#define S5 '_', 'S', '5', '_'

static uint8_t typ[2];

static void finds_byte_constants(void)
{
	CHECK(FIND(0x10, 0x08, S5, 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x03, 0x00, 0x00) == 0);
	CHECK_EQ(typ[0], 5);
	CHECK_EQ(typ[1], 3);
}

static void finds_zero_and_one(void)
{
	CHECK(FIND(0x08, S5, 0x12, 0x06, 0x04, 0x00, 0x01, 0x00, 0x00) == 0);
	CHECK_EQ(typ[0], 0);
	CHECK_EQ(typ[1], 1);
}

static void finds_root_name_and_long_package(void)
{
	CHECK(FIND(0x08, '\\', S5, 0x12, 0x4a, 0x00, 0x02, 0x0b, 0x07, 0x00, 0x0c, 2, 0, 0, 0) ==
	      0);
	CHECK_EQ(typ[0], 7);
	CHECK_EQ(typ[1], 2);
}

static void one_element_serves_both(void)
{
	CHECK(FIND(0x08, S5, 0x12, 0x04, 0x01, 0x0a, 0x05) == 0);
	CHECK_EQ(typ[0], 5);
	CHECK_EQ(typ[1], 5);
}

static void skips_a_use_of_the_name(void)
{
	CHECK(FIND(0x70, S5, 0x60, 0x08, S5, 0x12, 0x04, 0x01, 0x0a, 0x06) == 0);
	CHECK_EQ(typ[0], 6);
}

static void refuses_what_is_no_sleep_type(void)
{
	CHECK(FIND(0x08, S5, 0x12, 0x04, 0x01, 0x0a, 0x08) < 0);
	CHECK(FIND(0x08, S5, 0x12, 0x04, 0x00, 0x0a, 0x05) < 0);
	CHECK(FIND(0x08, S5, 0x11, 0x04, 0x01, 0x0a, 0x05) < 0);
	CHECK(FIND(S5, 0x12, 0x04, 0x01, 0x0a, 0x05) < 0);
}

/* Every prefix in an allocation of its own size, under the address sanitizer. */
static void survives_truncation(void)
{
	static const uint8_t whole[] = {0x08, S5, 0x12, 0xc8, 1, 2,    3, 4,
					0x0c, 5,  0,	0,    0, 0x0a, 3};

	for (size_t n = 0; n < sizeof(whole); n++) {
		uint8_t *part = malloc(n ? n : 1);

		memcpy(part, whole, n);
		(void)aml_find_s5(part, n, typ);
		free(part);
	}
	CHECK(aml_find_s5(whole, sizeof(whole), typ) == 0);
}

int main(void)
{
	RUN(finds_byte_constants);
	RUN(finds_zero_and_one);
	RUN(finds_root_name_and_long_package);
	RUN(one_element_serves_both);
	RUN(skips_a_use_of_the_name);
	RUN(refuses_what_is_no_sleep_type);
	RUN(survives_truncation);
	return check_result();
}
