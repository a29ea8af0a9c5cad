// SPDX-License-Identifier: GPL-2.0-or-later
/* disk: the guest's disk and its tree of sealed points. */
#include <errno.h>
#include <string.h>
#include "hv/commands.h"
#include "hv/console.h"
#include "hv/disk.h"
#include "hv/disk_open.h"
#include "storage/store.h"

struct names {
	const char *name, *keep;
};

static int seal(struct store *s, void *arg)
{
	return store_seal(s, ((struct names *)arg)->name);
}

static int rollback(struct store *s, void *arg)
{
	return store_rollback(s, ((struct names *)arg)->name);
}

static int branch(struct store *s, void *arg)
{
	const struct names *n = arg;

	return store_branch(s, n->name, n->keep);
}

static int merge(struct store *s, void *arg)
{
	return store_merge(s, ((struct names *)arg)->name);
}

static int refused(int err, bool json)
{
	switch (err) {
	case -EEXIST:
		return command_failed(json, "there is a point of that name; disk tree lists them");
	case -ENOENT:
		return command_failed(json, "no point of that name; disk tree lists them");
	case -EINVAL:
		return command_failed(json, "a name has 1 to %u characters", STORE_NAME_MAX);
	case -ETXTBSY: /* a kernel's cache and file systems are of the disk as it was */
		return command_failed(json, "the guest uses the disk: unbind its driver first");
	case -EBUSY:
		return command_failed(json, "several points are built on it");
	case -ENOSPC:
		return command_failed(
			json, "the disk's room is full: give more with disk_room= or store=");
	default:
		return command_failed(json, "the store failed (%d)", err);
	}
}

static int report(int err, bool json)
{
	if (err)
		return refused(err, json);
	out(json ? HEAD "\"ok\":true}\n" : "done\n");
	return 0;
}

struct totals {
	struct store_stats stats;
	uint64_t sectors;
};

static int count(struct store *s, void *arg)
{
	struct totals *t = arg;

	store_stats(s, &t->stats);
	t->sectors = store_sectors(s);
	return 0;
}

static void json_side(const char *name, const struct disk_side *x)
{
	const struct block_counters *c = x->count;

	out(",\"%s\":{\"place\":", name);
	out_json_string(x->place);
	out(",\"reads\":%llu,\"writes\":%llu,\"flushes\":%llu,\"read_bytes\":%llu,"
	    "\"written_bytes\":%llu,\"errors\":%llu,\"timeouts\":%llu,\"resets\":%llu,"
	    "\"latency_max_us\":%llu}",
	    (ull)c->reads, (ull)c->writes, (ull)c->flushes, (ull)c->read_bytes,
	    (ull)c->written_bytes, (ull)c->errors, (ull)c->timeouts, (ull)c->resets,
	    (ull)c->latency_max_us);
}

static void show_side(const char *name, const struct disk_side *x)
{
	const struct block_counters *c = x->count;

	out("%-11s %s: %llu reads of %llu KiB, %llu writes of %llu KiB, %llu flushes\n"
	    "            %llu errors, %llu time-outs, %llu resets, at most %llu us\n",
	    name, x->place, (ull)c->reads, (ull)c->read_bytes >> 10, (ull)c->writes,
	    (ull)c->written_bytes >> 10, (ull)c->flushes, (ull)c->errors, (ull)c->timeouts,
	    (ull)c->resets, (ull)c->latency_max_us);
}

static const char *errors_text(void)
{
	return disk_errors() == DISK_ERRORS_FREEZE ? "freeze" : "report";
}

static void json_status(const struct totals *t)
{
	const struct store_stats *x = &t->stats;
	struct disk_side side;

	out(HEAD "\"bytes\":%llu,\"in_use\":%s,\"guest_read\":%llu,\"guest_written\":%llu,"
		 "\"read\":%llu,\"written\":%llu,\"flushes\":%llu,\"free\":%llu,"
		 "\"live\":%llu,\"dead\":%llu,\"errors\":\"%s\",\"waiting\":%u",
	    (ull)t->sectors * SECTOR_SIZE, disk_in_use() ? "true" : "false", (ull)x->guest_read,
	    (ull)x->guest_written, (ull)x->dev_read, (ull)x->dev_written, (ull)x->flushes,
	    (ull)x->free_bytes, (ull)x->live_bytes, (ull)x->dead_bytes, errors_text(),
	    disk_requests());
	if (disk_side_golden(&side))
		json_side("golden", &side);
	if (disk_side_store(&side))
		json_side("store", &side);
	out("}\n");
}

