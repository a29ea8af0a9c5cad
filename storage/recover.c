// SPDX-License-Identifier: GPL-2.0-or-later
/* Making a store, and opening one: the last checkpoint, then the tail of the log. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/fmt.h"
#include "storage/crc32c.h"
#include "storage/dev.h"
#include "storage/store_internal.h"

#define SUPER_SECTORS	      16u /* both copies, a page each */
#define SUPER_BYTES	      ((size_t)SUPER_SECTORS * SECTOR_SIZE)
#define SEGMENT_SECTORS_LEAST 256u /* that can be asked for */
#define SEGMENT_SECTORS_MIN   2048u
#define SEGMENT_SECTORS_GOOD  (2u * SEGMENT_SECTORS_MIN)
#define SEGMENTS_GOOD	      256u
#define SEGMENTS_MAX	      65536u
#define SEGMENTS_MIN	      24u
#define CACHE_DEFAULT	      (16u << 20)
#define MEMTABLE_DEFAULT      (2u << 20)
#define READ_SECTORS	      512u		/* of a record's data at once */
#define MEMTABLE_MIN	      4096u		/* holds a record's extents */
#define OWNER_TAIL	      (OWNER_INDEX - 1) /* while the tail is replayed: it goes on there */
#define SAMPLE_BYTES	      4096u
#define FIRST_DELTA	      1u

/* --- the golden image's identity --- */

static int sample_golden(struct blockdev *golden, uint32_t sample[GOLDEN_SAMPLES])
{
	uint64_t blocks = golden->sectors / (SAMPLE_BYTES / SECTOR_SIZE);
	char *buf = malloc(SAMPLE_BYTES);
	int err = buf ? 0 : -ENOMEM;

	memset(sample, 0, GOLDEN_SAMPLES * sizeof(sample[0]));
	for (unsigned i = 0; i < GOLDEN_SAMPLES && !err && blocks; i++) {
		uint64_t block = blocks > GOLDEN_SAMPLES ? blocks / GOLDEN_SAMPLES * i : i;

		if (block >= blocks)
			break;
		err = dev_read(golden, block * (SAMPLE_BYTES / SECTOR_SIZE), buf, SAMPLE_BYTES);
		sample[i] = crc32c(0, buf, SAMPLE_BYTES);
	}
	free(buf);
	return err;
}

/* --- format --- */

static uint32_t segment_size(const struct blockdev *dev, const struct store_options *o)
{
	uint32_t size = SEGMENT_SECTORS_MIN;

	if (o && o->segment_sectors)
		return o->segment_sectors;
	/* large ones cost fewer records, small ones less space while few of their sectors are seen
	 */
	while (size < SEGMENT_SECTORS_GOOD && dev->sectors / size > SEGMENTS_GOOD)
		size *= 2;
	while (dev->sectors / size > SEGMENTS_MAX)
		size *= 2;
	return size;
}

/* 0: empty or may be overwritten. */
static int look_for_others(struct blockdev *dev, bool force)
{
	struct superblock *b = malloc(SUPER_BYTES);
	bool empty = true, store;
	int err = b ? dev_read(dev, 0, b, SUPER_BYTES) : -ENOMEM;

	if (!err) {
		const char *bytes = (const char *)b;

		for (size_t i = 0; i < SUPER_BYTES; i++)
			empty = empty && !bytes[i];
		store = super_valid(b) ||
			super_valid((const void *)(bytes + SUPER_SECTOR(1) * SECTOR_SIZE));
		if (!empty && !(store && force))
			err = -EEXIST;
	}
	free(b);
	return err;
}

static void make_uuid(uint8_t uuid[16], uint64_t seed)
{
	for (unsigned i = 0; i < 16; i++) { /* splitmix64 */
		uint64_t z = seed += 0x9e3779b97f4a7c15ull;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ z >> 27) * 0x94d049bb133111ebull;
		uuid[i] = (uint8_t)(z >> 56);
	}
	uuid[6] = (uuid[6] & 0xf) | 0x40; /* RFC 4122, version 4 */
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

