/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a store, for the files beside it. Everything inside fibers of one CPU. */
#pragma once
#include "storage/cache.h"
#include "storage/extents.h"
#include "storage/fiber.h"
#include "storage/run.h"
#include "storage/store.h"
#include "storage/store_format.h"

#define MEMTABLES_MAX	 4	     /* that wait to be written, the active one included */
#define TAIL_SECTORS_MAX (64u << 11) /* 64 MiB of log between checkpoints */
#define POINTS_MAX	 1024
#define NO_SEGMENT	 UINT32_MAX
#define RESERVE_SEGMENTS 8u /* for the index, the cleaner and seals, when the guest gets ENOSPC */

struct memtable {
	struct extents *map;
	struct log_position start; /* of the records whose extents it holds */
	uint32_t delta;
	unsigned refs;
};

/* What a reader sees, newest first; below it lies the golden image. */
struct view {
	unsigned n_mem, n_runs;
	struct memtable *mem[MEMTABLES_MAX];
	struct run *run[RUNS_PER_VIEW];
};

struct point {
	struct point *next; /* by creation */
	char name[STORE_NAME_MAX + 1];
	uint32_t delta, parent;
	struct view view;
};

enum pending {
	IN_USE,
	RELEASED, /* no longer needed by what the next checkpoint will describe */
	LEAVING,  /* the checkpoint that is being written says that it is free */
};

struct segment {
	uint32_t owner;
	uint32_t live;	 /* sectors of log data that are still seen, or pages of the index */
	uint64_t first;	 /* sequence of its first record; 0: before the tail */
	uint8_t pending; /* enum pending */
	bool cleaned;	 /* copied already, waits for its index to be merged */
};

struct window { /* a stretch of the log that is not yet written, or not completely */
	char *buf;
	uint64_t base;		      /* store sector */
	uint32_t fill, written, size; /* sectors; fill: of closed and open records */
	bool writing;
};

struct log {
	struct window window[2];
	uint32_t window_sectors; /* of one */
	unsigned current;
	uint32_t segment;	   /* of the current window */
	uint64_t sequence;	   /* of the record to come */
	struct record *open;	   /* in the current window, its payload grows; NULL: none */
	uint32_t payload_at;	   /* sector in the window where that payload starts */
	bool leave_segment;	   /* the segment belongs to a sealed delta */
	uint64_t appended, stable; /* counts of records, for flush */
	bool flushing;
	struct fiber_queue wait; /* for a window, or for a flush to end */
	uint64_t tail_sectors;	 /* since the replay position of the memtable in use */
};

struct store {
	struct blockdev *dev, *golden;
	struct superblock super;
	struct store_options options;
	struct page_cache *cache;
	struct log log;
	struct view open;
	uint32_t open_delta, open_parent, next_delta;
	uint64_t next_run;
	struct point *points;
	struct run *runs;
	struct segment *segments;
	uint32_t free_segments, search_from, index_segment, index_pages; /* used in index_segment */
	uint64_t *manifest_pages; /* of the manifest that the superblock names */
	uint32_t n_manifest_pages;
	struct fiber_mutex background;	  /* one unit of work, or one operation on the tree */
	bool cancel;			  /* somebody waits for `background`: merging stops soon */
	struct fiber_queue memtable_wait; /* for a memtable to be written */
	struct fiber_queue work_wait;	  /* the background fiber, for something to do */
	struct fiber_queue space_wait;	  /* for the background fiber to have done something */
	bool closing, background_gone, work_done, space_wanted;
	unsigned readers[2], phase;
	struct fiber_queue readers_wait;
	int failed;	      /* the log can't be written: every later write says so */
	bool failed_for_good; /* what is in memory is no longer all that the device lacks */
	struct store_stats stats;
	/* cleaner: blocks that it is copying, and whether somebody wrote there meanwhile */
	struct extent copying;
	bool copy_spoiled, copying_now;
};

/* --- segments.c --- */
uint64_t segment_sector(const struct store *s, uint32_t segment);
struct page_area page_area(const struct store *s);
uint32_t segment_of(const struct store *s, uint64_t sector);
/* -ENOSPC; `reserve` segments stay free. */
int segment_alloc(struct store *s, uint32_t owner, uint32_t reserve, uint32_t *segment);
void segment_release(struct store *s, uint32_t segment); /* free after the next checkpoint */
void segments_mark(struct store *s);			 /* a checkpoint is about to be described */
void segments_settle(struct store *s); /* it is on the device: waits for readers */
void segment_live(struct store *s, uint64_t addr, uint64_t sectors, bool more); /* log data */
void segment_dead(void *store, uint64_t addr, uint64_t sectors); /* for extents_put */
bool segment_in_tail(const struct store *s,
		     uint32_t segment); /* needed until the next checkpoint */
