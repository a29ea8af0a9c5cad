/* build: hv/machine.c hv/clock_unit.c hv/vcpu_unit.c hv/vcpu_section.c arch/x86_64/fpu_area.c vmx/check.c hv/msr.c hv/vlapic.c hv/vlapic_timer.c hv/vlapic_ipi.c hv/vlapic_unit.c hv/ioapic.c hv/pic.c hv/irq.c hv/pit.c hv/hpet.c hv/pm.c hv/rtc.c hv/rtc_date.c hv/vuart.c hv/ports.c hv/pci.c hv/virtqueue.c hv/pass.c hv/pass_irq.c hv/virtio.c hv/msix.c hv/vblk.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vclock.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of a whole node: what is saved in any state comes back to the byte, and each kind of
 * damage to each kind of unit is refused with its own words, and changes nothing.
 */
#include <ctype.h>
#include <glob.h>
#include "test/unit/check.h"
#include "test/unit/whole_board.h"

static uint64_t seed = 88172645463325252ull;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t take(unsigned bytes)
{
	return bytes < 8 ? rnd() & ((1ull << 8 * bytes) - 1) : rnd();
}

#include "test/unit/traffic.h"

#define ROUNDS	     300
#define TRAFFIC	     400 /* accesses in each */
#define MEAN_STEP_NS 20000

static uint8_t image[IMAGE_MAX], image2[IMAGE_MAX], image3[IMAGE_MAX];
static int image_size;
static char text[STATE_TEXT_MAX];

/* --- any state --- */

static void live(void)
{
	switch (rnd() % 14) {
	case 0:
		traffic_virtio(0x80000000);
		break;
	case 1 ... 2:
		traffic_port(rnd() & 3);
		break;
	case 3:
		traffic_pic(rnd() & 3);
		break;
	case 4:
		traffic_mmio(rnd() & 3);
		break;
	case 5:
		traffic_ioapic();
		break;
	case 6:
	case 7:
		traffic_lapic(lapic(rnd() % RIG_CPUS));
		break;
	case 8:
		irq_set((unsigned)rnd() % 24, rnd() & 1);
		break;
	case 9:
		vlapic_sync(lapic(rnd() % RIG_CPUS));
		vlapic_post(lapic(rnd() % RIG_CPUS), (uint8_t)rnd(), rnd() & 1);
		break;
	case 10:
		whole_out_len = 0;
		whole_out_room = (unsigned)rnd() % sizeof(whole_out);
		(void)vuart_receive((uint8_t)rnd());
		break;
	case 11:
		traffic_pass(0x80100000);
		phys_interrupt((unsigned)rnd() % CARD_VECTORS);
		break;
	default:
		rig_advance(node_now().v + rnd() % (2 * MEAN_STEP_NS));
	}
}

static void live_cpus(void)
{
	for (unsigned i = 0; i < RIG_CPUS; i++) {
		struct vcpu *v = &rig_vcpu[i];
		struct vcpu_state s = random_state(rnd);
		uint64_t mtrr = rnd() & ~0x0f0f0f0f0f0f0f0full;

		whole_set_cpu(i, &s);
		msr_write(v, MSR_IA32_MTRR_FIX64K_00000, mtrr);
		msr_write(v, MSR_IA32_MTRR_PHYSBASE0 + rnd() % 16, rnd() & 0xfffff806);
		v->requests = (uint32_t)rnd() & (VCPU_REQ_INIT | VCPU_REQ_NMI | VCPU_REQ_STOP);
		v->sipi_vector = rnd() & 1 ? 0x100 | (uint32_t)(rnd() & 0xff) : 0;
		if (v->sipi_vector)
			v->requests |= VCPU_REQ_SIPI;
	}
}

/* Freeze in a state that random use has brought about. */
static void lived_in(void)
{
	vclock_start(&node_clock, rig_host);
	if (rnd() % 4 == 0) { /* what was switched off is on again */
		units_reset();
		for (unsigned i = 0; i < RIG_CPUS; i++)
			vlapic_mmio_write(lapic(i), APIC_SVR, 4, SVR_ENABLE | 0xff);
	}
	for (unsigned i = 0; i < TRAFFIC; i++)
		live();
	live_cpus();
	whole_capture();
	image_size = image_save(image);
}

static bool same_again(void)
{
	return image_save(image2) == image_size && !memcmp(image, image2, (size_t)image_size);
}

/* How often each unit was found in another state than before, by its payload's checksum. */
static struct {
	uint32_t crc;
	unsigned times;
} changes[UNITS_MAX];

