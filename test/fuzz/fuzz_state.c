/* build: hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/ioapic.c hv/pic.c hv/irq.c hv/bus.c hv/unit.c hv/state.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile state images. First byte odd: the rest is the image. Else it is a list of changes to a
 * good image of the board, whose checksums are made right again. What units_load accepts is saved
 * again as the same bytes.
 */
#define RIG_BOARD
#include "hv/bus.h"
#include "hv/platform.h"
#include "test/unit/lapic_rig.h"

#define HEADER	32
#define SECTION 40

static uint8_t good[8192], image[8192], again[8192];
static int good_size;

static int save(uint8_t *buf)
{
	struct state_writer w;

	state_writer_init(&w, buf, sizeof(good));
	assert(units_save(&w) == 0);
	return state_finish(&w);
}

static void start(void)
{
	pic_init();
	ioapic_init();
	rig_reset();
	units_reset();
	for (unsigned i = 0; i < RIG_CPUS; i++)
		vlapic_mmio_write(lapic(i), APIC_SVR, 4, 0x1ff);
	good_size = save(good);
	assert(good_size > 0);
}

/* Changes: u16 offset, u8 value, until the input ends. Headers stay, so the sections can be found.
 */
static size_t change(const uint8_t *data, size_t size)
{
	size_t at = HEADER;

	memcpy(image, good, (size_t)good_size);
	for (; size >= 3; data += 3, size -= 3)
		image[(data[0] | data[1] << 8) % (unsigned)good_size] = data[2];
	memcpy(image, good, HEADER);
	while (at < (size_t)good_size) {
		uint64_t n;
		uint32_t crc;

		memcpy(image + at, good + at, SECTION);
		memcpy(&n, image + at + 24, 8);
		crc = crc32c(0, image + at + SECTION, n);
		memcpy(image + at + 20, &crc, 4);
		crc = crc32c(0, image + at, 32);
		memcpy(image + at + 32, &crc, 4);
		at += SECTION + (n + 7) / 8 * 8;
	}
	return (size_t)good_size;
}

/* Whatever was loaded, the board lives. */
static void live(void)
{
	uint64_t val;

	for (unsigned i = 0; i < RIG_CPUS; i++) {
		struct vlapic *l = lapic(i);

		vlapic_sync(l);
		val = (uint64_t)vlapic_pending(l);
		if ((int)val >= 0)
			vlapic_accept(l, (uint8_t)val);
		vlapic_mmio_read(l, APIC_TMCCT, 4, &val);
		vlapic_mmio_write(l, APIC_TDCR, 4, 0xa);
		vlapic_mmio_write(l, APIC_EOI, 4, 0);
		if (vlapic_extint(l))
			(void)pic_intack();
	}
	rig_jump(node_now().v + 1000000);
	rig_run_timers();
	for (unsigned pin = 0; pin < GSI_COUNT; pin++) {
		irq_set(pin, true);
		irq_set(pin, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[STATE_TEXT_MAX];
	struct state_fault f;
	size_t n;
	int err;

	if (!good_size)
		start();
	if (size == 0 || size > sizeof(image))
		return 0;
	if (data[0] & 1) {
		n = size - 1;
		memcpy(image, data + 1, n);
	} else {
		n = change(data + 1, size - 1);
	}
	err = units_load(image, n, &f);
	state_describe(&f, text, sizeof(text));
	assert(!strstr(text, "no error") == (err != STATE_OK));
	if (err == STATE_OK) {
		assert(save(again) == (int)n || (data[0] & 1));
		assert(n != (size_t)good_size || memcmp(image, again, n) == 0);
	}
	live();
	assert(units_load(good, (size_t)good_size, &f) == STATE_OK);
	return 0;
}
