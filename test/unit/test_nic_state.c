/* build: hv/nic.c hv/nic_replay.c hv/nic_desc.c hv/nic_pool.c hv/nic_e1000.c hv/nic_state.c hv/nic_statistics.c hv/state.c storage/crc32c.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A card in a state image: saved, overwritten, loaded; and images that contradict themselves. */
#include "test/unit/check.h"
#include "test/unit/nic_rig.h"
#include "hv/state.h"

static int save(uint8_t *buf, size_t size)
{
	struct state_writer w;

	state_writer_init(&w, buf, size);
	state_begin(&w, "nic 0", 2);
	CHECK_EQ(nic_save(&nic, &w), 0);
	state_end(&w);
	return state_finish(&w);
}

/* The section's payload is cut. */
static bool load(const uint8_t *buf, int size, size_t less)
{
	struct state_image i;
	struct state_reader r;

	CHECK_EQ(state_open(&i, buf, (size_t)size), 0);
	CHECK_EQ(state_next(&i, &r), 0);
	r.size -= less;
	return nic_load(&nic, &r, model_card_reset);
}

static void transmit_ring(void)
{
	static const struct {
		uint8_t type, cmd;
	} d[8] = {
		{0x10, 0x21}, /* the end of a packet */
		{0x00, 0x21}, /* context: its bit 0 is no EOP */
		{0x10, 0x20}, {0x10, 0x20}, {0x10, 0x21}, {0x00, 0x01}, /* legacy, a packet */
		{0, 0},	      {0, 0},
	};
	uint8_t *ring = model_ram + 0x180000;

	memset(ring, 0, 128);
	for (unsigned i = 0; i < 8; i++) {
		ring[16 * i + 10] = d[i].type;
		ring[16 * i + 11] = d[i].cmd;
	}
	*reg(0x3800 + E1000_BAL) = RAM_BASE + 0x180000;
	*reg(0x3800 + E1000_LEN) = 128;
	*reg(0x3800 + E1000_TAIL) = 6;
}

static void saved_and_loaded(void)
{
	static uint8_t first[POOL_SIZE + 8192], second[sizeof(first)];

	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct driver *d = begin(&shapes[i]);
		int size;

		model_receive(0, 1, 200);
		driver_poll(d, true);
		*reg(0x5200) = 0x12345678;
		card.phy[4] = 0xde1;
		card.phy[0] = 0x1340; /* a restart that stays set, as in Bochs */
		transmit_ring();
		*reg(0x3800 + E1000_HEAD) = 3; /* inside a packet */
		*reg(0x4074) = 7;	       /* GPRC */
		*reg(0x4088) = 0xfffffff0;
		freeze(V);
		settled();
		for (uint32_t k = 2; k <= 10; k++) {
			model_receive(0, k, length_of(k));
			nic_poll(&nic, at(V + 2 * MS + k * MS));
		}
		*reg(E1000_ICR) = 0x84;
		size = save(first, sizeof(first));
		if (!CHECK(size > 0))
			return;
		CHECK_EQ(*reg(E1000_ICR), 0x84);
		nic_scramble(&nic, model_card_reset);
		CHECK(load(first, size, 0));
		CHECK_EQ(save(second, sizeof(second)), size);
		CHECK(memcmp(first, second, (size_t)size) == 0);
		CHECK_EQ(*reg(0x5200), 0x12345678);
		CHECK_EQ(card.phy[4], 0xde1);
		CHECK_EQ(card.phy[0], 0x1140);
		CHECK_EQ(*reg(0x3800 + E1000_HEAD), 1); /* with its context */
		CHECK_EQ(*reg(E1000_TCTL), EN & ~TCTL_EN);
		CHECK_EQ(*reg(E1000_ICR), 0x84);
		nic_poll(&nic, at(V + 19 * MS));
		card.rctl_writes = 0; /* of the load: there is no live wire */
		for (uint32_t k = 11; k <= 13; k++) {
			model_receive(0, k, length_of(k));
			nic_poll(&nic, at(V + 20 * MS));
		}
		nic_thaw(&nic, at(V + 50 * MS), at(V), at(V + 50 * MS));
		nic_start(&nic);
		CHECK_EQ(*reg(E1000_TCTL), EN);
		CHECK_EQ(*reg(E1000_IMS), MASK);
		replay(d, V);
		model_receive(0, 14, 99);
		driver_poll(d, true);
		in_order(d, 14);
		CHECK_EQ(nic_statistics_read(&nic, 0x4074), 7);
		CHECK_EQ(nic_statistics_read(&nic, 0x4074), 0);
		*reg(0x4088) = 0x20;
		CHECK_EQ(nic_statistics_read(&nic, 0x4088), 0x10);
		CHECK_EQ(nic_statistics_read(&nic, 0x408c), 1);
		CHECK_EQ(nic_statistics_read(&nic, 0x4088), 0);
	}
}

static void bad_images(void)
{
	static uint8_t image[POOL_SIZE + 8192], bad[sizeof(image)];
	struct state_reader r = {.buf = bad};
	int size;

	begin(&shapes[4]);
	freeze(V);
	settled();
	model_receive(0, 1, 60);
	nic_poll(&nic, at(V + 3 * MS));
	size = save(image, sizeof(image));
	for (size_t less = 1; less < 200; less += 7)
		CHECK(!load(image, size, less));
	CHECK_EQ(card.resets, 0);
	CHECK_EQ(nic.pool.entries, 1);
	r.size = (size_t)size - 32 - 40; /* the payload: headers are hv/state.c's */
	memcpy(bad, image + 32 + 40, r.size);
	for (size_t k = 0; k < r.size; k++) /* any byte: refused or taken, no harm */
		for (unsigned bit = 0; bit < 8; bit += 7) {
			bad[k] ^= (uint8_t)(1u << bit);
			r.pos = 0;
			r.err = 0;
			r.refused = NULL;
			(void)nic_load(&nic, &r, model_card_reset);
			nic_poll(&nic, at(V + 4 * MS));
			bad[k] ^= (uint8_t)(1u << bit);
		}
}

int main(void)
{
	RUN(saved_and_loaded);
	RUN(bad_images);
	return check_result();
}