int store_format(struct blockdev *dev, struct blockdev *golden, const struct store_options *o,
		 bool force)
{
	struct superblock *b = calloc(SUPER_COPIES, sizeof(*b));
	uint32_t size = segment_size(dev, o);
	int err = b ? look_for_others(dev, force) : -ENOMEM;

	if (!err && (size < SEGMENT_SECTORS_LEAST || (size & (size - 1)) ||
		     dev->sectors < SUPER_SECTORS + (uint64_t)size * SEGMENTS_MIN))
		err = -EINVAL;
	if (!err)
		err = sample_golden(golden, b->golden_sample);
	if (!err) {
		b->magic = SUPER_MAGIC;
		b->version = STORE_VERSION;
		make_uuid(b->uuid, o ? o->seed : 0);
		b->generation = 1;
		b->sectors = dev->sectors;
		b->first_segment = SUPER_SECTORS;
		b->segment_sectors = size;
		b->segments = (uint32_t)((dev->sectors - SUPER_SECTORS) / size);
		b->golden_sectors = golden->sectors;
		b->replay.sequence = 1;
		b->crc = super_checksum(b);
		/* a record that lies at the log's start from an earlier life has another UUID */
		err = dev_write(dev, SUPER_SECTOR(1), b, sizeof(*b));
	}
	if (!err)
		err = dev_write(dev, SUPER_SECTOR(0), &(struct superblock){0}, sizeof(*b));
	if (!err)
		err = dev_flush(dev);
	free(b);
	return err;
}

/* --- replay --- */

struct replay {
	struct log_position at;
	uint64_t epoch;
	char *buf; /* a segment's worth is enough for any payload */
	bool claimed;
};

static bool plausible(const struct store *s, const struct record *r, uint32_t room)
{
	uint64_t sectors = 0;

	if (r->type == RECORD_NEXT)
		return !r->payload_sectors && r->next_segment < s->super.segments;
	if (r->payload_sectors >= room) /* a sector is left for RECORD_NEXT */
		return false;
	if (r->type == RECORD_SEAL)
		return !r->payload_sectors && r->seal.name[0] && !r->seal.name[STORE_NAME_MAX];
	if (r->type != RECORD_WRITES || r->n > RECORD_EXTENTS_MAX)
		return false;
	for (unsigned i = 0; i < r->n; i++) {
		sectors += r->extent[i].zero ? 0 : r->extent[i].len;
		if (!r->extent[i].len || r->extent[i].start > s->super.golden_sectors ||
		    r->extent[i].len > s->super.golden_sectors - r->extent[i].start)
			return false;
	}
	return sectors == r->payload_sectors;
}

/* 1: the record at p->at, whose data may be torn; 0: the log ends here. */
static int read_header(struct store *s, const struct replay *p, struct record *r)
{
	uint32_t room = s->super.segment_sectors - p->at.offset;
	int err = dev_read(s->dev, segment_sector(s, p->at.segment) + p->at.offset, r, sizeof(*r));

	if (err)
		return err;
	return record_valid(s, r, p->at.sequence) && r->epoch >= p->epoch &&
	       r->epoch <= s->super.epoch && plausible(s, r, room - 1);
}

static void step_over(struct replay *p, const struct record *r)
{
	p->epoch = r->epoch;
	p->at.sequence++;
	p->at.offset += 1 + r->payload_sectors;
	if (r->type == RECORD_NEXT)
		p->at = (struct log_position){r->next_segment, 0, p->at.sequence};
}

/* The index must not be written where the rest of the tail lies. */
static int claim_tail(struct store *s, struct replay *p)
{
	struct replay ahead = *p;
	struct record *r = malloc(sizeof(*r));
	int more = r ? 1 : -ENOMEM;

	while (more > 0 && (more = read_header(s, &ahead, r)) > 0) {
		step_over(&ahead, r);
		if (r->type != RECORD_NEXT)
			continue;
		if (s->segments[r->next_segment].owner != OWNER_FREE)
			break; /* the replay will see that, too, if it comes so far */
		s->segments[r->next_segment].owner = OWNER_TAIL;
		s->free_segments--;
	}
	free(r);
	p->claimed = true;
	return more < 0 ? more : 0;
}

