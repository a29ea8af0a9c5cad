/* build: hv/machine.c hv/clock_unit.c hv/vcpu_unit.c hv/vcpu_section.c arch/x86_64/fpu_area.c vmx/check.c hv/msr.c hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/ioapic.c hv/pic.c hv/irq.c hv/pit.c hv/hpet.c hv/pm.c hv/rtc.c hv/rtc_date.c hv/vuart.c hv/ports.c hv/pci.c hv/virtqueue.c hv/pass.c hv/pass_irq.c hv/virtio.c hv/msix.c hv/vblk.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile state images of a whole node: any bytes, or a good image with changes, sealed or not.
 * What is refused changes nothing and is explained; what is accepted is saved again as the same
 * bytes, and the node lives on with it.
 */
#include "test/unit/whole_board.h"
#include "test/fuzz/fuzz.h"

static uint8_t good[IMAGE_MAX], image[IMAGE_MAX], again[IMAGE_MAX];
static int good_size;

/* Changes of payloads, sealed: u8 section, u16 offset, u8 bytes - 1, the bytes. */
static size_t change_payloads(void)
{
	memcpy(image, good, (size_t)good_size);
	while (fuzz_more()) {
		unsigned n = (unsigned)take(1) % unit_count(), offset = (unsigned)take(2);
		unsigned bytes = 1 + (unsigned)take(1) % 8;
		uint64_t val = take(bytes), size;
		size_t at = IMAGE_HEADER;

		for (; n; n--)
			at = section_next(good, at);
		size = section_bytes(good, at);
		offset %= (unsigned)size;
		if (bytes > size - offset)
			bytes = (unsigned)size - offset;
		section_patch(image, at, offset, val, bytes);
	}
	return (size_t)good_size;
}

/* Any bytes: u24 offset, u8 value. Checksums are made right where the sizes still are. */
static size_t change_anything(bool seal)
{
	memcpy(image, good, (size_t)good_size);
	while (fuzz_more()) {
		size_t offset = take(3) % (size_t)good_size;

		image[offset] = (uint8_t)take(1);
	}
	for (size_t at = IMAGE_HEADER; seal && at < (size_t)good_size;
	     at = section_next(good, at)) {
		if (section_bytes(image, at) <= (size_t)good_size - at - IMAGE_SECTION)
			section_seal(image, at);
	}
	if (seal)
		image_seal(image);
	return (size_t)good_size;
}

/* The node runs with what was loaded. */
static void live(void)
{
	uint64_t val;

	whole_restore();
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
			(void)vlapic_intack(l);
		msr_write(&rig_vcpu[i], MSR_IA32_TSC_ADJUST, 1000);
	}
	for (uint16_t port = 0x40; port <= 0x43; port++)
		(void)bus_io_read(port, 1);
	for (uint16_t reg = 0; reg < 14; reg++) {
		bus_io_write(0x70, 1, reg);
		(void)bus_io_read(0x71, 1);
	}
	for (uint16_t port = 0x3f8; port <= 0x3ff; port++)
		(void)bus_io_read(port, 1);
	for (uint64_t reg = 0; reg < 0x160; reg += 8)
		(void)bus_mmio_read((gpa_t){HPET_BASE + reg}, 8);
	(void)bus_io_read(PM_BASE, 4);
	rig_jump(node_now().v + 1000000);
	rig_run_timers();
	for (unsigned pin = 0; pin < GSI_COUNT; pin++) {
		irq_set(pin, true);
		irq_set(pin, false);
	}
	whole_capture();
}

static void start(void)
{
	whole_start();
	for (unsigned i = 0; i < RIG_CPUS; i++)
		vlapic_mmio_write(lapic(i), APIC_SVR, 4, 0x1ff);
	good_size = image_save(good);
	REQUIRE(good_size > 0);
}

static void check_refusal(const struct state_fault *f, int err)
{
	char text[STATE_TEXT_MAX];

	state_describe(f, text, sizeof(text));
	REQUIRE(f->err == err && strlen(text) > 10 && !strstr(text, "no error"));
	REQUIRE(image_save(again) == good_size && !memcmp(good, again, (size_t)good_size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_fault f;
	size_t n;
	int err;

	if (!good_size)
		start();
	if (size == 0 || size > sizeof(image))
		return 0;
	fuzz_begin(data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		n = change_payloads();
		break;
	case 1:
		n = change_anything(true);
		break;
	case 2:
		n = change_anything(false) - data[0] / 4;
		break;
	default:
		n = size - 1;
		memcpy(image, data + 1, n);
	}
	err = units_load(image, n, &f);
	if (err != STATE_OK) {
		check_refusal(&f, err);
		return 0;
	}
	/* what lies behind an image is not part of it, and sections may come in any order */
	REQUIRE(image_save(again) > 0 && (data[0] & 3 || !memcmp(image, again, n)));
	live();
	REQUIRE(units_load(good, (size_t)good_size, &f) == STATE_OK);
	return 0;
}
