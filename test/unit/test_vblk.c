/* build: hv/vblk.c hv/virtio.c hv/msix.c hv/virtqueue.c hv/pci.c hv/ports.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's disk: what a driver sees, and that one which breaks the rules harms nobody. */
#include "test/unit/check.h"
#include "test/unit/disk_rig.h"

#define HEADER	  (RAM_BASE + 0x8000)
#define DATA	  (RAM_BASE + 0x9000)
#define STATUS_AT (RAM_BASE + 0x20000)
#define TABLE	  (RAM_BASE + 0x30000) /* indirect descriptors */

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_ID = 8, T_DISCARD = 11, T_ZEROES = 13 };

static void header(uint32_t type, uint64_t sector)
{
	put(HEADER, type, 8);
	put(HEADER + 8, sector, 8);
	put(STATUS_AT, 0xee, 1);
}

/* header, data, status in descriptors 0, 1, 2 of the table */
static void chain(uint64_t table, uint64_t data, uint32_t bytes, bool device_writes)
{
	descriptor(table, 0, HEADER, 16, D_NEXT, 1);
	descriptor(table, 1, data, bytes, D_NEXT | (device_writes ? D_WRITE : 0), 2);
	descriptor(table, 2, STATUS_AT, 1, D_WRITE, 0);
}

static uint8_t status(void)
{
	return (uint8_t)get(STATUS_AT, 1);
}

static uint16_t used(unsigned q)
{
	return (uint16_t)get(USED(q) + 2, 2);
}

static bool needs_reset(void)
{
	return reg(STATUS, 1) & VIRTIO_NEEDS_RESET;
}

