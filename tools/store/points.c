// SPDX-License-Identifier: GPL-2.0-or-later
/* What the console's disk commands do, on a store that no node has open. */
#include <string.h>
#include "tools/store/tool.h"

static int done(const struct session *x, int err)
{
	const char *name = x->o->file, *made = x->o->keep ? x->o->keep : name;

	switch (err) {
	case 0:
		return EXIT_OK;
	case -ENOENT:
		die("there is no point '%s': 'stasis-store tree' lists them", name);
	case -EEXIST:
		die("a point '%s' is there already: give another name", made);
	case -EINVAL:
		die("a point's name has 1 to %d bytes", STORE_NAME_MAX);
	case -EBUSY:
		die("'%s' has several children: it can't be merged into one of them", name);
	case -ENOSPC:
		die("%s is full: compact it, or merge points first", x->o->store);
	default:
		die("%s: %s", x->o->store, strerror(-err));
	}
}

int command_seal(struct session *x)
{
	return done(x, store_seal(x->store, x->o->file));
}

int command_rollback(struct session *x)
{
	const struct options *o = x->o;

	return done(x, o->keep ? store_branch(x->store, o->file, o->keep)
			       : store_rollback(x->store, o->file));
}

int command_merge(struct session *x)
{
	return done(x, store_merge(x->store, x->o->file));
}
