// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/drive.h"
#include <errno.h>
#include "storage/hw.h"

static void queue_last(struct drive *d, struct block_request *r)
{
	r->next = NULL;
	*d->last = r;
	d->last = &r->next;
}

static void queue_first(struct drive *d, struct block_request *r)
{
	r->next = d->first;
	d->first = r;
	if (!r->next)
		d->last = &r->next;
}

static struct block_request *take_first(struct drive *d)
{
	struct block_request *r = d->first;

	d->first = r->next;
	if (!d->first)
		d->last = &d->first;
	return r;
}

static void finish(struct block_request *r, int status)
{
	r->status = status;
	r->done(r);
}

static struct block_request *leave_slot(struct drive *d, unsigned slot)
{
	struct block_request *r = d->slot[slot].r;

	d->slot[slot].r = NULL;
	d->busy &= ~(1u << slot);
	d->in_flight--;
	d->flushing = false;
	if (d->careful)
		d->careful--;
	return r;
}

/* What the device would refuse, or worse, take. */
static int check(const struct drive *d, const struct block_request *r)
{
	uint64_t bytes = 0;

	if (d->gone)
		return -ENODEV;
	if (r->op == BLOCK_FLUSH)
		return 0;
	if (r->op == BLOCK_WRITE && d->dev.read_only)
		return -EROFS;
	if (r->n_vec == 0 || r->n_vec > d->dev.max_vec)
		return -ERANGE;
	for (unsigned i = 0; i < r->n_vec; i++) {
		if (r->vec[i].bytes == 0 || r->vec[i].bytes % SECTOR_SIZE)
			return -ERANGE;
		bytes += r->vec[i].bytes;
	}
	if (bytes / SECTOR_SIZE > d->dev.max_sectors || r->sector > d->dev.sectors ||
	    bytes / SECTOR_SIZE > d->dev.sectors - r->sector)
		return -ERANGE;
	return 0;
}

/* A FLUSH goes alone: queued commands and others don't mix on ATA, and it is rare. */
static bool may_start(const struct drive *d)
{
	if (!d->first || d->flushing)
		return false;
	if (d->first->op == BLOCK_FLUSH || d->careful)
		return d->busy == 0;
	return d->in_flight < d->depth;
}

static bool start_some(struct drive *d)
{
	bool any = false;

	for (; may_start(d); any = true) {
		struct block_request *r = take_first(d);
		unsigned slot = (unsigned)__builtin_ctz(~d->busy);

		d->slot[slot].r = r;
		d->slot[slot].since = hw_us();
		d->busy |= 1u << slot;
		d->in_flight++;
		d->flushing = r->op == BLOCK_FLUSH;
		d->ops->start(d, slot, r);
	}
	return any;
}

static void submit(struct blockdev *dev, struct block_request *r)
{
	struct drive *d = (struct drive *)dev;
	int err = check(d, r);

	if (err) {
		finish(r, err);
		return;
	}
	queue_last(d, r);
	(void)start_some(d);
}

/* --- the end of it --- */

static void give_up(struct drive *d, int status)
{
	d->gone = true;
	if (d->ops->off(d) != 0) { /* it could write to memory that is somebody else's by then */
		hw_master_off(d->controller->function);
		d->controller->off = true;
	}
	while (d->busy) {
		d->dev.count.errors++;
		finish(leave_slot(d, (unsigned)__builtin_ctz(d->busy)), status);
	}
	while (d->first) {
		d->dev.count.errors++;
		finish(take_first(d), status);
	}
}

static void reset(struct drive *d)
{
	d->dev.count.resets++;
	if (d->ops->reset(d) != 0 || ++d->resets_in_row > DRIVE_RESETS_IN_ROW)
		give_up(d, -ENODEV);
}

/* Everything in flight waits again, oldest first; after an error one runs at a time. */
static void requeue_all(struct drive *d, bool careful)
{
	unsigned n = 0;

	while (d->busy) {
		unsigned newest = 0;

		for (unsigned i = 0; i < DRIVE_SLOTS; i++)
			if (d->slot[i].r &&
			    (!d->slot[newest].r || d->slot[i].since >= d->slot[newest].since))
				newest = i;
		queue_first(d, leave_slot(d, newest));
		n++;
	}
	d->careful = careful ? n : 0;
}

