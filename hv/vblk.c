// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/vblk.h"
#include <errno.h>
#include <string.h>
#include "hv/disk.h"
#include "hv/log.h"
#include "hv/unit.h"
#include "hv/virtio.h"

#define TYPE_BLOCK	  2
#define CLASS_STORAGE	  0x018000 /* mass storage, other */
#define SERIAL		  "stasis-disk"
#define SERIAL_BYTES	  20
#define TAKEN_AT_ONCE	  64
#define RANGE_SECTORS_MAX (1u << 22) /* of one DISCARD or WRITE_ZEROES */

enum { /* feature bits, 5.2.3 */
       F_SEG_MAX = 1 << 2,
       F_BLK_SIZE = 1 << 6,
       F_FLUSH = 1 << 9,
       F_MQ = 1 << 12,
       F_DISCARD = 1 << 13,
       F_WRITE_ZEROES = 1 << 14,
};

struct block_config { /* 5.2.4 */
	uint64_t capacity;
	uint32_t size_max, seg_max;
	uint8_t geometry[4];
	uint32_t blk_size;
	uint8_t topology[8], writeback, unused;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct block_config) == 64 && sizeof(uint64_t) == 8, "virtio_blk_config");

struct request_header { /* 5.2.6 */
	uint32_t type, reserved;
	uint64_t sector;
};
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};
enum { RANGE_UNMAP = 1 };

/* A chain that was taken and not given back. */
struct slot {
	struct disk_request r;
	bool taken, submitted;
	uint16_t queue;
	uint32_t life; /* of the device: the driver may have reset it since */
	struct virtqueue_chain chain;
};

static struct block_config config;
static struct virtio device;
static struct slot slots[DISK_REQUESTS];
static uint32_t life;
static bool stopped; /* between freeze and thaw */

/* --- giving back --- */

static void finish(struct slot *s, uint8_t status, uint32_t written)
{
	struct virtqueue *q = &device.queue[s->queue].ring;

	s->taken = false;
	(void)virtqueue_write(&s->chain, s->chain.write_bytes - 1, &status, 1);
	virtqueue_give_back(q, s->chain.head, written + 1);
	virtio_interrupt(&device, s->queue);
}

static struct slot *slot_of(struct disk_request *r)
{
	return (struct slot *)((char *)r - offsetof(struct slot, r));
}

static bool request_copy(struct disk_request *r, uint64_t offset, void *buf, size_t n)
{
	struct slot *s = slot_of(r);
	bool alive;

	spin_lock(&platform_lock);
	alive = s->life == life;
	if (alive && r->op == DISK_READ)
		alive = virtqueue_write(&s->chain, offset, buf, n);
	else if (alive)
		alive = virtqueue_read(&s->chain, sizeof(struct request_header) + offset, buf, n);
	spin_unlock(&platform_lock);
	return alive;
}

static void request_done(struct disk_request *r, int status)
{
	struct slot *s = slot_of(r);

	spin_lock(&platform_lock);
	s->submitted = false;
	if (s->life != life)
		s->taken = false;
	else if (status != -EINTR) /* else it begins anew at the thaw */
		finish(s, status ? S_IOERR : S_OK,
		       !status && r->op == DISK_READ ? (uint32_t)(r->sectors * SECTOR_SIZE) : 0);
	spin_unlock(&platform_lock);
	disk_wake(); /* a slot is free */
}

/* --- taking --- */

static void submit(struct slot *s, enum disk_op op, uint64_t sector, uint64_t sectors)
{
	s->r = (struct disk_request){.op = op,
				     .sector = sector,
				     .sectors = sectors,
				     .copy = request_copy,
				     .done = request_done};
	s->submitted = true;
	disk_submit(&s->r);
}

static bool in_range(uint64_t sector, uint64_t sectors)
{
	return sector <= config.capacity && sectors <= config.capacity - sector;
}