static void a_driver_finds_its_way(void)
{
	static const struct {
		unsigned type, offset;
	} wanted[] = {{1, 0}, {2, R_NOTIFY}, {3, R_ISR}, {4, R_DEVICE}, {5, 0}};
	unsigned at = space(PCI_CAPABILITIES, 1);

	driver_up(0, true);
	CHECK_EQ(space(0, 4), 0x10421af4);
	CHECK(space(PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
	for (unsigned i = 0; i < 5; i++) {
		CHECK_EQ(space(at, 1), PCI_CAP_VENDOR);
		CHECK_EQ(space(at + 3, 1), wanted[i].type);
		CHECK_EQ(space(at + 8, 4), wanted[i].offset);
		at = space(at + 1, 1);
	}
	CHECK_EQ(space(at, 1), PCI_CAP_MSIX);
	CHECK_EQ(space(at + 2, 2) & 0x7ff, RIG_QUEUES);
	CHECK_EQ(space(at + 4, 4), R_MSIX);
	CHECK_EQ(space(at + 8, 4), R_PBA);
	CHECK_EQ(reg(18, 2), RIG_QUEUES);
	CHECK_EQ(reg(R_DEVICE, 8), DISK_SECTORS);
	CHECK_EQ(reg(R_DEVICE + 34, 2), RIG_QUEUES);
	CHECK_EQ(reg(STATUS, 1), 15);
	/* the same through the window in configuration space */
	set_space(0x84 + 8, 4, R_DEVICE);
	set_space(0x84 + 12, 4, 4);
	CHECK_EQ(space(0x84 + 16, 4), DISK_SECTORS);
	set_space(0x84 + 8, 4, 22);
	set_space(0x84 + 12, 4, 2);
	set_space(0x84 + 16, 4, 1);
	CHECK_EQ(reg(22, 2), 1);
	set_space(0x84 + 8, 4, 0xfffffffc); /* nowhere */
	set_space(0x84 + 16, 4, 0);
	(void)space(0x84 + 16, 4);
	CHECK_EQ(reg(22, 2), 1);
}

static void features_are_agreed(void)
{
	driver_up(0, true);
	negotiate(0); /* a driver of the time before version 1 */
	CHECK(!(reg(STATUS, 1) & VIRTIO_FEATURES_OK));
	negotiate(VIRTIO_F_VERSION_1 | 1ull << 34); /* packed rings */
	CHECK(!(reg(STATUS, 1) & VIRTIO_FEATURES_OK));
	set(STATUS, 1, 15);
	CHECK(!(reg(STATUS, 1) & VIRTIO_DRIVER_OK));
	negotiate(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX);
	CHECK(reg(STATUS, 1) & VIRTIO_FEATURES_OK);
	set(8, 4, 0);
	set(12, 4, 0); /* too late */
	CHECK_EQ(reg(12, 4), (uint32_t)VIRTIO_F_EVENT_IDX);
	set(22, 2, 7); /* no such queue */
	CHECK_EQ(reg(24, 2), 0);
	set(28, 2, 1);
	CHECK(!needs_reset());
}

static void a_read_and_a_write(void)
{
	char text[512], back[512];

	memset(text, 'r', sizeof(text));
	for (unsigned indirect = 0; indirect < 2; indirect++) {
		driver_up(indirect ? VIRTIO_F_INDIRECT_DESC : 0, true);
		header(T_IN, 7);
		chain(indirect ? TABLE : DESC(0), DATA, 512, true);
		if (indirect)
			descriptor(DESC(0), 0, TABLE, 48, D_INDIRECT, 0);
		offer(0, 0);
		if (!CHECK_EQ(n_submitted, 1))
			return;
		CHECK(submitted[0]->op == DISK_READ && submitted[0]->sector == 7);
		CHECK_EQ(submitted[0]->sectors, 1);
		CHECK(submitted[0]->copy(submitted[0], 0, text, 512));
		CHECK_EQ(used(0), 0);
		finish_request(0, 0);
		CHECK_EQ(status(), 0);
		CHECK_EQ(used(0), 1);
		CHECK_EQ(get(USED(0) + 4, 8), 513ull << 32);
		CHECK(!memcmp(ram + (DATA - RAM_BASE), text, 512));
		CHECK_EQ(msi.count, 1);
		CHECK_EQ(msi.data, 0x41);
	}
	header(T_OUT, DISK_SECTORS - 1);
	chain(DESC(1), DATA, 512, false);
	offer(1, 0);
	if (!CHECK_EQ(n_submitted, 1))
		return;
	CHECK(submitted[0]->op == DISK_WRITE && submitted[0]->sector == DISK_SECTORS - 1);
	CHECK(submitted[0]->copy(submitted[0], 0, back, 512));
	CHECK(!memcmp(back, text, 512));
	CHECK(!submitted[0]->copy(submitted[0], 511, back, 2));
	finish_request(0, -EIO);
	CHECK_EQ(status(), 1);
	CHECK_EQ(msi.data, 0x42);
}

static void other_requests(void)
{
	driver_up(0, true);
	header(T_FLUSH, 0);
	descriptor(DESC(0), 0, HEADER, 16, D_NEXT, 2);
	descriptor(DESC(0), 2, STATUS_AT, 1, D_WRITE, 0);
	offer(0, 0);
	CHECK(n_submitted == 1 && submitted[0]->op == DISK_FLUSH);
	finish_request(0, 0);
	CHECK_EQ(status(), 0);
	header(T_ID, 0);
	chain(DESC(0), DATA, 20, true);
	offer(0, 0);
	CHECK_EQ(status(), 0);
	CHECK_STR((char *)ram + (DATA - RAM_BASE), "stasis-disk");
	header(99, 0);
	offer(0, 0);
	CHECK_EQ(status(), 2);
	for (unsigned zeroes = 0; zeroes < 2; zeroes++) {
		header(zeroes ? T_ZEROES : T_DISCARD, 0);
		chain(DESC(0), DATA, 16, false);
		put(DATA, 100, 8);
		put(DATA + 8, 50, 4);
		put(DATA + 12, zeroes, 4); /* unmap: of WRITE_ZEROES only */
		offer(0, 0);
		CHECK(n_submitted == 1 && submitted[0]->sector == 100 &&
		      submitted[0]->sectors == 50);
		CHECK(submitted[0]->op == (zeroes ? DISK_ZEROES : DISK_DISCARD));
		finish_request(0, 0);
		put(DATA + 12, 2, 4);
		offer(0, 0);
		CHECK_EQ(status(), 2);
		put(DATA + 12, 0, 4);
		put(DATA, DISK_SECTORS - 49, 8);
		offer(0, 0);
		CHECK_EQ(status(), 1);
	}
	CHECK_EQ(n_submitted, 0);
	CHECK_EQ(used(0), 9);
	CHECK(!needs_reset());
}

static void requests_that_fit_nothing(void)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t bytes;
		bool device_writes;
	} bad[] = {
		{T_IN, DISK_SECTORS, 512, true},
		{T_IN, UINT64_MAX, 512, true},
		{T_OUT, DISK_SECTORS - 1, 1024, false},
		{T_IN, 0, 511, true},
		{T_IN, 0, 0, true},
		{T_IN, 0, 512, false},
		{T_OUT, 0, 512, true},
		{T_DISCARD, 0, 15, false},
		{T_ZEROES, 0, 32, false},
	};

	driver_up(0, true);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		header(bad[i].type, bad[i].sector);
		chain(DESC(0), DATA, bad[i].bytes, bad[i].device_writes);
		offer(0, 0);
		CHECK_EQ(status(), 1);
		CHECK_EQ(n_submitted, 0);
		CHECK_EQ(used(0), i + 1);
	}
	CHECK(!needs_reset());
}