static void count_changes(void)
{
	size_t at = IMAGE_HEADER;

	for (unsigned i = 0; i < unit_count(); i++, at = section_next(image, at)) {
		uint32_t crc = crc32c(0, section_payload(image, at), section_bytes(image, at));

		changes[i].times += crc != changes[i].crc;
		changes[i].crc = crc;
	}
}

static void any_state_comes_back_to_the_byte(void)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		lived_in();
		count_changes();
		if (!CHECK(image_size > 0 && image_load(image, image_size) && same_again())) {
			printf("  round %u\n", round);
			return;
		}
		image_scramble();
		if (!CHECK(image_load(image, image_size) && same_again()))
			printf("  round %u, scrambled\n", round);
		whole_restore();
		/* through the processors, and captured again */
		whole_capture();
		if (!CHECK(same_again()))
			printf("  round %u, thawed\n", round);
	}
	for (unsigned i = 1; i < unit_count(); i++) /* all but the machine */
		if (!CHECK(changes[i].times > ROUNDS / 2))
			printf("  %s: %u\n", unit_at(i)->name, changes[i].times);
	lived_in();
}

/* --- damage --- */

/* The words for what is wrong with image2; "" if it was loaded. */
static const char *load(int size)
{
	struct state_fault f;

	text[0] = 0;
	if (units_load(image2, (size_t)size, &f) != STATE_OK)
		state_describe(&f, text, sizeof(text));
	return text;
}

/* Did it say `section NAME: WHAT...`, and leave everything alone? */
static bool refused(const char *name, const char *what)
{
	char want[STATE_TEXT_MAX];
	int n = snprintf(want, sizeof(want), "section %s: %s", name, what);

	if (strncmp(text, want, (size_t)n) == 0 && image_save(image3) == image_size &&
	    memcmp(image, image3, (size_t)image_size) == 0)
		return true;
	printf("  \"%s\", not \"%s\"; or something was changed\n", text, want);
	return false;
}

/* image2 is image with one section changed. */
enum change { NOTHING, NEXT_VERSION, OTHER_NAME, LEFT_OUT, TWICE, SHORTER, LONGER };

static int rebuild(const char *name, enum change change)
{
	struct state_image img;
	struct state_reader r;
	struct state_writer w;

	state_writer_init(&w, image2, sizeof(image2));
	CHECK_EQ(state_open(&img, image, (size_t)image_size), STATE_OK);
	while (state_next(&img, &r) == STATE_OK) {
		enum change c = strcmp(r.name, name) == 0 ? change : NOTHING;

		for (unsigned times = c == LEFT_OUT ? 0 : c == TWICE ? 2 : 1; times; times--) {
			state_begin(&w, c == OTHER_NAME ? "nobody" : r.name,
				    r.version + (c == NEXT_VERSION));
			state_put(&w, r.buf, r.size - (c == SHORTER));
			if (c == LONGER)
				state_put8(&w, 0);
			state_end(&w);
		}
	}
	return state_finish(&w);
}

static void each_kind_of_damage_is_named(void)
{
	for (unsigned i = 0; i < unit_count(); i++) {
		const char *name = unit_at(i)->name;
		size_t at = section_find(image, image_size, name), bytes;

		load(rebuild(name, NEXT_VERSION));
		CHECK(refused(name, "unknown version"));
		load(rebuild(name, OTHER_NAME));
		CHECK(refused("nobody", "unknown: this machine has no such unit"));
		load(rebuild(name, LEFT_OUT));
		CHECK(refused(name, "missing"));
		load(rebuild(name, TWICE));
		CHECK(refused(name, "duplicate"));
		load(rebuild(name, SHORTER));
		CHECK(refused(name, "another size"));
		load(rebuild(name, LONGER));
		CHECK(refused(name, "another size"));
		CHECK_EQ(rebuild(name, NOTHING), image_size);
		bytes = section_bytes(image2, at);
		load((int)(at + IMAGE_SECTION + rnd() % bytes));
		CHECK(refused(name, "truncated"));
		section_payload(image2, at)[rnd() % bytes] ^= 1u << rnd() % 8;
		load(image_size);
		CHECK(refused(name, "wrong checksum"));
	}
}

static void every_cut_is_refused(void)
{
	struct state_fault f;

	for (int n = 0; n < image_size; n += 1 + (int)(rnd() % 16))
		CHECK_EQ(units_load(image, (size_t)n, &f), STATE_TRUNCATED);
	CHECK(same_again());
}

/* Each byte of each payload, changed and sealed: it is taken, and then saved as it is, or refused
 * by its unit. Every kind of unit has something to refuse. */
