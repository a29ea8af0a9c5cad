/* build: hv/nic.c hv/nic_replay.c hv/nic_desc.c hv/nic_pool.c hv/nic_e1000.c hv/nic_state.c hv/nic_statistics.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A card that says anything, and a driver that puts anything into its rings and registers, around
 * freezes: the hypervisor touches no memory but the guest's RAM and its own, and its book-keeping
 * holds.
 */
#include "test/fuzz/fuzz.h"
#include "hv/state.h"
#include "test/unit/check.h"
#include "test/unit/nic_model.h"

static uint64_t now;

static unsigned some_register(void)
{
	static const uint16_t known[] = {
		E1000_RCTL, E1000_RFCTL, E1000_PSRCTL, E1000_TCTL, E1000_IMS, E1000_ICR,
		0x2800,	    0x2804,	 0x2808,       0x2810,	   0x2818,    0x2820,
		0x2900,	    0x2904,	 0x2908,       0x2910,	   0x2918,    0x3810};

	return known[take(1) % (sizeof(known) / sizeof(known[0]))];
}

static uint32_t some_value(void)
{
	static const uint32_t known[] = {
		RAM_BASE,   RAM_BASE + 0x1000, RAM_BASE + RAM_SIZE - 128, 0,	      128, 1024,
		UINT32_MAX, RCTL_EN,	       RCTL_EN | 1 << 10,	  RFCTL_EXTEN};
	unsigned i = (unsigned)take(1) % 16;

	return i < sizeof(known) / sizeof(known[0]) ? known[i] : (uint32_t)take(i < 13 ? 1 : 4);
}

static void write_ram(void)
{
	uint32_t offset = (uint32_t)take(1) * 16 + (uint32_t)take(1) % 16;
	uint64_t v = take(1) & 1 ? RAM_BASE + take(2) * 16 : take(8);

	memcpy(model_ram + offset, &v, sizeof(v));
}

/* A ring that works, so that more than refusals is seen. */
static void good_ring(void)
{
	*reg(E1000_RCTL) = RCTL_EN | (uint32_t)(take(1) & 1) << 10 | (uint32_t)(take(1) & 3) << 16;
	*reg(E1000_RFCTL) = take(1) & 1 ? RFCTL_EXTEN : 0;
	*reg(E1000_PSRCTL) = 0x00010102;
	driver_begin((unsigned)take(1) % nic.family->queues, 16 + 16 * (take(1) % 4), 3);
}

static void guest_acts(void)
{
	switch (take(1) % 6) {
	case 0:
		driver_put(some_register(), some_value());
		break;
	case 1:
		(void)driver_get(some_register());
		break;
	case 2:
		write_ram();
		break;
	case 3:
		nic_freeze(&nic, (vns_t){now}, take(1) & 1 ? 1000 : 0);
		break;
	case 4:
		if (nic.phase == NIC_RUNNING)
			good_ring();
		else
			nic_reset(&nic);
		break;
	default:
		nic_replay(&nic, (vns_t){now});
		break;
	}
}

/* An image of it, damaged or not; what is taken must fit. */
static void through_an_image(void)
{
	static uint8_t image[POOL_SIZE + 8192];
	struct state_reader r = {.buf = image + 72};
	struct state_writer w;
	int size;

	nic_settle(&nic, (vns_t){now});
	state_writer_init(&w, image, sizeof(image));
	state_begin(&w, "nic 0", 2);
	REQUIRE(nic_save(&nic, &w) == 0);
	state_end(&w);
	size = state_finish(&w);
	REQUIRE(size > 72);
	r.size = (size_t)size - 72;
	for (unsigned n = (unsigned)take(1) % 4; n; n--)
		image[72 + take(2) % r.size] = (uint8_t)take(1);
	if (take(1) & 1)
		nic_scramble(&nic, model_card_reset);
	(void)nic_load(&nic, &r, model_card_reset);
}

static void frozen_acts(void)
{
	switch (take(1) % 4) {
	case 3:
		through_an_image();
		break;
	case 0:
		nic_poll(&nic, (vns_t){now});
		break;
	case 1:
		nic_settle(&nic, (vns_t){now});
		break;
	default:
		nic_thaw(&nic, (vns_t){now}, (vns_t){now / 2}, (vns_t){now - take(1)});
		nic_start(&nic);
		break;
	}
}

static void check_books(void)
{
	unsigned entries = 0;
	size_t used = 0;

	for (struct nic_caught *e = nic_pool_first(&nic.pool); e;
	     e = nic_pool_after(&nic.pool, e)) {
		entries++;
		used += e->size;
		REQUIRE(e->queue < nic.family->queues);
	}
	REQUIRE(entries == nic.pool.entries && used <= nic.pool.used &&
		nic.pool.used <= nic.pool.bytes);
	REQUIRE(nic.phase != NIC_RUNNING || (!entries && !nic.rx[0].active && !nic.rx[1].active));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_begin(data, size);
	model_reset(take(1) & 1 ? &nic_82574l : &nic_82540em);
	now = 1000000;
	while (fuzz_more()) {
		unsigned what = (unsigned)take(1);

		now += take(1) * 64;
		driver_now = (vns_t){now};
		if (what < 64)
			model_receive((unsigned)take(1) % nic.family->queues, what,
				      60 + (uint32_t)take(2) % 3000);
		else if (what < 72) /* the card lies */
			*reg(some_register()) = some_value();
		else if (nic.phase == NIC_RUNNING || nic.phase == NIC_REPLAYING)
			guest_acts();
		else
			frozen_acts();
		check_books();
	}
	return 0;
}