/* --- what no driver does --- */

static void loop(void)
{
	descriptor(DESC(0), 1, DATA, 512, D_NEXT | D_WRITE, 1);
}

static void loop_of_nothing(void)
{
	descriptor(DESC(0), 0, HEADER, 0, D_NEXT, 0);
}

static void beyond_the_table(void)
{
	descriptor(DESC(0), 1, DATA, 512, D_NEXT | D_WRITE, QUEUE_ENTRIES);
}

static void beyond_ram(void)
{
	descriptor(DESC(0), 1, RAM_BASE + RAM_BYTES - 256, 512, D_NEXT | D_WRITE, 2);
}

static void around_the_end(void)
{
	descriptor(DESC(0), 1, UINT64_MAX - 100, 512, D_NEXT | D_WRITE, 2);
}

static void into_the_hypervisor(void)
{
	descriptor(DESC(0), 1, HV_BASE, 512, D_NEXT | D_WRITE, 2);
}

static void across_the_hypervisor(void)
{
	descriptor(DESC(0), 1, HV_BASE - 512, 8192, D_NEXT | D_WRITE, 2);
}

static void read_after_write(void)
{
	descriptor(DESC(0), 0, DATA, 512, D_NEXT | D_WRITE, 1);
	descriptor(DESC(0), 1, HEADER, 16, D_NEXT, 2);
}

static void no_status(void)
{
	descriptor(DESC(0), 0, HEADER, 16, 0, 0);
}

static void short_header(void)
{
	descriptor(DESC(0), 0, HEADER, 15, D_NEXT, 2);
}

static void unknown_flags(void)
{
	descriptor(DESC(0), 0, HEADER, 16, D_NEXT | 0x40, 2);
}

static void nested_tables(void)
{
	descriptor(DESC(0), 0, TABLE, 16, D_INDIRECT, 0);
	descriptor(TABLE, 0, TABLE, 16, D_INDIRECT, 0);
}

static void odd_table(void)
{
	chain(TABLE, DATA, 512, true);
	descriptor(DESC(0), 0, TABLE, 47, D_INDIRECT, 0);
}

static void table_beyond_ram(void)
{
	descriptor(DESC(0), 0, RAM_BASE + RAM_BYTES - 16, 48, D_INDIRECT, 0);
}

static void table_and_more(void)
{
	chain(TABLE, DATA, 512, true);
	descriptor(DESC(0), 0, TABLE, 48, D_INDIRECT | D_NEXT, 1);
}

