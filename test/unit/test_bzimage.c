// SPDX-License-Identifier: GPL-2.0-or-later
/* build: boot/bzimage.c */
#include "boot/bzimage.h"
#include "test/unit/check.h"

/* Offsets of boot.rst, on purpose not the structure that the code under test uses. */
enum {
	SETUP_SECTS = 0x1f1,
	SYSSIZE = 0x1f4,
	BOOT_FLAG = 0x1fe,
	HEADER = 0x202,
	VERSION = 0x206,
	LOADFLAGS = 0x211,
	INITRD_ADDR_MAX = 0x22c,
	KERNEL_ALIGNMENT = 0x230,
	RELOCATABLE = 0x234,
	CMDLINE_SIZE = 0x238,
	PAYLOAD_OFFSET = 0x248,
	PAYLOAD_LENGTH = 0x24c,
	PREF_ADDRESS = 0x258,
	INIT_SIZE = 0x260,
};

#define SECTS	  3
#define SETUP	  ((SECTS + 1) * 512)
#define SYS_BYTES 0x10000

static uint8_t image[SETUP + SYS_BYTES];
static struct bzimage b;
static const char *error;

static void put(unsigned at, unsigned bytes, uint64_t v)
{
	for (; bytes; bytes--, v >>= 8)
		image[at++] = (uint8_t)v;
}

static void good_image(void)
{
	memset(image, 0, sizeof image);
	put(SETUP_SECTS, 1, SECTS);
	put(SYSSIZE, 4, SYS_BYTES / 16);
	put(BOOT_FLAG, 2, 0xaa55);
	memcpy(image + HEADER, "HdrS", 4);
	put(VERSION, 2, 0x20f);
	put(LOADFLAGS, 1, 1);
	put(INITRD_ADDR_MAX, 4, 0x7fffffff);
	put(KERNEL_ALIGNMENT, 4, 0x200000);
	put(RELOCATABLE, 1, 1);
	put(CMDLINE_SIZE, 4, 2047);
	put(PAYLOAD_OFFSET, 4, 0x100);
	put(PAYLOAD_LENGTH, 4, 0x8000);
	put(PREF_ADDRESS, 8, 0x1000000);
	put(INIT_SIZE, 4, 0x40000);
}

static int check_size(uint64_t file_size)
{
	error = NULL;
	return bzimage_check(image, file_size < sizeof image ? file_size : sizeof image, file_size,
			     &b, &error);
}

static void a_good_image_is_taken_with_its_wishes(void)
{
	good_image();
	CHECK(check_size(sizeof image) == 0);
	CHECK_EQ(b.setup_size, SETUP);
	CHECK_EQ(b.payload_size, SYS_BYTES);
	CHECK_EQ(b.pref_address, 0x1000000);
	CHECK_EQ(b.alignment, 0x200000);
	CHECK_EQ(b.init_size, 0x40000);
	CHECK_EQ(b.initrd_addr_max, 0x7fffffff);
	CHECK_EQ(b.cmdline_size, 2047);
	CHECK_EQ(b.version, 0x20f);
}

static void a_signature_after_the_image_is_no_part_of_it(void)
{
	good_image();
	CHECK(check_size(sizeof image + 1500) == 0);
	CHECK_EQ(b.payload_size, SYS_BYTES);
}

static void zero_setup_sects_means_four(void)
{
	good_image();
	put(SETUP_SECTS, 1, 0);
	CHECK(check_size(sizeof image + 512) == 0);
	CHECK_EQ(b.setup_size, 5 * 512);
}

static void a_truncated_image_is_refused_at_every_length(void)
{
	good_image();
	for (uint64_t size = 0; size + 16 <= sizeof image; size++) {
		if (!CHECK(check_size(size) < 0) || !CHECK(error && strstr(error, ": ")))
			return;
	}
	CHECK(strstr(error, "truncated") != NULL);
}

static void wrong_fields_are_refused_by_name(void)
{
	static const struct {
		unsigned at, bytes;
		uint64_t value;
		const char *says;
	} wrong[] = {
		{BOOT_FLAG, 2, 0, "bad magic"},
		{HEADER, 1, 'x', "bad magic"},
		{VERSION, 2, 0x20b, "2.12"},
		{LOADFLAGS, 1, 0, "2.12"},
		{SYSSIZE, 4, 0, "truncated"},
		{SYSSIZE, 4, 0xffffffff, "truncated"},
		{SETUP_SECTS, 1, 255, "truncated"},
		{RELOCATABLE, 1, 0, "relocatable"},
		{KERNEL_ALIGNMENT, 4, 0, "kernel_alignment"},
		{KERNEL_ALIGNMENT, 4, 0x300000, "kernel_alignment"},
		{KERNEL_ALIGNMENT, 4, 0x80000000, "kernel_alignment"},
		{INIT_SIZE, 4, 0x100, "init_size"},
		{INIT_SIZE, 4, 0xffffffff, "init_size"},
		{PAYLOAD_LENGTH, 4, 0xffffffff, "payload_length"},
		{PAYLOAD_OFFSET, 4, SYS_BYTES, "payload_length"},
		{PREF_ADDRESS, 8, 0, "pref_address"},
		{PREF_ADDRESS, 8, 0xffffffff, "pref_address"},
		{PREF_ADDRESS, 8, UINT64_MAX, "pref_address"},
		{CMDLINE_SIZE, 4, 0, "cmdline_size"},
	};

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		good_image();
		put(wrong[i].at, wrong[i].bytes, wrong[i].value);
		if (!CHECK(check_size(sizeof image) < 0 && error && strstr(error, wrong[i].says)))
			printf("  case %zu: %s\n", i, error ? error : "taken");
	}
}

int main(void)
{
	RUN(a_good_image_is_taken_with_its_wishes);
	RUN(a_signature_after_the_image_is_no_part_of_it);
	RUN(zero_setup_sects_means_four);
	RUN(a_truncated_image_is_refused_at_every_length);
	RUN(wrong_fields_are_refused_by_name);
	return check_result();
}
