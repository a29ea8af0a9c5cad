// SPDX-License-Identifier: GPL-2.0-or-later
/* One admin queue, polled at boot and after a reset, and one pair of queues for all I/O. */
#include "storage/nvme.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "storage/hw.h"

enum {
	CAP_LOW = 0x00,
	CAP_HIGH = 0x04,
	CC = 0x14,
	CSTS = 0x1c,
	AQA = 0x24,
	ASQ = 0x28,
	ACQ = 0x30,
	DOORBELLS = 0x1000,
};
#define CAP_MQES(low)	 ((low)&0xffff)
#define CAP_TO_US(low)	 (((low) >> 24) * 500000u)
#define CAP_DSTRD(high)	 ((high)&15)
#define CAP_MPSMIN(high) ((high) >> 16 & 15)
#define CC_EN		 (1u << 0)
#define CC_SHN_NORMAL	 (1u << 14)
#define CC_IOSQES	 (6u << 16) /* entries of 64 bytes, */
#define CC_IOCQES	 (4u << 20) /* and of 16 */
#define CSTS_RDY	 (1u << 0)
#define CSTS_SHST	 (3u << 2)
#define CSTS_SHST_DONE	 (2u << 2)

enum { ADMIN_CREATE_SQ = 0x01, ADMIN_CREATE_CQ = 0x05, ADMIN_IDENTIFY = 0x06 };
enum { IO_FLUSH = 0x00, IO_WRITE = 0x01, IO_READ = 0x02 };
#define IDENTIFY_NAMESPACE  0u
#define IDENTIFY_CONTROLLER 1u
#define QUEUE_CONTIGUOUS    1u
#define QUEUE_INTERRUPTS    2u
#define NAMESPACE	    1u

struct submission {
	uint8_t opcode, flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved, metadata, prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct submission) == 64, "NVMe 4.2");

struct completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, cid;
	uint16_t status; /* the phase in bit 0 */
};
_Static_assert(sizeof(struct completion) == 16, "NVMe 4.6");

#define PAGE	     4096u
#define QUEUE_MAX    64u /* entries: a page of submissions */
#define PRPS	     256u
#define PRP_PAGES    ((size_t)DRIVE_SLOTS * PRPS * sizeof(uint64_t) / PAGE)
#define STEP_US	     100
#define ADMIN_US     5000000u
#define SHUTDOWN_US  5000000u
#define SECTOR_SHIFT 9

struct queue {
	struct submission *sq; /* a page */
	volatile struct completion *cq;
	unsigned id, size, tail, head;
	uint16_t phase;
};

struct nvme {
	struct drive drive;
	volatile void *regs;
	uint32_t cap_low, stride;
	struct queue admin, io;
	uint64_t (*prp)[PRPS]; /* a list for each slot */
	void *answer;	       /* a page, of IDENTIFY */
};

static void write64(const struct nvme *n, uint32_t reg, uint64_t v)
{
	hw_write32(n->regs, reg, (uint32_t)v);
	hw_write32(n->regs, reg + 4, (uint32_t)(v >> 32));
}

/* --- queues --- */

static bool queue_alloc(struct queue *q, unsigned id, unsigned size)
{
	q->id = id;
	q->size = size;
	q->sq = hw_dma_alloc(1);
	q->cq = hw_dma_alloc(1);
	return q->sq && q->cq;
}

static void queue_restart(struct queue *q)
{
	for (unsigned i = 0; i < q->size; i++)
		q->cq[i].status = 0;
	q->tail = q->head = 0;
	q->phase = 1;
}

static void ring(const struct nvme *n, const struct queue *q, bool completions, unsigned v)
{
	hw_write32(n->regs, DOORBELLS + (2 * q->id + completions) * n->stride, v);
}

static void submit(const struct nvme *n, struct queue *q, const struct submission *s)
{
	q->sq[q->tail] = *s;
	q->tail = (q->tail + 1) % q->size;
	hw_barrier();
	ring(n, q, false, q->tail);
}

/* The next completion; false: there is none. */
static bool take(const struct nvme *n, struct queue *q, uint16_t *cid, bool *failed)
{
	uint16_t status = q->cq[q->head].status;

	if ((status & 1) != q->phase)
		return false;
	hw_barrier(); /* the rest of the entry is not older than its phase */
	*cid = q->cq[q->head].cid;
	*failed = status >> 1;
	if (++q->head == q->size) {
		q->head = 0;
		q->phase ^= 1;
	}
	ring(n, q, true, q->head);
	return true;
}

