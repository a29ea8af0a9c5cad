// SPDX-License-Identifier: GPL-2.0-or-later
/* The tree of sealed points, and the open delta that hangs somewhere in it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/store_internal.h"

static struct point *find_point(const struct store *s, const char *name)
{
	struct point *p = s->points;

	while (p && strcmp(p->name, name) != 0)
		p = p->next;
	return p;
}

static unsigned count_points(const struct store *s)
{
	unsigned n = 0;

	for (const struct point *p = s->points; p; p = p->next)
		n++;
	return n;
}

static void add_point(struct store *s, struct point *p)
{
	struct point **last = &s->points;

	while (*last)
		last = &(*last)->next;
	*last = p;
}

/* --- sealing --- */

bool tree_may_seal(const struct store *s, const char *name, uint32_t next_delta)
{
	return !find_point(s, name) && count_points(s) < POINTS_MAX &&
	       next_delta >= s->next_delta && next_delta < DELTA_LIMIT;
}

int tree_sealed(struct store *s, const char *name, uint32_t next_delta, struct log_position next)
{
	struct point *p = calloc(1, sizeof(*p));
	struct memtable *m = memtable_new(s, next);

	if (!p || !m) {
		free(p);
		if (m)
			memtable_put(m);
		return -ENOMEM;
	}
	strncpy(p->name, name, STORE_NAME_MAX);
	p->delta = s->open_delta;
	p->parent = s->open_parent;
	view_get(&p->view, &s->open);
	add_point(s, p);
	s->open_parent = s->open_delta;
	s->open_delta = next_delta;
	if (s->next_delta <= next_delta)
		s->next_delta = next_delta + 1;
	m->delta = next_delta;
	view_push_memtable(&s->open, m);
	s->log.tail_sectors = 0;
	return 0;
}

static bool good_name(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= STORE_NAME_MAX;
}

int store_seal(struct store *s, const char *name)
{
	int err;

	if (!good_name(name))
		return -EINVAL;
	for (;;) { /* both at once, without waiting in between */
		if (find_point(s, name))
			return -EEXIST;
		if (count_points(s) == POINTS_MAX || s->next_delta >= DELTA_LIMIT)
			return -ENOSPC;
		if (view_full(&s->open)) {
			fiber_queue_wake(&s->work_wait);
			fiber_queue_wait(&s->memtable_wait);
			continue;
		}
		err = log_seal_room(s);
		if (err <= 0)
			break;
	}
	if (err)
		return err;
	log_seal(s, name, s->next_delta);
	err = tree_sealed(s, name, s->next_delta, log_position(s));
	if (err) {
		store_fail(s, err, false); /* the log says otherwise */
		return err;
	}
	err = log_flush(s);
	fiber_queue_wake(
		&s->work_wait); /* only now: the seal waits for nobody's work but its own */
	return err;
}

/* --- going back, and elsewhere --- */

void tree_lock(struct store *s)
{
	s->cancel = true;
	fiber_lock(&s->background);
	s->cancel = false;
}

void tree_unlock(struct store *s)
{
	fiber_unlock(&s->background);
	fiber_queue_wake(&s->work_wait);
}

/* The open delta's segments, but for the one in which the log goes on. */
static void drop_segments(struct store *s, uint32_t delta)
{
	for (uint32_t i = 0; i < s->super.segments; i++) {
		if (s->segments[i].owner != delta)
			continue;
		if (i == s->log.segment) {
			s->segments[i].owner = s->open_delta;
			s->segments[i].live = 0;
		} else {
			segment_release(s, i);
		}
	}
}

/* `p` NULL: on top of the golden image. */
static int open_at(struct store *s, const struct point *p)
{
	struct memtable *m;
	struct view old = s->open;
	uint32_t delta = s->open_delta;
	int err;

	m = memtable_new(s, log_position(s));
	if (!m)
		return -ENOMEM;
	s->open_delta = s->next_delta++;
	m->delta = s->open_delta;
	s->open_parent = p ? p->delta : 0;
	if (p)
		view_get(&s->open, &p->view);
	else
		s->open = (struct view){0};
	s->open.mem[0] = m; /* the point's are all written */
	s->open.n_mem = 1;
	s->log.tail_sectors = 0;
	drop_segments(s, delta);
	view_put(s, &old);
	err = checkpoint(s);
	if (err) /* the device is at another point */
		store_fail(s, err, false);
	return err;
}