static void too_many(void)
{
	for (unsigned i = 0; i < 200; i++)
		descriptor(TABLE, i, DATA, 512, D_NEXT | D_WRITE, i + 1);
	descriptor(TABLE, 0, HEADER, 16, D_NEXT, 1);
	descriptor(DESC(0), 0, TABLE, 16 * 201, D_INDIRECT, 0);
}

static void index_that_jumps(void)
{
	put(AVAIL(0) + 2, QUEUE_ENTRIES + 7, 2);
}

static void head_beyond_the_table(void)
{
	put(AVAIL(0) + 4, 0xffff, 2);
	put(AVAIL(0) + 2, 1, 2);
	set(R_NOTIFY, 2, 0);
	serve_disk();
}

static void rules_are_rules(void)
{
	static void (*const breaks[])(void) = {
		loop,
		loop_of_nothing,
		beyond_the_table,
		beyond_ram,
		around_the_end,
		into_the_hypervisor,
		across_the_hypervisor,
		read_after_write,
		no_status,
		short_header,
		unknown_flags,
		nested_tables,
		odd_table,
		table_beyond_ram,
		table_and_more,
		too_many,
		index_that_jumps,
		head_beyond_the_table,
	};

	for (unsigned i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
		driver_up(VIRTIO_F_INDIRECT_DESC, true);
		header(T_IN, 0);
		chain(DESC(0), DATA, 512, true);
		breaks[i]();
		offer(0, 0);
		if (!CHECK(needs_reset()))
			printf("  number %u\n", i);
		CHECK_EQ(n_submitted, 0);
		CHECK_EQ(used(0), 0);
		CHECK_EQ(status(), 0xee);
		CHECK_EQ(msi.data, 0x40); /* the driver is told */
		chain(DESC(0), DATA, 512, true);
		offer(0, 0); /* nothing is done until it resets */
		CHECK_EQ(n_submitted, 0);
		driver_up(0, true);
		header(T_IN, 0);
		chain(DESC(0), DATA, 512, true);
		offer(0, 0);
		CHECK_EQ(n_submitted, 1);
	}
}

static void an_indirect_table_has_to_be_agreed(void)
{
	driver_up(0, true);
	header(T_IN, 0);
	chain(TABLE, DATA, 512, true);
	descriptor(DESC(0), 0, TABLE, 48, D_INDIRECT, 0);
	offer(0, 0);
	CHECK(needs_reset());
}

static void queues_are_in_ram(void)
{
	static const uint64_t bad[] = {0,
				       8,
				       RAM_BASE + 4,
				       RAM_BASE + RAM_BYTES,
				       RAM_BASE + RAM_BYTES - 16,
				       HV_BASE - 16,
				       HV_BASE,
				       UINT64_MAX - 15,
				       1ull << 63};

	for (unsigned field = 0; field < 3; field++) {
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			uint64_t at[3] = {DESC(0), AVAIL(0), USED(0)};

			at[field] = bad[i];
			if (bad[i] == RAM_BASE + 4 && field) /* aligned well enough for a ring */
				continue;
			driver_up(0, true);
			negotiate(VIRTIO_F_VERSION_1);
			set_queue(0, at[0], at[1], at[2]);
			CHECK(needs_reset());
			set(22, 2, 0);
			CHECK_EQ(reg(28, 2), 0);
			set(STATUS, 1, 15);
			set(R_NOTIFY, 2, 0);
			serve_disk();
		}
	}
	driver_up(0, true);
	negotiate(VIRTIO_F_VERSION_1);
	set(22, 2, 0);
	set(24, 2, 7); /* no power of two; too large */
	set(24, 2, 512);
	CHECK_EQ(reg(24, 2), VIRTQUEUE_SIZE_MAX);
}

/* --- interrupts --- */

static void flush_once(void)
{
	header(T_FLUSH, 0);
	descriptor(DESC(0), 0, HEADER, 16, D_NEXT, 2);
	descriptor(DESC(0), 2, STATUS_AT, 1, D_WRITE, 0);
	offer(0, 0);
	if (n_submitted)
		finish_request(0, 0);
}