static int admin(struct nvme *n, const struct submission *s)
{
	uint16_t cid;
	bool failed;

	submit(n, &n->admin, s);
	for (unsigned waited = 0; !take(n, &n->admin, &cid, &failed); waited += STEP_US) {
		if (waited >= ADMIN_US)
			return -ETIMEDOUT;
		hw_delay_us(STEP_US);
	}
	return failed ? -EIO : 0;
}

/* --- bringing the controller up and down (NVMe 7.6) --- */

static int wait_ready(const struct nvme *n, uint32_t ready)
{
	unsigned limit = CAP_TO_US(n->cap_low) + 500000u;

	for (unsigned waited = 0;; waited += STEP_US) {
		uint32_t v = hw_read32(n->regs, CSTS);

		if (v == UINT32_MAX)
			return -ENODEV;
		if ((v & CSTS_RDY) == ready)
			return 0;
		if (waited >= limit)
			return -ETIMEDOUT;
		hw_delay_us(STEP_US);
	}
}

static int disable(const struct nvme *n)
{
	hw_write32(n->regs, CC, 0);
	return wait_ready(n, 0);
}

static int enable(struct nvme *n)
{
	queue_restart(&n->admin);
	hw_write32(n->regs, AQA, (n->admin.size - 1) << 16 | (n->admin.size - 1));
	write64(n, ASQ, hw_dma_address(n->admin.sq));
	write64(n, ACQ, hw_dma_address((const void *)(uintptr_t)n->admin.cq));
	hw_write32(n->regs, CC, CC_EN | CC_IOSQES | CC_IOCQES);
	return wait_ready(n, CSTS_RDY);
}

static int create_queues(struct nvme *n)
{
	struct queue *q = &n->io;
	uint32_t which = (q->size - 1) << 16 | q->id;
	struct submission cq = {.opcode = ADMIN_CREATE_CQ,
				.prp1 = hw_dma_address((const void *)(uintptr_t)q->cq),
				.cdw10 = which,
				.cdw11 = QUEUE_CONTIGUOUS | QUEUE_INTERRUPTS};
	struct submission sq = {.opcode = ADMIN_CREATE_SQ,
				.prp1 = hw_dma_address(q->sq),
				.cdw10 = which,
				.cdw11 = q->id << 16 | QUEUE_CONTIGUOUS};
	int err;

	queue_restart(q);
	err = admin(n, &cq);
	return err ? err : admin(n, &sq);
}

static int reset(struct drive *d)
{
	struct nvme *n = (struct nvme *)d;
	int err = disable(n);

	if (!err)
		err = enable(n);
	return err ? err : create_queues(n);
}

/* Its own cache is written first (NVMe 7.6.2). */
static int off(struct drive *d)
{
	struct nvme *n = (struct nvme *)d;

	hw_write32(n->regs, CC, hw_read32(n->regs, CC) | CC_SHN_NORMAL);
	for (unsigned waited = 0; waited < SHUTDOWN_US; waited += STEP_US) {
		if ((hw_read32(n->regs, CSTS) & CSTS_SHST) >= CSTS_SHST_DONE)
			break;
		hw_delay_us(STEP_US);
	}
	return disable(n);
}

/* --- commands --- */

/* The pages of one contiguous buffer (NVMe 4.3). */
static void set_prps(struct nvme *n, struct submission *s, unsigned slot,
		     const struct block_vec *vec)
{
	uint64_t a = hw_dma_address(vec->base), end = a + vec->bytes;
	uint64_t second = (a & ~(uint64_t)(PAGE - 1)) + PAGE;
	unsigned i = 0;

	s->prp1 = a;
	if (end <= second)
		return;
	s->prp2 = second;
	if (end - second <= PAGE)
		return;
	for (a = second; a < end; a += PAGE)
		n->prp[slot][i++] = a;
	s->prp2 = hw_dma_address(n->prp[slot]);
}

static void start(struct drive *d, unsigned slot, const struct block_request *r)
{
	static const uint8_t opcode[] = {
		[BLOCK_READ] = IO_READ, [BLOCK_WRITE] = IO_WRITE, [BLOCK_FLUSH] = IO_FLUSH};
	struct nvme *n = (struct nvme *)d;
	struct submission s = {.opcode = opcode[r->op], .cid = (uint16_t)slot, .nsid = NAMESPACE};

	if (r->op != BLOCK_FLUSH) {
		set_prps(n, &s, slot, r->vec);
		s.cdw10 = (uint32_t)r->sector;
		s.cdw11 = (uint32_t)(r->sector >> 32);
		s.cdw12 = (uint32_t)(r->vec->bytes / SECTOR_SIZE) - 1;
	}
	submit(n, &n->io, &s);
}