static void show_status(bool json)
{
	struct totals t;
	const struct store_stats *x = &t.stats;
	struct disk_side side;

	(void)disk_do(count, &t);
	if (json) {
		json_status(&t);
		return;
	}
	out("disk        %llu MiB, %s, errors: %s, %u requests\n"
	    "guest       read %llu KiB, wrote %llu KiB\n"
	    "room        %llu KiB free, %llu KiB live, %llu KiB dead\n",
	    (ull)t.sectors * SECTOR_SIZE >> 20, disk_in_use() ? "in use" : "not in use",
	    errors_text(), disk_requests(), (ull)x->guest_read >> 10, (ull)x->guest_written >> 10,
	    (ull)x->free_bytes >> 10, (ull)x->live_bytes >> 10, (ull)x->dead_bytes >> 10);
	if (disk_side_golden(&side))
		show_side("golden", &side);
	if (disk_side_store(&side))
		show_side("store", &side);
}

struct nth {
	unsigned n;
	struct store_point point;
};

static int look(struct store *s, void *arg)
{
	struct nth *x = arg;

	return store_point(s, x->n, &x->point);
}

static void show_point(const struct store_point *p, bool json, bool first)
{
	if (!json) {
		out("  %4u on %-4u %10llu KiB  %s\n", (unsigned)p->id, (unsigned)p->parent,
		    (ull)p->bytes >> 10, p->open ? "(open)" : p->name);
		return;
	}
	out("%s{\"id\":%u,\"parent\":%u,\"bytes\":%llu,\"open\":%s,\"name\":", first ? "" : ",",
	    (unsigned)p->id, (unsigned)p->parent, (ull)p->bytes, p->open ? "true" : "false");
	if (p->open)
		out("null");
	else
		out_json_string(p->name);
	out("}");
}

static void show_tree(bool json)
{
	struct nth x = {0};

	if (json)
		out(HEAD "\"points\":[");
	for (; disk_do(look, &x) == 0; x.n++)
		show_point(&x.point, json, x.n == 0);
	if (json)
		out("]}\n");
}

static int format(bool erase, bool json)
{
	char why[200] = "";
	int err = disk_format(erase, why, sizeof(why));

	if (err && !*why)
		return refused(err, json);
	return err ? command_failed(json, "%s", why) : report(0, json);
}

static int set_errors(const char *what, bool json)
{
	if (strcmp(what, "report") != 0 && strcmp(what, "freeze") != 0)
		return -EINVAL;
	disk_on_errors(*what == 'f' ? DISK_ERRORS_FREEZE : DISK_ERRORS_REPORT);
	return report(0, json);
}

static int with_disk(int argc, char **argv, bool json)
{
	struct names n = {argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL};
	const char *what = argv[0];

	if (argc == 1 && strcmp(what, "status") == 0)
		show_status(json);
	else if (argc == 1 && strcmp(what, "tree") == 0)
		show_tree(json);
	else if (argc == 2 && strcmp(what, "errors") == 0)
		return set_errors(n.name, json);
	else if (argc == 2 && strcmp(what, "seal") == 0)
		return report(disk_do(seal, &n), json);
	else if (argc == 2 && strcmp(what, "merge") == 0)
		return report(disk_do(merge, &n), json);
	else if (argc == 2 && strcmp(what, "rollback") == 0)
		return report(disk_exchange(rollback, &n), json);
	else if (argc == 3 && strcmp(what, "branch") == 0)
		return report(disk_exchange(branch, &n), json);
	else
		return -EINVAL;
	return 0;
}

int cmd_disk(int argc, char **argv, bool json)
{
	bool erase = argc == 2 && strcmp(argv[1], "--erase") == 0;

	if (!argc)
		return -EINVAL;
	if (!disk_present() && !disk_missing())
		return command_failed(json, "this node has no disk: give it one with disk=");
	if (strcmp(argv[0], "format") == 0)
		return argc == 1 || erase ? format(erase, json) : -EINVAL;
	if (disk_missing())
		return command_failed(json, "the guest has no disk: %s", disk_missing());
	return with_disk(argc, argv, json);
}