/* A device that says which command failed goes on with the others. */
static void end_failed(struct drive *d, uint32_t failed)
{
	bool alone = (failed & (failed - 1)) == 0;

	if (!alone && !d->ops->errors_are_exact) {
		requeue_all(d, true);
		reset(d);
		return;
	}
	if (!d->ops->errors_are_exact) {
		d->dev.count.resets++;
		if (d->ops->reset(d) != 0) {
			give_up(d, -ENODEV);
			return;
		}
	}
	for (; failed; failed &= failed - 1) {
		d->dev.count.errors++;
		finish(leave_slot(d, (unsigned)__builtin_ctz(failed)), -EIO);
	}
}

static uint32_t overdue(const struct drive *d)
{
	uint64_t now = hw_us();
	uint32_t late = 0;

	for (uint32_t left = d->busy; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctz(left);
		uint64_t limit =
			d->slot[i].r->op == BLOCK_FLUSH ? DRIVE_FLUSH_US : DRIVE_TIMEOUT_US;

		if (now - d->slot[i].since > limit)
			late |= 1u << i;
	}
	return late;
}

/* They are out of the device's hands before anybody hears of it. */
static void end_overdue(struct drive *d, uint32_t late)
{
	struct block_request *list = NULL;

	d->late = true;
	for (uint32_t left = late; left; left &= left - 1)
		d->dev.count.timeouts++;
	if (d->patient)
		late = 0;
	for (; late; late &= late - 1) {
		struct block_request *r = leave_slot(d, (unsigned)__builtin_ctz(late));

		r->next = list;
		list = r;
	}
	requeue_all(d, false);
	reset(d);
	while (list) {
		struct block_request *r = list;

		list = r->next;
		finish(r, -ETIMEDOUT);
	}
}

static void end_well(struct drive *d, unsigned slot)
{
	uint64_t since = d->slot[slot].since;
	struct block_request *r = leave_slot(d, slot);

	block_count(&d->dev.count, r, hw_us() - since);
	finish(r, 0);
}

bool drive_poll(struct drive *d)
{
	uint32_t done = 0, failed = 0, late;
	int err;

	if (!d->gone && d->controller->off) {
		give_up(d, -ENODEV);
		return true;
	}
	if (!d->busy)
		return start_some(d);
	err = d->ops->look(d, &done, &failed);
	if (err == -EAGAIN) {
		requeue_all(d, false);
		reset(d);
		return true;
	}
	if (err) {
		give_up(d, -ENODEV);
		return true;
	}
	done &= d->busy;
	failed &= d->busy & ~done;
	if (done)
		d->resets_in_row = 0;
	for (uint32_t left = done; left; left &= left - 1)
		end_well(d, (unsigned)__builtin_ctz(left));
	if (failed)
		end_failed(d, failed);
	late = overdue(d);
	if (late)
		end_overdue(d, late);
	return start_some(d) || done || failed || late;
}

static void poll(struct blockdev *dev)
{
	(void)drive_poll((struct drive *)dev);
}

void drive_forgive(struct drive *d)
{
	d->late = false;
	d->resets_in_row = 0;
	for (uint32_t left = d->busy; left; left &= left - 1)
		d->slot[__builtin_ctz(left)].since = hw_us();
}

bool drive_busy(const struct drive *d)
{
	return d->busy;
}

void drive_off(struct drive *d)
{
	if (!d->gone)
		give_up(d, -ENODEV);
}

static const struct blockdev_ops block_ops = {.name = "drive", .submit = submit, .poll = poll};

void drive_init(struct drive *d)
{
	d->dev.ops = &block_ops;
	d->dev.max_sectors = DRIVE_SECTORS_MAX;
	d->dev.max_vec = DRIVE_VECTORS_MAX;
	d->last = &d->first;
}