void segments_reap(struct store *s);	/* releases the open delta's empty ones */

/* --- log.c --- */
int log_init(struct store *s);
void log_free(struct store *s);
void log_resume(struct store *s, struct log_position at); /* after recovery */
struct log_position log_position(struct store *s); /* of the next record; closes the open one */
/* Data from `vec` at byte `skip`, NULL: zeros; entered into the active memtable, too. */
int log_append(struct store *s, const struct extent *where, const struct block_vec *vec,
	       size_t skip, uint32_t reserve);
/* What the cleaner read; -EAGAIN: the guest wrote there meanwhile. */
int log_copy(struct store *s, const struct extent *where, const struct block_vec *vec);
int log_seal_room(struct store *s); /* 1: it has waited, ask again */
void log_seal(struct store *s, const char *name, uint32_t next_delta); /* there is room */
void log_remember(struct store *s, const struct extent *e); /* into the active memtable */
int log_write(struct store *s); /* the device has all records so far, perhaps in its cache */
int log_flush(struct store *s);
void log_forget(struct store *s, uint64_t sector, uint64_t sectors); /* that place has a new use */
/* Data that is still in memory. False: it is on the device. */
bool log_peek(const struct store *s, uint64_t addr, const char **data, uint64_t *sectors);
bool record_valid(const struct store *s, const struct record *r, uint64_t sequence);
uint32_t record_checksum(const struct record *r);

/* --- views.c --- */
void view_get(struct view *to, const struct view *from); /* takes references */
void view_put(struct store *s, struct view *v);
void run_put(struct store *s, struct run *r);
/* Somebody looks: what the view shows stays where it is, whatever happens to its segments. */
struct reader {
	struct view view;
	unsigned phase;
};
void reader_begin(struct store *s, struct reader *r, const struct view *v);
void reader_end(struct store *s, struct reader *r);
struct memtable *memtable_new(struct store *s, struct log_position start);
void memtable_put(struct memtable *m);
/* The active one is closed. 1: there were too many; it has waited, look again. */
int memtable_switch(struct store *s);
/* The same for who holds `background`: it would wait for itself, and makes them runs instead. */
int memtable_switch_here(struct store *s);
/* No seal now: its point's memtables would become more runs than a view holds. */
bool view_full(const struct view *v);
void view_push_memtable(struct view *v, struct memtable *m); /* takes the reference */
void view_push_run(struct view *v, struct run *r);
void view_replace_runs(struct view *v, unsigned first, unsigned n,
		       struct run *r); /* NULL: by none */
/* Where each of `n` <= RESOLVE_MAX sectors lies: store sector, EXTENT_ZERO or ADDR_GOLDEN. */
#define RESOLVE_MAX 256
#define ADDR_GOLDEN (UINT64_MAX - 1)
int view_resolve(struct store *s, const struct view *v, uint64_t sector, unsigned n,
		 uint64_t *addr);

/* --- index.c --- */
int index_flush_memtables(struct store *s); /* all but the active one become runs */
int index_merge(struct store *s, bool all); /* 0, 1: nothing to do, -ECANCELED */
int index_gather(struct store *s);	    /* all that is in the open view becomes one run */
int index_page_alloc(struct store *s, uint64_t *addr); /* the next page of the index segment */
void index_page_drop(struct store *s, uint64_t addr);  /* nothing needs it any more */
bool index_wants_merge(const struct store *s);

/* --- manifest.c --- */
int checkpoint(struct store *s); /* memtables become runs first, but for the active one */
int manifest_load(struct store *s);
uint32_t super_checksum(const struct superblock *b);
bool super_valid(const struct superblock *b);
int super_write(struct store *s);

/* --- tree.c --- */
/* A seal of the log: no such name yet, and a number that is not in use. */
bool tree_may_seal(const struct store *s, const char *name, uint32_t next_delta);
/* The open delta becomes a point; the next one's log begins at `next`. Never waits. */
int tree_sealed(struct store *s, const char *name, uint32_t next_delta, struct log_position next);

/* Nothing happens in the background until tree_unlock. */
void tree_lock(struct store *s);
void tree_unlock(struct store *s);

/* --- store.c --- */
/* `retry`: all that the device may lack is still in memory: the log's windows, the memtables. */
void store_fail(struct store *s, int err, bool retry);
int store_sync(struct store *s); /* flushes the device's cache; the store fails if that does */
int view_read(struct store *s, const struct view *from, uint64_t sector,
	      const struct block_vec *vec, unsigned n);
void store_background(void *arg); /* the store */
void make_space(struct store *s); /* waits for the background fiber's next attempt */
#define SPACE_TRIES 3u

/* --- clean.c --- */
int space_find(struct store *s); /* 0: there is more than before; 1: no */