static void start_transfer(struct slot *s, const struct request_header *h)
{
	bool in = h->type == T_IN;
	uint64_t bytes =
		in ? s->chain.write_bytes - 1 : s->chain.read_bytes - sizeof(struct request_header);
	uint64_t other =
		in ? s->chain.read_bytes - sizeof(struct request_header) : s->chain.write_bytes - 1;

	if (other || !bytes || bytes % SECTOR_SIZE || bytes > UINT32_MAX ||
	    !in_range(h->sector, bytes / SECTOR_SIZE))
		finish(s, S_IOERR, 0);
	else
		submit(s, in ? DISK_READ : DISK_WRITE, h->sector, bytes / SECTOR_SIZE);
}

static void start_range(struct slot *s, const struct request_header *h)
{
	uint32_t known = h->type == T_WRITE_ZEROES ? RANGE_UNMAP : 0;
	struct range range;

	if (s->chain.read_bytes != sizeof(*h) + sizeof(range) ||
	    !virtqueue_read(&s->chain, sizeof(*h), &range, sizeof(range)))
		finish(s, S_IOERR, 0);
	else if (range.flags & ~known)
		finish(s, S_UNSUPP, 0);
	else if (!range.sectors || range.sectors > RANGE_SECTORS_MAX ||
		 !in_range(range.sector, range.sectors))
		finish(s, S_IOERR, 0);
	else
		submit(s, h->type == T_DISCARD ? DISK_DISCARD : DISK_ZEROES, range.sector,
		       range.sectors);
}

static void give_id(struct slot *s)
{
	static const char serial[SERIAL_BYTES] = SERIAL;
	uint64_t room = s->chain.write_bytes - 1;
	uint32_t n = room < SERIAL_BYTES ? (uint32_t)room : SERIAL_BYTES;

	(void)virtqueue_write(&s->chain, 0, serial, n);
	finish(s, S_OK, n);
}

static void start(struct slot *s)
{
	struct request_header h;

	if (!s->chain.write_bytes || !virtqueue_read(&s->chain, 0, &h, sizeof(h))) {
		s->taken = false;
		virtio_broken(&device, "a request without header or status");
		return;
	}
	switch (h.type) {
	case T_IN:
	case T_OUT:
		start_transfer(s, &h);
		break;
	case T_FLUSH:
		submit(s, DISK_FLUSH, 0, 0);
		break;
	case T_GET_ID:
		give_id(s);
		break;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		start_range(s, &h);
		break;
	default:
		finish(s, S_UNSUPP, 0);
	}
}

static struct slot *free_slot(void)
{
	for (unsigned i = 0; i < DISK_REQUESTS; i++)
		if (!slots[i].taken)
			return &slots[i];
	return NULL;
}

/* False: no slot is free (one will be), or enough was taken. */
static bool take_from(unsigned queue, unsigned *enough)
{
	struct virtqueue *q = &device.queue[queue].ring;

	while (virtio_runs(&device)) {
		struct slot *s = free_slot();
		int err;

		if (!s)
			return false;
		if (!(*enough)--) {
			disk_wake();
			return false;
		}
		err = virtqueue_take(q, &s->chain);
		if (err < 0) {
			virtio_broken(&device, "a chain of descriptors that can't be");
		} else if (err) {
			s->taken = true;
			s->queue = (uint16_t)queue;
			s->life = life;
			start(s);
		} else if (!virtqueue_ask(q)) {
			break;
		}
	}
	return true;
}

void vblk_poll(void)
{
	static unsigned first; /* queues take turns */
	unsigned enough = TAKEN_AT_ONCE;

	spin_lock(&platform_lock);
	first++;
	for (unsigned i = 0; !stopped && i < device.n_queues; i++) {
		unsigned queue = (first + i) % device.n_queues;

		if (device.queue[queue].ring.enabled && !take_from(queue, &enough))
			break;
	}
	spin_unlock(&platform_lock);
}

bool vblk_driven(void)
{
	return device.status & VIRTIO_DRIVER_OK;
}

/* --- what the transport tells --- */

static void notified(struct virtio *v)
{
	if (virtio_runs(v))
		disk_wake();
}

static void forget(struct virtio *v)
{
	(void)v;
	life++;
	for (unsigned i = 0; i < DISK_REQUESTS; i++)
		slots[i].taken = slots[i].submitted;
}

/* --- unit --- */

static void vblk_reset(void *dev)
{
	(void)dev;
	virtio_reset(&device);
	forget(&device);
}

