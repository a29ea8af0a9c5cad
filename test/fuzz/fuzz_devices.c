/* build: hv/pit.c hv/hpet.c hv/pm.c hv/rtc.c hv/rtc_date.c hv/vuart.c hv/ports.c hv/pci.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest on the whole board: random port and MMIO accesses while time runs, on time or
 * late. Nothing may crash, timers must not fire faster than the floors allow, and at any moment
 * save, scramble, load must change nothing. Sections with changed bytes are either refused, and
 * then change nothing, or leave a board that stands the same treatment.
 */
#include <stddef.h>
#include "test/fuzz/fuzz.h"
#include "test/unit/board.h"
#include "test/unit/card.h"
#include "test/unit/traffic.h"

#define FIRES_PER_FLOOR 5 /* PIT and three HPET timers at 20 us, and the RTC */
#define FLOOR_NS	20000
static void start_board(void)
{
	static struct guest_map map = {.pci_base = 0x80000000, .pci_end = 0xf0000000};

	vtimerq_init(&board.q, NULL);
	pit_init(&board.q);
	hpet_init(&board.q);
	pm_init(&board.q);
	rtc_init(&board.q, 1709251195);
	vuart_init(0x3f8, 4);
	ports_init();
	pci_root_init(&map);
	REQUIRE(pci_add(&card) == 0);
}

static void pass_time(void)
{
	uint64_t ns = take(2) * 64; /* up to 4 ms */

	board.fires = 0;
	board_run(ns);
	REQUIRE(board.fires <= ns / FLOOR_NS * FIRES_PER_FLOOR + 20);
}

static void jump(void)
{
	uint64_t ns = 1ull << take(1) % 60;

	if (board.now.v < 1ull << 62)
		board_run_late(ns);
}

static size_t save_section(const struct unit *u, uint8_t *buf)
{
	struct state_writer w;

	state_writer_init(&w, buf, IMAGE_MAX);
	state_begin(&w, u->name, u->version);
	size_t from = w.pos;

	REQUIRE(u->save(u->dev, &w) == 0);
	memmove(buf, buf + from, w.pos - from);
	return w.pos - from;
}

static void load_changed(void)
{
	static uint8_t before[IMAGE_MAX], changed[IMAGE_MAX], after[IMAGE_MAX];
	const struct unit *u = unit_at((unsigned)take(1) % unit_count());
	size_t n = save_section(u, before);
	struct state_fault f;
	struct state_reader r = {.buf = changed, .size = n, .version = u->version};

	memcpy(changed, before, n);
	for (unsigned k = (unsigned)take(1) % 9; k > 0; k--)
		changed[take(2) % n] = (uint8_t)take(1);
	u->load(u->dev, &r);
	REQUIRE(save_section(u, after) == n);
	REQUIRE(memcmp(state_loaded(&r, &f) ? changed : before, after, n) == 0);
}

static void console(void)
{
	uint8_t v = (uint8_t)take(1);

	board.out_len = 0;
	board.out_room = v & 15;
	if (v & 0x80)
		vuart_tx_room();
	else
		(void)vuart_receive(v);
}

static void step(void)
{
	switch (take(1) % 16) {
	case 0 ... 5:
		traffic_port(true);
		break;
	case 6:
		traffic_port(false);
		break;
	case 7 ... 9:
		traffic_mmio(true);
		break;
	case 10:
		traffic_mmio(false);
		break;
	case 11:
		pass_time();
		break;
	case 12:
		jump();
		break;
	case 13:
		REQUIRE(image_round_trip());
		break;
	case 14:
		load_changed();
		break;
	default:
		console();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	static uint8_t image[IMAGE_MAX];
	static int image_size;
	struct state_fault f;

	if (!started) {
		start_board();
		image_size = image_save(image);
		started = true;
	}
	board.now.v = 0;
	REQUIRE(units_load(image, (size_t)image_size, &f) == 0);
	fuzz_begin(data, size);
	while (fuzz_more())
		step();
	return 0;
}