/* What lies behind the torn end. */
static void unclaim_rest(struct store *s)
{
	for (uint32_t i = 0; i < s->super.segments; i++)
		if (s->segments[i].owner == OWNER_TAIL) {
			s->segments[i].owner = OWNER_FREE;
			s->free_segments++;
		}
}

/* Memtables become runs, so that there is room for one more, or for one more run. */
static int replay_flush(struct store *s, struct replay *p)
{
	int err = p->claimed ? 0 : claim_tail(s, p);

	if (err)
		return err;
	return s->open.n_mem > 1 ? index_flush_memtables(s) : index_merge(s, true);
}

/* A memtable holds whole records: the next one begins with the one at p->at. */
static int replay_switch(struct store *s, struct replay *p)
{
	struct memtable *m;
	int err = s->open.n_mem == MEMTABLES_MAX ? replay_flush(s, p) : 0;

	if (err)
		return err;
	m = memtable_new(s, p->at);
	if (!m)
		return -ENOMEM;
	view_push_memtable(&s->open, m);
	s->log.tail_sectors = 0;
	return 0;
}

/* The record's extents, into the memtable. */
static int replay_writes(struct store *s, struct replay *p, const struct record *r)
{
	uint64_t data = segment_sector(s, p->at.segment) + p->at.offset + 1;

	if (!extents_room(s->open.mem[0]->map, r->n)) {
		int err = replay_switch(s, p);

		if (err)
			return err;
	}
	for (unsigned i = 0; i < r->n; i++) {
		const struct record_extent *x = &r->extent[i];
		struct extent e = {x->start, x->len, x->zero ? EXTENT_ZERO : data};

		log_remember(s, &e);
		if (!x->zero)
			data += x->len;
	}
	return 0;
}

static int replay_seal(struct store *s, struct replay *p, const struct record *r)
{
	struct log_position next = p->at;
	int err = tree_may_seal(s, r->seal.name, r->seal.next_delta) ? 0 : -EUCLEAN;

	while (!err && view_full(&s->open))
		err = replay_flush(s, p);
	if (err)
		return err;
	next.offset++;
	next.sequence++;
	s->log.leave_segment = true;
	return tree_sealed(s, r->seal.name, r->seal.next_delta, next);
}

static int replay_next(struct store *s, const struct record *r)
{
	struct segment *g = &s->segments[r->next_segment];

	if (g->owner != OWNER_FREE && g->owner != OWNER_TAIL)
		return -EUCLEAN;
	if (g->owner == OWNER_FREE)
		s->free_segments--;
	*g = (struct segment){.owner = s->open_delta, .first = r->sequence + 1};
	s->log.leave_segment = false;
	return 0;
}

static int replay_record(struct store *s, struct replay *p, const struct record *r)
{
	int err;

	if (r->type == RECORD_WRITES)
		err = replay_writes(s, p, r);
	else
		err = r->type == RECORD_SEAL ? replay_seal(s, p, r) : replay_next(s, r);
	s->log.tail_sectors += 1 + r->payload_sectors;
	step_over(p, r);
	return err;
}

/* 1: a record; 0: the log ends here. */
static int read_record(struct store *s, struct replay *p, struct record *r)
{
	uint64_t data = segment_sector(s, p->at.segment) + p->at.offset + 1;
	int more = read_header(s, p, r);
	uint32_t crc = 0;

	if (more <= 0 || !r->payload_sectors)
		return more;
	for (uint32_t done = 0, n; done < r->payload_sectors; done += n) {
		int err;

		n = r->payload_sectors - done < READ_SECTORS ? r->payload_sectors - done
							     : READ_SECTORS;
		err = dev_read(s->dev, data + done, p->buf, (size_t)n * SECTOR_SIZE);
		if (err)
			return err;
		crc = crc32c(crc, p->buf, (size_t)n * SECTOR_SIZE);
	}
	return crc == r->payload_crc;
}