static int look(struct drive *d, uint32_t *done, uint32_t *failed)
{
	struct nvme *n = (struct nvme *)d;
	uint16_t cid;
	bool bad;

	for (unsigned i = 0; i < n->io.size && take(n, &n->io, &cid, &bad); i++)
		if (cid < DRIVE_SLOTS)
			*(bad ? failed : done) |= 1u << cid;
	if (!*done && !*failed && hw_read32(n->regs, CSTS) == UINT32_MAX)
		return -ENODEV;
	return 0;
}

static const struct drive_ops nvme_ops = {.name = "nvme",
					  .start = start,
					  .look = look,
					  .reset = reset,
					  .off = off,
					  .errors_are_exact = true};

/* --- what is there --- */

static int identify(struct nvme *n, uint32_t what, uint32_t namespace)
{
	struct submission s = {.opcode = ADMIN_IDENTIFY,
			       .nsid = namespace,
			       .prp1 = hw_dma_address(n->answer),
			       .cdw10 = what};

	return admin(n, &s);
}

enum { /* bytes of IDENTIFY's answers (NVMe 5.15.2) */
       ID_MODEL = 24,
       ID_MODEL_BYTES = 40,
       ID_MDTS = 77,
       ID_NSZE = 0,
       ID_FLBAS = 26,
       ID_LBAF = 128,
};

static uint32_t take_controller(struct nvme *n)
{
	const uint8_t *a = n->answer;
	uint32_t max = DRIVE_SECTORS_MAX;
	unsigned end = 0;

	for (unsigned i = 0; i < ID_MODEL_BYTES; i++) {
		char c = (char)a[ID_MODEL + i];

		n->drive.model[i] = c >= ' ' && c <= '~' ? c : '?';
		if (c != ' ')
			end = i + 1;
	}
	n->drive.model[end] = 0;
	if (a[ID_MDTS] && a[ID_MDTS] < 7) /* 2^7 pages are DRIVE_SECTORS_MAX */
		max = PAGE / SECTOR_SIZE << a[ID_MDTS];
	return max;
}

static int take_namespace(struct nvme *n)
{
	const uint8_t *a = n->answer;
	const uint8_t *format = &a[ID_LBAF + 4 * (a[ID_FLBAS] & 15)];

	memcpy(&n->drive.dev.sectors, &a[ID_NSZE], sizeof(uint64_t));
	if (!n->drive.dev.sectors || n->drive.dev.sectors > UINT64_MAX >> SECTOR_SHIFT)
		return -ENODEV;
	/* metadata, beside the sectors or in them, has no place here */
	return format[2] == SECTOR_SHIFT && !format[0] && !format[1] ? 0 : -ENOTSUP;
}

static int bring_up(struct nvme *n)
{
	uint32_t max = 0;
	int err = reset(&n->drive);

	if (!err)
		err = identify(n, IDENTIFY_CONTROLLER, 0);
	if (!err) {
		max = take_controller(n);
		err = identify(n, IDENTIFY_NAMESPACE, NAMESPACE);
	}
	if (!err)
		err = take_namespace(n);
	if (err) {
		(void)off(&n->drive);
		return err == -ENOTSUP ? err : -ENODEV;
	}
	n->drive.ops = &nvme_ops;
	n->drive.depth = n->io.size - 1 < DRIVE_SLOTS ? n->io.size - 1 : DRIVE_SLOTS;
	drive_init(&n->drive);
	n->drive.dev.max_sectors = max;
	n->drive.dev.max_vec = 1; /* PRPs are whole pages: a second buffer would have to be one */
	return 0;
}

int nvme_init(volatile void *regs, void (*found)(struct drive *d, void *arg), void *arg)
{
	uint32_t low = hw_read32(regs, CAP_LOW), high = hw_read32(regs, CAP_HIGH);
	unsigned size = CAP_MQES(low) + 1 < QUEUE_MAX ? CAP_MQES(low) + 1 : QUEUE_MAX;
	struct nvme *n;
	int err;

	if (low == UINT32_MAX)
		return -ENODEV;
	if (CAP_MPSMIN(high) || CAP_DSTRD(high) > 8 || size < 2)
		return -ENOTSUP;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->regs = regs;
	n->cap_low = low;
	n->stride = 4u << CAP_DSTRD(high);
	n->prp = hw_dma_alloc(PRP_PAGES);
	n->answer = hw_dma_alloc(1);
	err = queue_alloc(&n->admin, 0, size) && queue_alloc(&n->io, 1, size) && n->prp && n->answer
		      ? bring_up(n)
		      : -ENOMEM;
	if (!err)
		found(&n->drive, arg);
	else
		free(n); /* but not what the device knows of: who can say what it still does? */
	return err;
}