static void vblk_freeze(void *dev)
{
	(void)dev;
	stopped = true;
	disk_stop();
}

/* What was not finished begins anew, from what is in memory now. */
static void vblk_thaw(void *dev)
{
	(void)dev;
	stopped = false;
	disk_go();
	spin_lock(&platform_lock);
	for (unsigned i = 0; i < DISK_REQUESTS; i++) {
		struct slot *s = &slots[i];

		if (!s->taken)
			continue;
		if (virtqueue_chain(&device.queue[s->queue].ring, s->chain.head, &s->chain) == 0) {
			start(s);
			continue;
		}
		s->taken = false;
		virtio_broken(&device, "a chain of descriptors that changed while it was in use");
	}
	spin_unlock(&platform_lock);
	disk_wake();
}

static int vblk_save(void *dev, struct state_writer *w)
{
	uint32_t n = 0;

	(void)dev;
	state_put64(w, config.capacity);
	virtio_save(&device, w);
	for (unsigned i = 0; i < DISK_REQUESTS; i++)
		n += slots[i].taken;
	state_put32(w, n);
	for (unsigned i = 0; i < DISK_REQUESTS; i++) {
		if (!slots[i].taken)
			continue;
		state_put16(w, slots[i].queue);
		state_put16(w, slots[i].chain.head);
	}
	return w->err;
}

struct taken {
	uint16_t queue, head;
};

static void look_taken(struct state_reader *r, const struct virtio *v, struct taken *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		t[i].queue = state_get16(r);
		t[i].head = state_get16(r);
		state_require(r,
			      t[i].queue < device.n_queues && v->queue[t[i].queue].ring.enabled &&
				      t[i].head < v->queue[t[i].queue].ring.size,
			      "request of a queue that has none");
	}
}

static void vblk_load(void *dev, struct state_reader *r)
{
	static struct virtio loaded;
	struct taken t[DISK_REQUESTS];
	uint32_t n;

	(void)dev;
	state_expect(r, state_get64(r), config.capacity, "capacity");
	virtio_look(&device, r, &loaded);
	n = state_get32(r);
	if (!state_require(r, n <= DISK_REQUESTS, "number of requests"))
		return;
	look_taken(r, &loaded, t, n);
	if (!state_commit(r))
		return;
	virtio_take(&device, &loaded);
	forget(&device);
	for (uint32_t i = 0; i < n; i++) {
		slots[i].taken = true;
		slots[i].life = life;
		slots[i].queue = t[i].queue;
		slots[i].chain.head = t[i].head;
	}
}

static void vblk_scramble(void *dev)
{
	(void)dev;
	virtio_scramble(&device);
	forget(&device);
}

static const struct unit vblk_unit = {.name = "virtio-blk",
				      .version = 1,
				      .reset = vblk_reset,
				      .freeze = vblk_freeze,
				      .thaw = vblk_thaw,
				      .save = vblk_save,
				      .load = vblk_load,
				      .scramble = vblk_scramble};

void vblk_init(uint64_t sectors, unsigned queues)
{
	if (queues > VIRTIO_QUEUES_MAX)
		queues = VIRTIO_QUEUES_MAX;
	config = (struct block_config){
		.capacity = sectors,
		.seg_max = VIRTQUEUE_SEGMENTS_MAX - 2,
		.blk_size = SECTOR_SIZE,
		.num_queues = (uint16_t)queues,
		.max_discard_sectors = RANGE_SECTORS_MAX,
		.max_discard_seg = 1,
		.discard_sector_alignment = 1,
		.max_write_zeroes_sectors = RANGE_SECTORS_MAX,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = 1,
	};
	device = (struct virtio){
		.type = TYPE_BLOCK,
		.class_code = CLASS_STORAGE,
		.devfn = PCI_DEVFN(1, 0),
		.name = "virtio-blk",
		.offered = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_MQ | F_DISCARD | F_WRITE_ZEROES,
		.config = &config,
		.config_bytes = sizeof(config),
		.n_queues = queues,
		.notify = notified,
		.reset = forget,
	};
	virtio_add(&device);
	ASSERT(unit_register(&vblk_unit) == 0);
}