static int replay_all(struct store *s)
{
	struct replay p = {.at = s->super.replay};
	struct record *r = malloc(sizeof(*r));
	int err = 0, more = 1;

	p.buf = malloc((size_t)READ_SECTORS * SECTOR_SIZE);
	if (!r || !p.buf)
		err = -ENOMEM;
	while (!err && more > 0) {
		more = read_record(s, &p, r);
		if (more < 0)
			err = more;
		if (more <= 0)
			break;
		err = replay_record(s, &p, r);
	}
	unclaim_rest(s);
	free(p.buf);
	free(r);
	if (!err)
		log_resume(s, p.at);
	return err;
}

/* --- open --- */

static int read_super(struct store *s, char *why, size_t size)
{
	struct superblock *b = malloc(SUPER_BYTES), *best = NULL;
	int err = b ? dev_read(s->dev, 0, b, SUPER_BYTES) : -ENOMEM;

	if (err) {
		fmt(why, size, "the store's device can't be read (%d)", err);
		free(b);
		return err;
	}
	for (unsigned i = 0; i < SUPER_COPIES; i++) {
		struct superblock *x = (void *)((char *)b + (size_t)SUPER_SECTOR(i) * SECTOR_SIZE);

		if (super_valid(x) && (!best || x->generation > best->generation))
			best = x;
	}
	if (!best) {
		fmt(why, size, "%s",
		    b->magic == SUPER_MAGIC
			    ? "both superblocks are damaged: restore the store from a copy"
			    : "there is no store here: format it first (disk format)");
		err = -EUCLEAN;
	} else {
		s->super = *best;
	}
	free(b);
	return err;
}

static int check_super(struct store *s, char *why, size_t size)
{
	const struct superblock *b = &s->super;

	if (b->version != STORE_VERSION) {
		fmt(why, size,
		    "a store of format version %u, and this is version %u: use its stasis",
		    (unsigned)b->version, STORE_VERSION);
		return -EUCLEAN;
	}
	if (b->sectors > s->dev->sectors) {
		fmt(why, size, "the store has %llu sectors and its device %llu: it was cut off",
		    (unsigned long long)b->sectors, (unsigned long long)s->dev->sectors);
		return -EUCLEAN;
	}
	if (!b->segment_sectors || (b->segment_sectors & (b->segment_sectors - 1)) ||
	    b->segment_sectors < SEGMENT_SECTORS_LEAST || b->segments < SEGMENTS_MIN ||
	    b->segments > SEGMENTS_MAX || b->first_segment < SUPER_SECTORS ||
	    (b->sectors - b->first_segment) / b->segment_sectors < b->segments ||
	    b->first_segment > b->sectors || b->replay.segment >= b->segments ||
	    b->replay.offset >= b->segment_sectors || b->golden_sectors > INT64_MAX / SECTOR_SIZE) {
		fmt(why, size, "the superblock contradicts itself: restore the store from a copy");
		return -EUCLEAN;
	}
	return 0;
}

static int check_golden(struct store *s, char *why, size_t size)
{
	uint32_t sample[GOLDEN_SAMPLES];
	int err;

	if (s->golden->sectors != s->super.golden_sectors) {
		fmt(why, size,
		    "the golden image has %llu sectors, the one of this store had %llu: it is "
		    "another "
		    "image",
		    (unsigned long long)s->golden->sectors,
		    (unsigned long long)s->super.golden_sectors);
		return -ESTALE;
	}
	err = sample_golden(s->golden, sample);
	if (err) {
		fmt(why, size, "the golden image can't be read (%d)", err);
		return err;
	}
	if (memcmp(sample, s->super.golden_sample, sizeof(sample)) != 0) {
		fmt(why, size,
		    "the golden image is not the one that this store was made for, or has been "
		    "changed: bring the original back");
		return -ESTALE;
	}
	return 0;
}

