// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/virtqueue.h"
#include <errno.h>
#include "hv/guest.h"

struct descriptor { /* 2.7.5 */
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
_Static_assert(sizeof(struct descriptor) == 16, "virtq_desc");

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_FLAGS = 7 };

struct used_element { /* 2.7.8 */
	uint32_t id, len;
};

/* Both rings: flags, index, then the entries, then the other side's event index. */
#define RING_FLAGS   0u
#define RING_INDEX   2u
#define RING_ENTRIES 4u
#define AVAIL_ENTRY  2u
#define USED_ENTRY   sizeof(struct used_element)

#define AVAIL_NO_INTERRUPT 1u

static bool in_ram(uint64_t at, uint64_t bytes)
{
	return bytes <= UINT64_MAX - at && guest_ptr((gpa_t){at}, bytes);
}

bool virtqueue_possible(const struct virtqueue *q)
{
	uint64_t n = q->size;

	if (!n || n > VIRTQUEUE_SIZE_MAX || (n & (n - 1)))
		return false;
	if (q->desc % 16 || q->driver % 2 || q->device % 4)
		return false;
	return in_ram(q->desc, n * sizeof(struct descriptor)) &&
	       in_ram(q->driver, RING_ENTRIES + n * AVAIL_ENTRY + 2) &&
	       in_ram(q->device, RING_ENTRIES + n * USED_ENTRY + 2);
}

/* A 16-bit field of a ring; virtqueue_possible() said that it is there, and RAM stays. */
static uint16_t *ring_field(uint64_t ring, uint64_t offset)
{
	return guest_ptr((gpa_t){ring + offset}, sizeof(uint16_t));
}

static uint16_t ring_load(uint64_t ring, uint64_t offset)
{
	return __atomic_load_n(ring_field(ring, offset), __ATOMIC_ACQUIRE);
}

static uint64_t used_event(const struct virtqueue *q)
{
	return RING_ENTRIES + (uint64_t)q->size * AVAIL_ENTRY;
}

static uint64_t avail_event(const struct virtqueue *q)
{
	return RING_ENTRIES + (uint64_t)q->size * USED_ENTRY;
}

/* --- chains --- */

static bool add_segment(struct virtqueue_chain *c, const struct descriptor *d)
{
	bool write = d->flags & DESC_WRITE;

	if (!d->len)
		return true;
	if (c->n_read + c->n_write == VIRTQUEUE_SEGMENTS_MAX || (!write && c->n_write) ||
	    !in_ram(d->addr, d->len))
		return false;
	c->segment[c->n_read + c->n_write] =
		(struct virtqueue_segment){.at = {d->addr}, .bytes = d->len};
	*(write ? &c->n_write : &c->n_read) += 1;
	*(write ? &c->write_bytes : &c->read_bytes) += d->len;
	return true;
}

struct table {
	uint64_t at;
	uint32_t entries;
	bool indirect;
};

/* The chain goes on in a table of its own: the last descriptor of the ring's (2.7.5.3). */
static bool enter_table(const struct virtqueue *q, struct table *t, const struct descriptor *d)
{
	if (!q->indirect || t->indirect || d->flags & (DESC_NEXT | DESC_WRITE) || !d->len ||
	    d->len % sizeof(*d) || !in_ram(d->addr, d->len))
		return false;
	*t = (struct table){d->addr, d->len / sizeof(*d), true};
	return true;
}

int virtqueue_chain(const struct virtqueue *q, uint16_t head, struct virtqueue_chain *c)
{
	struct table t = {q->desc, q->size, false};
	uint32_t at = head;

	c->head = head;
	c->n_read = c->n_write = 0;
	c->read_bytes = c->write_bytes = 0;
	/* a chain that is longer than all that fits is a loop */
	for (unsigned n = 0; n <= VIRTQUEUE_SEGMENTS_MAX + 1; n++) {
		struct descriptor d;

		if (at >= t.entries ||
		    guest_read((gpa_t){t.at + (uint64_t)at * sizeof(d)}, &d, sizeof(d)) != 0 ||
		    d.flags & ~DESC_FLAGS)
			return -EINVAL;
		if (d.flags & DESC_INDIRECT) {
			if (!enter_table(q, &t, &d))
				return -EINVAL;
			at = 0;
			continue;
		}
		if (!add_segment(c, &d))
			return -EINVAL;
		if (!(d.flags & DESC_NEXT))
			return 0;
		at = d.next;
	}
	return -EINVAL;
}

int virtqueue_take(struct virtqueue *q, struct virtqueue_chain *c)
{
	uint16_t waiting = (uint16_t)(ring_load(q->driver, RING_INDEX) - q->next);
	uint16_t head;
	int err;

	if (!waiting)
		return 0;
	if (waiting > q->size)
		return -EINVAL;
	head = ring_load(q->driver, RING_ENTRIES + (uint64_t)(q->next % q->size) * AVAIL_ENTRY);
	err = virtqueue_chain(q, head, c);
	if (err)
		return err;
	q->next++;
	return 1;
}

bool virtqueue_ask(const struct virtqueue *q)
{
	if (q->event_idx)
		__atomic_store_n(ring_field(q->device, avail_event(q)), q->next, __ATOMIC_RELEASE);
	/* without event indexes the used ring's flags never say that the driver need not tell */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_load(q->driver, RING_INDEX) != q->next;
}

void virtqueue_give_back(struct virtqueue *q, uint16_t head, uint32_t written)
{
	struct used_element e = {.id = head, .len = written};

	(void)guest_write((gpa_t){q->device + RING_ENTRIES + (q->used % q->size) * USED_ENTRY}, &e,
			  sizeof(e));
	q->used++;
	__atomic_store_n(ring_field(q->device, RING_INDEX), q->used, __ATOMIC_RELEASE);
}

bool virtqueue_wants_interrupt(struct virtqueue *q)
{
	uint16_t old = q->signalled, event;

	if (q->used == old)
		return false;
	q->signalled = q->used;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(ring_load(q->driver, RING_FLAGS) & AVAIL_NO_INTERRUPT);
	event = ring_load(q->driver, used_event(q));
	return (uint16_t)(q->used - event - 1) < (uint16_t)(q->used - old);
}

/* --- bytes --- */

static bool copy(const struct virtqueue_segment *s, unsigned n, uint64_t offset, uint8_t *buf,
		 size_t bytes, bool write)
{
	for (; bytes && n; s++, n--) {
		uint64_t run = s->bytes;

		if (offset >= run) {
			offset -= run;
			continue;
		}
		run -= offset;
		if (run > bytes)
			run = bytes;
		if (write ? guest_write((gpa_t){s->at.v + offset}, buf, run)
			  : guest_read((gpa_t){s->at.v + offset}, buf, run))
			return false;
		offset = 0;
		buf += run;
		bytes -= run;
	}
	return !bytes;
}

bool virtqueue_read(const struct virtqueue_chain *c, uint64_t offset, void *to, size_t n)
{
	return copy(c->segment, c->n_read, offset, to, n, false);
}

bool virtqueue_write(const struct virtqueue_chain *c, uint64_t offset, const void *from, size_t n)
{
	return copy(c->segment + c->n_read, c->n_write, offset, (uint8_t *)from, n, true);
}