static void by_the_wire(void)
{
	unsigned gsi = pci_gsi(PCI_DEVFN(DEV, 0), 1);

	driver_up(0, false);
	flush_once();
	CHECK(board.gsi[gsi]);
	CHECK_EQ(msi.count, 0);
	CHECK(space(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	set_space(PCI_COMMAND, 2, 0x406);
	CHECK(!board.gsi[gsi]);
	set_space(PCI_COMMAND, 2, 6);
	CHECK(board.gsi[gsi]);
	CHECK_EQ(reg(R_ISR, 1), 1);
	CHECK(!board.gsi[gsi]);
	CHECK_EQ(reg(R_ISR, 1), 0);
	put(AVAIL(0), 1, 2); /* VIRTQ_AVAIL_F_NO_INTERRUPT */
	flush_once();
	CHECK(!board.gsi[gsi]);
}

static void masked_messages_wait(void)
{
	driver_up(0, true);
	set(R_MSIX + 16 + 12, 4, 1);
	flush_once();
	CHECK_EQ(msi.count, 0);
	CHECK_EQ(reg(R_PBA, 8), 2);
	set(R_MSIX + 16 + 12, 4, 0);
	CHECK_EQ(msi.count, 1);
	CHECK_EQ(reg(R_PBA, 8), 0);
	set_space(0x9a, 2, 0xc000); /* all of them */
	flush_once();
	CHECK_EQ(msi.count, 1);
	set_space(0x9a, 2, 0x8000);
	CHECK_EQ(msi.count, 2);
	set(22, 2, 0);
	set(26, 2, 99);
	CHECK_EQ(reg(26, 2), VIRTIO_NO_VECTOR);
	flush_once();
	CHECK_EQ(msi.count, 2);
}

static void by_event_index(void)
{
	driver_up(VIRTIO_F_EVENT_IDX, true);
	put(AVAIL(0) + 4 + 2 * QUEUE_ENTRIES, 2, 2); /* not before the third */
	for (unsigned i = 0; i < 5; i++) {
		flush_once();
		CHECK_EQ(msi.count, i >= 2);
		CHECK_EQ(get(USED(0) + 4 + 8 * QUEUE_ENTRIES, 2), i + 1);
	}
}

/* --- the device's life --- */

static void nothing_after_a_reset(void)
{
	char text[512] = "late";

	driver_up(0, true);
	header(T_IN, 0);
	chain(DESC(0), DATA, 512, true);
	offer(0, 0);
	set(STATUS, 1, 0);
	CHECK_EQ(reg(STATUS, 1), 0);
	CHECK(!submitted[0]->copy(submitted[0], 0, text, 512));
	finish_request(0, 0);
	CHECK_EQ(used(0), 0);
	CHECK_EQ(status(), 0xee);
	CHECK_EQ(msi.count, 0);
	CHECK(!vblk_driven());
}

static void more_than_there_is_room_for(void)
{
	driver_up(0, true);
	header(T_FLUSH, 0);
	descriptor(DESC(0), 0, HEADER, 16, D_NEXT, 2);
	descriptor(DESC(0), 2, STATUS_AT, 1, D_WRITE, 0);
	for (unsigned i = 0; i < DISK_REQUESTS + 5; i++)
		offer(0, 0);
	CHECK_EQ(n_submitted, DISK_REQUESTS);
	for (unsigned i = 0; i < DISK_REQUESTS + 5; i++) {
		finish_request(0, 0);
		serve_disk();
	}
	CHECK_EQ(n_submitted, 0);
	CHECK_EQ(used(0), DISK_REQUESTS + 5);
}

static void frozen_in_the_middle(void)
{
	driver_up(VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC, true);
	flush_once();
	header(T_IN, 5);
	chain(DESC(1), DATA, 512, true);
	offer(1, 0);
	CHECK_EQ(n_submitted, 1);
	units_freeze();
	CHECK_EQ(n_submitted, 0);
	CHECK(image_round_trip());
	CHECK_EQ(status(), 0xee);
	set(R_NOTIFY, 2, 0);
	serve_disk();
	CHECK_EQ(n_submitted, 0);
	units_thaw();
	serve_disk();
	if (!CHECK_EQ(n_submitted, 1))
		return;
	CHECK(submitted[0]->op == DISK_READ && submitted[0]->sector == 5);
	finish_request(0, 0);
	CHECK_EQ(used(1), 1);
	CHECK_EQ(msi.data, 0x42);
	/* what was changed under the request is looked at anew */
	header(T_IN, 6);
	offer(1, 0);
	units_freeze();
	descriptor(DESC(1), 1, HV_BASE, 512, D_NEXT | D_WRITE, 2);
	units_thaw();
	CHECK(needs_reset());
	CHECK_EQ(n_submitted, 0);
}

static bool refuses(size_t offset, uint64_t val, size_t n)
{
	static uint8_t image[IMAGE_MAX], again[IMAGE_MAX];
	struct state_fault f;
	int size = image_save(image);
	size_t at = section_find(image, size, "virtio-blk");

	section_patch(image, at, offset, val, n);
	if (units_load(image, (size_t)size, &f) != STATE_CONTENT)
		return false;
	return image_save(again) == size;
}

/* Offsets of docs/state-format.md. */
static void states_that_no_device_has(void)
{
	const size_t queue = 8 + 8 + 4 + 8 + 4 + 4 + 2 + 2 + 1 + 1,
		     queue_bytes = 2 + 1 + 2 + 24 + 6;
	const size_t msix = queue + RIG_QUEUES * queue_bytes + 4,
		     taken = msix + (RIG_QUEUES + 1) * 17;

	driver_up(VIRTIO_F_EVENT_IDX, true);
	header(T_IN, 5);
	chain(DESC(1), DATA, 512, true);
	offer(1, 0);
	header(T_IN, 6);
	chain(DESC(0), DATA, 512, true);
	offer(0, 0);
	units_freeze();
	CHECK(image_round_trip());
	CHECK(refuses(0, DISK_SECTORS + 1, 8));
	CHECK(refuses(8, 0, 8));	   /* offered */
	CHECK(refuses(16, 3, 4));	   /* queues */
	CHECK(refuses(20, UINT64_MAX, 8)); /* accepted */
	CHECK(refuses(38, 50, 2));	   /* config vector */
	CHECK(refuses(40, 0x10, 1));	   /* status */
	CHECK(refuses(40, VIRTIO_DRIVER_OK, 1));
	CHECK(refuses(41, 4, 1));
	CHECK(refuses(queue, 50, 2));
	CHECK(refuses(queue + 2, 2, 1));
	CHECK(refuses(queue + 2, 0, 1)); /* off, but used */
	CHECK(refuses(queue + 3, 7, 2));
	CHECK(refuses(queue + 5, HV_BASE, 8));
	CHECK(refuses(queue + 13, UINT64_MAX, 8));
	CHECK(refuses(queue + 21, 2, 8));
	CHECK(refuses(msix - 4, 1, 4));
	CHECK(refuses(msix, 1, 1));
	CHECK(refuses(msix + 12, 2, 1));
	CHECK(refuses(msix + 16, 2, 1));
	CHECK(refuses(taken, DISK_REQUESTS + 1, 4));
	CHECK(refuses(taken + 4, RIG_QUEUES, 2));
	CHECK(refuses(taken + 6, QUEUE_ENTRIES, 2));
	units_thaw();
	CHECK_EQ(n_submitted, 2);
}

int main(void)
{
	rig_init();
	RUN(a_driver_finds_its_way);
	RUN(features_are_agreed);
	RUN(a_read_and_a_write);
	RUN(other_requests);
	RUN(requests_that_fit_nothing);
	RUN(rules_are_rules);
	RUN(an_indirect_table_has_to_be_agreed);
	RUN(queues_are_in_ram);
	RUN(by_the_wire);
	RUN(masked_messages_wait);
	RUN(by_event_index);
	RUN(nothing_after_a_reset);
	RUN(more_than_there_is_room_for);
	RUN(frozen_in_the_middle);
	RUN(states_that_no_device_has);
	return check_result();
}