static int rollback(struct store *s, const char *name)
{
	const struct point *p = name ? find_point(s, name) : NULL;
	int err = p || !name ? log_flush(s) : -ENOENT;

	if (!err) /* last: no seal may come in between */
		err = index_flush_memtables(s);
	return err ? err : open_at(s, p);
}

int store_rollback(struct store *s, const char *name)
{
	int err;

	tree_lock(s);
	err = rollback(s, name);
	tree_unlock(s);
	return err;
}

int store_branch(struct store *s, const char *name, const char *keep)
{
	int err;

	if (name && !find_point(s, name))
		return -ENOENT;
	err = store_seal(s, keep);
	return err ? err : store_rollback(s, name);
}

/* --- merging --- */

static unsigned children(const struct store *s, uint32_t delta, struct point **child)
{
	unsigned n = s->open_parent == delta;

	*child = NULL;
	for (struct point *p = s->points; p; p = p->next) {
		if (p->parent != delta)
			continue;
		*child = p;
		n++;
	}
	return n;
}

static void remove_point(struct store *s, struct point *p)
{
	struct point **at = &s->points;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	view_put(s, &p->view);
	free(p);
}

static void hand_over(struct store *s, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < s->super.segments; i++)
		if (s->segments[i].owner == from)
			s->segments[i].owner = to;
}

static int count_run(struct store *s, const struct run *r, uint32_t *live)
{
	struct run_cursor c;
	struct extent e;
	int err = run_cursor_begin(&c, r, s->cache, 0);

	if (err)
		return err;
	while ((err = run_cursor_next(&c, &e)) == 0)
		if (e.addr != EXTENT_ZERO)
			live[segment_of(s, e.addr)] += (uint32_t)e.len;
	run_cursor_end(&c);
	return err == -ENOENT ? 0 : err;
}

static void take_counts(struct store *s, const uint32_t *live)
{
	struct extent e;

	for (uint32_t i = 0; i < s->super.segments; i++)
		if (s->segments[i].owner == s->open_delta)
			s->segments[i].live = live[i];
	for (uint64_t at = 0; extents_find(s->open.mem[0]->map, at, &e); at = extent_end(&e))
		if (e.addr != EXTENT_ZERO)
			segment_live(s, e.addr, e.len, true);
}

/* What the point had and its child hides was not counted as dead as long as the point saw it. */
static int recount(struct store *s)
{
	uint32_t *live;
	int err = index_gather(s);

	if (err)
		return err;
	live = calloc(s->super.segments, sizeof(*live));
	if (!live)
		return -ENOMEM;
	err = s->open.n_runs ? count_run(s, s->open.run[0], live) : 0;
	if (!err) /* else what was counted before is too much: nothing gets lost */
		take_counts(s, live);
	free(live);
	return err;
}

static int merge_point(struct store *s, const char *name)
{
	struct point *p = find_point(s, name), *child;
	unsigned n;
	int err = p ? index_flush_memtables(s) : -ENOENT;

	if (err)
		return err;
	n = children(s, p->delta, &child);
	if (n > 1)
		return -EBUSY;
	if (child)
		child->parent = p->parent;
	else if (n)
		s->open_parent = p->parent;
	hand_over(s, p->delta, child ? child->delta : s->open_delta);
	remove_point(s, p);
	if (!child)
		err = recount(s);
	if (!err)
		err = log_flush(s);
	if (!err)
		segments_reap(s);
	return err ? err : checkpoint(s);
}

int store_merge(struct store *s, const char *name)
{
	int err;

	tree_lock(s);
	err = merge_point(s, name);
	tree_unlock(s);
	return err;
}

/* --- looking --- */

static uint64_t delta_bytes(const struct store *s, uint32_t delta)
{
	uint64_t sectors = 0;

	for (uint32_t i = 0; i < s->super.segments; i++)
		if (s->segments[i].owner == delta)
			sectors += s->segments[i].live;
	return sectors * SECTOR_SIZE;
}

int store_point(const struct store *s, unsigned nth, struct store_point *p)
{
	const struct point *x = s->points;

	while (x && nth) {
		x = x->next;
		nth--;
	}
	if (nth)
		return -ENOENT;
	*p = (struct store_point){.open = !x,
				  .id = x ? x->delta : s->open_delta,
				  .parent = x ? x->parent : s->open_parent};
	if (x)
		memcpy(p->name, x->name, sizeof(p->name));
	p->bytes = delta_bytes(s, p->id);
	return 0;
}
