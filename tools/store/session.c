// SPDX-License-Identifier: GPL-2.0-or-later
/* Opening the store and its golden image, and the fiber in which a command runs. */
#include <stdlib.h>
#include <string.h>
#include "storage/dev.h"
#include "storage/fiber.h"
#include "storage/store_internal.h"
#include "tools/store/tool.h"

#define STACKS	    8
#define STACK_BYTES (1u << 20) /* libnbd and libext2fs run on them */
#define TURNS	    64

void fiber_overflow(void)
{
	die("a fiber's stack is too small: this is a bug of stasis-store");
}

struct call {
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

static void called(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	c->done = true;
}

void in_fiber(void (*fn)(void *arg), void *arg)
{
	struct fiber_sched *s = fiber_sched_create(STACKS, STACK_BYTES);
	struct call c = {fn, arg, false};

	if (!s || fiber_start(s, called, &c) != 0)
		die("out of memory");
	while (!c.done) /* files answer at once: nothing waits for long */
		fiber_run(s, TURNS);
	fiber_sched_free(s);
}

/* Where no superblock is, store_open's advice is a node's. */
static void reword(struct session *x)
{
	bool marked = false, valid = false, room = x->dev->sectors >= SUPER_SECTOR(SUPER_COPIES);
	struct superblock b;

	for (unsigned i = 0; room && i < SUPER_COPIES; i++) {
		if (dev_read(x->dev, SUPER_SECTOR(i), &b, sizeof(b)) != 0)
			return;
		marked |= b.magic == SUPER_MAGIC;
		valid |= super_valid(&b);
	}
	if (!valid)
		(void)snprintf(
			x->why, sizeof(x->why), "%s",
			marked ? "its superblocks are damaged: restore the store from a copy"
			       : "there is no store here: correct the path, or --offset, or make "
				 "one with 'stasis-store format'");
}

int session_open(struct session *x)
{
	int err = store_open(x->dev, x->golden_dev, NULL, &x->store, x->why, sizeof(x->why));

	if (err)
		reword(x);
	return err;
}

void session_close(struct session *x)
{
	int err = x->store ? store_close(x->store) : 0;

	x->store = NULL;
	if (err)
		die("%s: the store can't be closed: %s", x->o->store, strerror(-err));
}

struct store_point *list_points(struct session *x, unsigned *n)
{
	struct store_point *p = allocate((POINTS_MAX + 1) * sizeof(*p));

	for (*n = 0; *n <= POINTS_MAX && store_point(x->store, *n, &p[*n]) == 0; ++*n)
		make_printable(p[*n].name);
	return p;
}

struct store_point find_point(struct session *x, const char *name)
{
	struct store_point *p, found;
	unsigned n, i = 0;

	p = list_points(x, &n);
	while (i < n && (name ? p[i].open || strcmp(p[i].name, name) != 0 : !p[i].open))
		i++;
	if (i == n)
		die("there is no point '%s': 'stasis-store tree' lists them", name ? name : "");
	found = p[i];
	free(p);
	return found;
}

bool open_is_empty(struct session *x)
{
	struct store_point p = find_point(x, NULL);
	struct store_stretch d;

	return store_difference(x->store, p.id, p.parent, 0, &d) == -ENOENT;
}