static int set_up(struct store *s)
{
	const struct page_area area = page_area(s);
	struct memtable *m;

	s->segments = calloc(s->super.segments, sizeof(*s->segments));
	s->cache = cache_create(s->dev, s->options.cache_bytes, &area);
	s->free_segments = s->super.segments;
	s->index_segment = NO_SEGMENT;
	if (!s->segments || !s->cache || log_init(s) != 0)
		return -ENOMEM;
	s->open_delta = FIRST_DELTA;
	s->next_delta = FIRST_DELTA + 1;
	s->next_run = 1;
	if (s->super.manifest) {
		int err = manifest_load(s);

		if (err)
			return err;
	}
	if (s->segments[s->super.replay.segment].owner == OWNER_FREE) {
		s->segments[s->super.replay.segment].owner = s->open_delta;
		s->free_segments--;
	}
	s->log.segment = s->super.replay.segment;
	s->log.leave_segment = s->segments[s->log.segment].owner != s->open_delta;
	m = memtable_new(s, s->super.replay);
	if (!m)
		return -ENOMEM;
	s->open.mem[s->open.n_mem++] = m;
	return 0;
}

static void take_apart(struct store *s)
{
	struct point *p;

	view_put(s, &s->open);
	while ((p = s->points) != NULL) {
		s->points = p->next;
		view_put(s, &p->view);
		free(p);
	}
	while (s->runs) { /* of a manifest that was not taken */
		s->runs->refs = 1;
		run_put(s, s->runs);
	}
	cache_free(s->cache);
	log_free(s);
	free(s->segments);
	free(s->manifest_pages);
	free(s);
}

static int recover(struct store *s, char *why, size_t size)
{
	int err = read_super(s, why, size);

	if (!err)
		err = check_super(s, why, size);
	if (!err && s->golden)
		err = check_golden(s, why, size);
	if (err)
		return err;
	err = set_up(s);
	if (!err)
		err = replay_all(s);
	if (err == -EUCLEAN)
		fmt(why, size, "the index is damaged: run stasis-store check");
	else if (err)
		fmt(why, size, "the store can't be opened (%d)", err);
	if (err)
		return err;
	if (s->dev->read_only) {
		store_fail(s, -EROFS, false);
		return 0;
	}
	/* from now on: records of this opening, told apart from what lies behind the torn tail */
	s->super.epoch++;
	err = super_write(s);
	if (err)
		fmt(why, size, "the superblock can't be written (%d)", err);
	return err;
}

int store_open(struct blockdev *dev, struct blockdev *golden, const struct store_options *o,
	       struct store **store, char *why, size_t why_size)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	if (o)
		s->options = *o;
	if (!s->options.cache_bytes)
		s->options.cache_bytes = CACHE_DEFAULT;
	if (!s->options.memtable_bytes)
		s->options.memtable_bytes = MEMTABLE_DEFAULT;
	if (s->options.memtable_bytes < MEMTABLE_MIN)
		s->options.memtable_bytes = MEMTABLE_MIN;
	s->dev = dev;
	s->golden = golden;
	err = recover(s, why, why_size);
	if (!err && !dev->read_only)
		err = fiber_spawn(store_background, s);
	if (err) {
		take_apart(s);
		return err;
	}
	*store = s;
	return 0;
}

int store_close(struct store *s)
{
	int err;

	if (s->dev->read_only) {
		take_apart(s);
		return 0;
	}
	err = log_flush(s);
	s->closing = s->cancel = true;
	fiber_queue_wake(&s->work_wait);
	while (!s->background_gone)
		fiber_yield();
	s->cancel = false; /* nothing else holds `background` any more */
	if (!err)
		err = memtable_switch_here(s);
	if (!err)
		err = index_flush_memtables(s);
	if (!err)
		err = log_flush(s);
	if (!err)
		err = checkpoint(s);
	take_apart(s);
	return err;
}