static void any_byte_is_taken_or_refused(void)
{
	for (unsigned i = 0; i < unit_count(); i++) {
		const char *name = unit_at(i)->name;
		size_t at = section_find(image, image_size, name);
		size_t bytes = section_bytes(image, at);
		unsigned refusals = 0;

		memcpy(image2, image, (size_t)image_size);
		for (size_t k = 0; k<bytes; k += bytes> 1000 ? 1 + rnd() % 4 : 1) {
			uint8_t *p = section_payload(image2, at) + k, old = *p;

			*p ^= 1 + (uint8_t)(rnd() % 255);
			section_seal(image2, at);
			if (load(image_size)[0]) {
				refusals++;
				CHECK(strstr(text, ": refused: ") || strstr(text, "another size"));
				CHECK(strncmp(text + strlen("section "), name, strlen(name)) == 0);
			} else if (!CHECK(image_save(image3) == image_size &&
					  !memcmp(image2, image3, (size_t)image_size))) {
				printf("  %s, byte %zu: 0x%x\n", name, k, *p);
			}
			*p = old;
		}
		if (!CHECK(refusals > 0))
			printf("  %s takes anything\n", name);
		CHECK(image_load(image, image_size) && same_again());
	}
}

/* --- another machine's image --- */

static const char *change_machine(size_t offset, uint64_t val, size_t n)
{
	memcpy(image2, image, (size_t)image_size);
	section_patch(image2, IMAGE_HEADER, offset, val, n);
	return load(image_size);
}

static void another_machine_is_told_apart(void)
{
	enum { VENDOR = 0, BACK_END = 12, SIGNATURE = 20, XCR0 = 28, CPUS = 36, IDS = 40 };

	CHECK_STR(change_machine(VENDOR, 'A', 1),
		  "section machine: refused: vendor: the image is of another maker's processor");
	CHECK_STR(change_machine(BACK_END, 'X', 1),
		  "section machine: refused: back_end: the image is "
		  "of the other virtualization, VT-x or AMD-V");
	CHECK_STR(change_machine(SIGNATURE, 0x306d5, 4),
		  "section machine: refused: signature (processor model): 0x306d5 in the image, "
		  "0x306d4 here");
	CHECK_STR(change_machine(XCR0, 7, 8),
		  "section machine: refused: xcr0: 0x7 in the image, 0x3 here");
	CHECK_STR(change_machine(CPUS, 2, 4),
		  "section machine: refused: number of CPUs: 0x2 in the image, 0x4 here");
	CHECK_STR(change_machine(IDS + 4, 3, 4),
		  "section machine: refused: APIC ID of a CPU: 0x3 in the image, 0x1 here");
	CHECK_STR(change_machine(IDS + 4 * RIG_CPUS, 3, 4),
		  "section machine: refused: number of memory ranges: 0x3 in the image, 0x2 here");
	CHECK_STR(change_machine(IDS + 4 * RIG_CPUS + 4, 0x1000, 8),
		  "section machine: refused: memory range's gpa: 0x1000 in the image, 0x0 here");
	/* its sections differ, too: that is not what is said */
	rebuild("vcpu 3", OTHER_NAME);
	section_patch(image2, IMAGE_HEADER, CPUS, 5, 4);
	load(image_size);
	CHECK_STR(text, "section machine: refused: number of CPUs: 0x5 in the image, 0x4 here");
	CHECK(same_again());
}

static void a_near_rate_is_the_guests_a_far_one_is_refused(void)
{
	size_t at = section_find(image, image_size, "clock");

	memcpy(image2, image, (size_t)image_size);
	section_patch(image2, at, 0, RIG_HZ + RIG_HZ / 2000, 8);
	CHECK_STR(load(image_size), "");
	CHECK_EQ(node_clock.hz, RIG_HZ + RIG_HZ / 2000);
	section_patch(image2, at, 0, RIG_HZ - RIG_HZ / 500, 8);
	CHECK_STR(load(image_size),
		  "section clock: refused: hz (rate of the TSC): 0x8e687b60 in the "
		  "image, 0x8eb18a80 here");
	CHECK(image_load(image, image_size) && same_again());
}

int main(void)
{
	whole_start();
	RUN(any_state_comes_back_to_the_byte);
	RUN(each_kind_of_damage_is_named);
	RUN(every_cut_is_refused);
	RUN(any_byte_is_taken_or_refused);
	RUN(another_machine_is_told_apart);
	RUN(a_near_rate_is_the_guests_a_far_one_is_refused);
	return check_result();
}
