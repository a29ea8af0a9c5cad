// SPDX-License-Identifier: GPL-2.0-or-later
/* The registers of a virtio device: virtio 1.2, 4.1.4. */
#include "hv/virtio.h"
#include <string.h>
#include "hv/irq.h"
#include "hv/log.h"

#define PCI_VENDOR_VIRTIO 0x1af4
#define PCI_DEVICE_VIRTIO 0x1040 /* and the type */
#define BAR_BYTES	  0x4000u

enum { /* BAR 0, in pieces of BAR_PIECE */
       BAR_PIECE = 0x800,
       BAR_COMMON = 0x0000,
       BAR_ISR = 0x0800,
       BAR_DEVICE = 0x1000,
       BAR_NOTIFY = 0x1800,
       BAR_MSIX = 0x2000,
       BAR_PBA = 0x2800,
};
#define NOTIFY_STRIDE 4u

enum { /* capabilities in configuration space; struct virtio_pci_cap, 4.1.4 */
       CAP_COMMON = 0x40,
       CAP_NOTIFY = 0x50,
       CAP_ISR = 0x64,
       CAP_DEVICE = 0x74,
       CAP_CFG = 0x84,
       CAP_MSIX = 0x98,
};
enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };

/* Access to the BAR through configuration space (4.1.4.9). */
#define CAP_CFG_BAR    (CAP_CFG + 4)
#define CAP_CFG_OFFSET (CAP_CFG + 8)
#define CAP_CFG_LENGTH (CAP_CFG + 12)
#define CAP_CFG_DATA   (CAP_CFG + 16)

#define MSIX_CONTROL_HIGH (CAP_MSIX + 3)
enum { MSIX_ENABLE = 1 << 7, MSIX_MASK_ALL = 1 << 6 };

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

enum { /* struct virtio_pci_common_cfg, 4.1.4.3 */
       DEVICE_FEATURE_SELECT = 0,
       DEVICE_FEATURE = 4,
       DRIVER_FEATURE_SELECT = 8,
       DRIVER_FEATURE = 12,
       CONFIG_VECTOR = 16,
       NUM_QUEUES = 18,
       DEVICE_STATUS = 20,
       QUEUE_SELECT = 22,
       QUEUE_SIZE = 24,
       QUEUE_VECTOR = 26,
       QUEUE_ENABLE = 28,
       QUEUE_NOTIFY_OFF = 30,
       QUEUE_DESC = 32,
       QUEUE_DRIVER = 40,
       QUEUE_DEVICE = 48,
       COMMON_BYTES = 64,
};

#define STATUS_BITS                                                                   \
	(VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK | \
	 VIRTIO_NEEDS_RESET | VIRTIO_FAILED)

static unsigned vectors(const struct virtio *v)
{
	return v->n_queues + 1;
}

/* --- interrupts --- */

static bool msix_enabled(const struct virtio *v)
{
	return v->space[MSIX_CONTROL_HIGH] & MSIX_ENABLE;
}

static bool wire(const struct virtio *v)
{
	return v->isr && !msix_enabled(v) &&
	       !(v->space[PCI_COMMAND + 1] & PCI_COMMAND_INTX_DISABLE >> 8);
}

static bool intx(const struct pci_function *f)
{
	return wire(f->dev);
}

static void drive_wire(const struct virtio *v)
{
	pci_intx_changed(&v->function);
}

static void msix_send_pending(struct virtio *v)
{
	if (!msix_enabled(v) || v->space[MSIX_CONTROL_HIGH] & MSIX_MASK_ALL)
		return;
	for (unsigned i = 0; i < vectors(v); i++) {
		struct msix_entry *e = &v->msix[i];

		if (!e->pending || e->control & MSIX_ENTRY_MASKED)
			continue;
		e->pending = false;
		irq_msi(e->address, e->data);
	}
}

static void interrupt(struct virtio *v, uint16_t vector, uint8_t cause)
{
	if (!msix_enabled(v)) {
		v->isr |= cause;
		drive_wire(v);
	} else if (vector < vectors(v)) {
		v->msix[vector].pending = true;
		msix_send_pending(v);
	}
}

void virtio_interrupt(struct virtio *v, unsigned queue)
{
	if (virtqueue_wants_interrupt(&v->queue[queue].ring))
		interrupt(v, v->queue[queue].vector, ISR_QUEUE);
}

/* --- status --- */

bool virtio_runs(const struct virtio *v)
{
	return (v->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK &&
	       v->space[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

void virtio_broken(struct virtio *v, const char *why)
{
	static struct log_ratelimit limit = {.burst = 4};

	if (v->status & VIRTIO_NEEDS_RESET)
		return;
	if (log_ratelimited(&limit))
		log_warn("%s: the guest's driver broke the rules (%s): it has to reset the device",
			 v->name, why);
	v->status |= VIRTIO_NEEDS_RESET;
	if (v->status & VIRTIO_DRIVER_OK)
		interrupt(v, v->config_vector, ISR_CONFIG);
}

void virtio_reset(struct virtio *v)
{
	v->accepted = 0;
	v->device_feature_select = v->driver_feature_select = 0;
	v->queue_select = 0;
	v->config_vector = VIRTIO_NO_VECTOR;
	v->status = v->isr = 0;
	for (unsigned i = 0; i < v->n_queues; i++)
		v->queue[i] = (struct virtio_queue){.ring.size = VIRTQUEUE_SIZE_MAX,
						    .vector = VIRTIO_NO_VECTOR};
	for (unsigned i = 0; i < vectors(v); i++)
		v->msix[i] = (struct msix_entry){.control = MSIX_ENTRY_MASKED};
}

/* The driver's: the MSI-X table is the PCI function's and stays. */
static void reset_by_driver(struct virtio *v)
{
	struct msix_entry keep[VIRTIO_VECTORS_MAX];

	memcpy(keep, v->msix, sizeof(keep));
	virtio_reset(v);
	memcpy(v->msix, keep, sizeof(keep));
	drive_wire(v);
	v->reset(v);
}

static bool features_fit(const struct virtio *v)
{
	return v->accepted & VIRTIO_F_VERSION_1 && !(v->accepted & ~v->offered);
}

static void status_write(struct virtio *v, uint8_t val)
{
	uint8_t new = val &STATUS_BITS & ~VIRTIO_NEEDS_RESET;

	if (!val) {
		reset_by_driver(v);
		return;
	}
	if (!(v->status & VIRTIO_FEATURES_OK) && !features_fit(v))
		new &= (uint8_t)~VIRTIO_FEATURES_OK; /* the driver looks whether it stays */
	if (!((v->status | new) & VIRTIO_FEATURES_OK))
		new &= (uint8_t)~VIRTIO_DRIVER_OK;
	v->status |= new;
	if (new &VIRTIO_DRIVER_OK)
		v->notify(v);
}

/* --- common configuration --- */

static struct virtio_queue *selected(struct virtio *v)
{
	return v->queue_select < v->n_queues ? &v->queue[v->queue_select] : NULL;
}

static void queue_enable(struct virtio *v, struct virtio_queue *q)
{
	if (q->ring.enabled)
		return;
	if (!(v->status & VIRTIO_FEATURES_OK) || !virtqueue_possible(&q->ring)) {
		virtio_broken(v, "a queue that can't be");
		return;
	}
	q->ring.indirect = v->accepted & VIRTIO_F_INDIRECT_DESC;
	q->ring.event_idx = v->accepted & VIRTIO_F_EVENT_IDX;
	q->ring.next = q->ring.used = q->ring.signalled = 0;
	q->ring.enabled = true;
}

/* The whole structure as the driver would read it, into `to`. */
static void common_image(struct virtio *v, uint8_t *to)
{
	const struct virtio_queue *q = selected(v);
	struct {
		uint32_t device_feature_select, device_feature;
		uint32_t driver_feature_select, driver_feature;
		uint16_t config_vector, num_queues;
		uint8_t status, generation;
		uint16_t queue_select, size, vector, enable, notify_off;
		uint64_t desc, driver, device, unused;
	} c = {
		.device_feature_select = v->device_feature_select,
		.driver_feature_select = v->driver_feature_select,
		.config_vector = v->config_vector,
		.num_queues = (uint16_t)v->n_queues,
		.status = v->status,
		.queue_select = v->queue_select,
	};

	_Static_assert(sizeof(c) == COMMON_BYTES, "struct virtio_pci_common_cfg");
	if (v->device_feature_select < 2)
		c.device_feature = (uint32_t)(v->offered >> 32 * v->device_feature_select);
	if (v->driver_feature_select < 2)
		c.driver_feature = (uint32_t)(v->accepted >> 32 * v->driver_feature_select);
	if (q) { /* another queue has size 0 */
		c.size = q->ring.size;
		c.vector = q->vector;
		c.enable = q->ring.enabled;
		c.notify_off = v->queue_select;
		c.desc = q->ring.desc;
		c.driver = q->ring.driver;
		c.device = q->ring.device;
	}
	memcpy(to, &c, sizeof(c));
}

static uint16_t valid_vector(const struct virtio *v, uint64_t val)
{
	return val < vectors(v) ? (uint16_t)val : VIRTIO_NO_VECTOR;
}

/* Half of a 64-bit field, or all of it. */
static void write_part(uint64_t *field, uint64_t offset, unsigned size, uint64_t val)
{
	unsigned shift = offset % 8 * 8;
	uint64_t mask = (size == 8 ? UINT64_MAX : UINT32_MAX) << shift;

	*field = (*field & ~mask) | (val << shift & mask);
}

static void queue_write(struct virtio *v, struct virtio_queue *q, uint64_t offset, unsigned size,
			uint64_t val)
{
	if (offset == QUEUE_VECTOR && size == 2)
		q->vector = valid_vector(v, val);
	if (offset == QUEUE_ENABLE && size == 2 && val == 1)
		queue_enable(v, q);
	if (q->ring.enabled)
		return;
	if (offset == QUEUE_SIZE && size == 2 && val && val <= VIRTQUEUE_SIZE_MAX &&
	    !(val & (val - 1)))
		q->ring.size = (uint16_t)val;
	if (size < 4)
		return;
	if ((offset & ~7ull) == QUEUE_DESC)
		write_part(&q->ring.desc, offset, size, val);
	else if ((offset & ~7ull) == QUEUE_DRIVER)
		write_part(&q->ring.driver, offset, size, val);
	else if ((offset & ~7ull) == QUEUE_DEVICE)
		write_part(&q->ring.device, offset, size, val);
}

static void driver_feature_write(struct virtio *v, uint32_t val)
{
	if (v->status & VIRTIO_FEATURES_OK || v->driver_feature_select > 1)
		return;
	write_part(&v->accepted, 4ull * v->driver_feature_select, 4, val);
}

/* Fields are written whole, 64-bit ones by halves, too (4.1.3.1). */
static void common_write(struct virtio *v, uint64_t offset, unsigned size, uint64_t val)
{
	struct virtio_queue *q = selected(v);

	if (offset == DEVICE_FEATURE_SELECT && size == 4)
		v->device_feature_select = (uint32_t)val;
	else if (offset == DRIVER_FEATURE_SELECT && size == 4)
		v->driver_feature_select = (uint32_t)val;
	else if (offset == DRIVER_FEATURE && size == 4)
		driver_feature_write(v, (uint32_t)val);
	else if (offset == CONFIG_VECTOR && size == 2)
		v->config_vector = valid_vector(v, val);
	else if (offset == DEVICE_STATUS && size == 1)
		status_write(v, (uint8_t)val);
	else if (offset == QUEUE_SELECT && size == 2)
		v->queue_select = (uint16_t)val;
	else if (offset >= QUEUE_SIZE && q)
		queue_write(v, q, offset, size, val);
}

/* --- BAR 0 --- */

static uint64_t bytes_at(const uint8_t *from, unsigned n, uint64_t offset, unsigned size)
{
	uint64_t val = 0;

	if (offset < n && size <= n - offset)
		memcpy(&val, from + offset, size);
	return val;
}

static uint64_t isr_read(struct virtio *v)
{
	uint8_t isr = v->isr;

	v->isr = 0;
	drive_wire(v);
	return isr;
}

static uint64_t bar_read(struct pci_function *f, unsigned n, uint64_t offset, unsigned size)
{
	struct virtio *v = f->dev;
	uint8_t common[COMMON_BYTES];
	uint64_t inside = offset % BAR_PIECE;

	(void)n;
	switch (offset - inside) {
	case BAR_COMMON:
		common_image(v, common);
		return bytes_at(common, sizeof(common), inside, size);
	case BAR_ISR:
		return inside ? 0 : isr_read(v);
	case BAR_DEVICE:
		return bytes_at(v->config, v->config_bytes, inside, size);
	case BAR_MSIX:
		return msix_read(v->msix, vectors(v), inside, size);
	case BAR_PBA:
		return msix_pending(v->msix, vectors(v), inside);
	default:
		return 0;
	}
}

static void bar_write(struct pci_function *f, unsigned n, uint64_t offset, unsigned size,
		      uint64_t val)
{
	struct virtio *v = f->dev;
	uint64_t inside = offset % BAR_PIECE;

	(void)n;
	switch (offset - inside) {
	case BAR_COMMON:
		common_write(v, inside, size, val);
		break;
	case BAR_NOTIFY:
		if (inside / NOTIFY_STRIDE < v->n_queues)
			v->notify(v);
		break;
	case BAR_MSIX:
		msix_write(v->msix, vectors(v), inside, size, val);
		msix_send_pending(v);
		break;
	default:
		break;
	}
}

/* --- configuration space --- */

static uint32_t space32(const struct virtio *v, unsigned reg)
{
	uint32_t val;

	memcpy(&val, v->space + reg, sizeof(val));
	return val;
}

/* Does the access window point to something? */
static bool cfg_access(const struct virtio *v, uint64_t *offset, unsigned *size)
{
	uint32_t at = space32(v, CAP_CFG_OFFSET), length = space32(v, CAP_CFG_LENGTH);

	*offset = at;
	*size = length;
	return !v->space[CAP_CFG_BAR] && (length == 1 || length == 2 || length == 4) &&
	       at < BAR_BYTES && !(at & (length - 1));
}

static bool space_read(struct pci_function *f, unsigned reg, unsigned size, uint32_t *val)
{
	struct virtio *v = f->dev;
	uint64_t offset;
	unsigned n;

	*val = 0;
	if (reg == CAP_CFG_DATA && cfg_access(v, &offset, &n)) {
		*val = (uint32_t)bar_read(f, 0, offset, n);
		return true;
	}
	if (reg > PCI_STATUS || reg + size <= PCI_STATUS)
		return false;
	memcpy(val, v->space + reg, size);
	*val |= (wire(v) ? (uint32_t)PCI_STATUS_INTERRUPT : 0) << 8 * (PCI_STATUS - reg);
	return true;
}

static void space_written(struct pci_function *f, unsigned reg, unsigned size)
{
	struct virtio *v = f->dev;
	uint64_t offset;
	unsigned n;

	if (reg == CAP_CFG_DATA && cfg_access(v, &offset, &n) && size >= n)
		bar_write(f, 0, offset, n, space32(v, CAP_CFG_DATA) & (UINT32_MAX >> (32 - 8 * n)));
	if (reg < PCI_STATUS) {
		drive_wire(v);
		v->notify(v); /* bus mastering may be on now */
	} else if (reg / 4 == CAP_MSIX / 4) {
		drive_wire(v);
		msix_send_pending(v);
	}
}

static void put(uint8_t *to, uint64_t val, unsigned n)
{
	memcpy(to, &val, n);
}

static void put_capability(struct virtio *v, unsigned at, unsigned next, unsigned type,
			   uint32_t offset, uint32_t length)
{
	uint8_t *c = v->space + at;

	c[0] = PCI_CAP_VENDOR;
	c[1] = (uint8_t)next;
	c[2] = type == CFG_NOTIFY || type == CFG_PCI ? 20 : 16;
	c[3] = (uint8_t)type;
	put(c + 8, offset, 4);
	put(c + 12, length, 4);
}

static void fill_space(struct virtio *v)
{
	uint8_t *s = v->space, *m = v->space_mask;

	put(s + PCI_VENDOR_ID, PCI_VENDOR_VIRTIO, 2);
	put(s + PCI_DEVICE_ID, PCI_DEVICE_VIRTIO + v->type, 2);
	put(s + PCI_STATUS, PCI_STATUS_CAPABILITIES, 2);
	s[PCI_REVISION_ID] = 1;
	put(s + PCI_CLASS_CODE, v->class_code, 3);
	put(s + PCI_SUBSYSTEM_VENDOR_ID, PCI_VENDOR_VIRTIO, 2);
	put(s + PCI_SUBSYSTEM_ID, PCI_DEVICE_VIRTIO + v->type, 2);
	s[PCI_CAPABILITIES] = CAP_COMMON;
	s[PCI_INTERRUPT_PIN] = 1;
	put(m + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE, 2);
	m[PCI_INTERRUPT_LINE] = 0xff;
	put_capability(v, CAP_COMMON, CAP_NOTIFY, CFG_COMMON, BAR_COMMON, COMMON_BYTES);
	put_capability(v, CAP_NOTIFY, CAP_ISR, CFG_NOTIFY, BAR_NOTIFY, v->n_queues * NOTIFY_STRIDE);
	put(s + CAP_NOTIFY + 16, NOTIFY_STRIDE, 4);
	put_capability(v, CAP_ISR, CAP_DEVICE, CFG_ISR, BAR_ISR, 4);
	put_capability(v, CAP_DEVICE, CAP_CFG, CFG_DEVICE, BAR_DEVICE, v->config_bytes);
	put_capability(v, CAP_CFG, CAP_MSIX, CFG_PCI, 0, 0);
	m[CAP_CFG_BAR] = 0xff;
	memset(m + CAP_CFG_OFFSET, 0xff, 12); /* offset, length, data */
	s[CAP_MSIX] = PCI_CAP_MSIX;
	put(s + CAP_MSIX + 2, v->n_queues, 2); /* entries - 1 */
	m[MSIX_CONTROL_HIGH] = MSIX_ENABLE | MSIX_MASK_ALL;
	put(s + CAP_MSIX + 4, BAR_MSIX, 4);
	put(s + CAP_MSIX + 8, BAR_PBA, 4);
}

void virtio_add(struct virtio *v)
{
	v->offered |= VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
	fill_space(v);
	v->function = (struct pci_function){
		.name = v->name,
		.dev = v,
		.devfn = v->devfn,
		.config_size = PCI_CONFIG_SIZE,
		.config = v->space,
		.mask = v->space_mask,
		.bar = {{.type = PCI_BAR_MEM32, .size = BAR_BYTES}},
		.read = space_read,
		.written = space_written,
		.intx = intx,
		.bar_read = bar_read,
		.bar_write = bar_write,
	};
	virtio_reset(v);
	ASSERT(v->n_queues && v->n_queues <= VIRTIO_QUEUES_MAX && pci_add(&v->function) == 0);
}

/* --- state --- */

void virtio_save(const struct virtio *v, struct state_writer *w)
{
	state_put64(w, v->offered);
	state_put32(w, v->n_queues);
	state_put64(w, v->accepted);
	state_put32(w, v->device_feature_select);
	state_put32(w, v->driver_feature_select);
	state_put16(w, v->queue_select);
	state_put16(w, v->config_vector);
	state_put8(w, v->status);
	state_put8(w, v->isr);
	for (unsigned i = 0; i < v->n_queues; i++) {
		const struct virtqueue *q = &v->queue[i].ring;

		state_put16(w, v->queue[i].vector);
		state_put8(w, q->enabled);
		state_put16(w, q->size);
		state_put64(w, q->desc);
		state_put64(w, q->driver);
		state_put64(w, q->device);
		state_put16(w, q->next);
		state_put16(w, q->used);
		state_put16(w, q->signalled);
	}
	state_put32(w, vectors(v));
	for (unsigned i = 0; i < vectors(v); i++) {
		state_put64(w, v->msix[i].address);
		state_put32(w, v->msix[i].data);
		state_put32(w, v->msix[i].control);
		state_put8(w, v->msix[i].pending);
	}
}

static bool vector_fits(const struct virtio *v, uint16_t vector)
{
	return vector < vectors(v) || vector == VIRTIO_NO_VECTOR;
}

static void look_queue(const struct virtio *v, struct state_reader *r, struct virtio_queue *to)
{
	struct virtqueue *q = &to->ring;
	uint8_t enabled;

	to->vector = state_get16(r);
	enabled = state_get8(r);
	q->size = state_get16(r);
	q->desc = state_get64(r);
	q->driver = state_get64(r);
	q->device = state_get64(r);
	q->next = state_get16(r);
	q->used = state_get16(r);
	q->signalled = state_get16(r);
	q->enabled = enabled;
	state_require(r, vector_fits(v, to->vector), "queue's vector");
	state_require(r, enabled <= 1, "queue's enabled");
	state_require(r, q->size && q->size <= VIRTQUEUE_SIZE_MAX && !(q->size & (q->size - 1)),
		      "queue's size");
	state_require(r, !enabled || virtqueue_possible(q), "queue that is not in the guest's RAM");
	state_require(r, enabled || !(q->next | q->used | q->signalled),
		      "queue that is off, and was used");
}

static void look_status(const struct virtio *v, struct state_reader *r, const struct virtio *to)
{
	state_require(r, vector_fits(v, to->config_vector), "config_vector");
	state_require(r, !(to->status & ~STATUS_BITS), "status");
	state_require(r, !(to->isr & ~(ISR_QUEUE | ISR_CONFIG)), "isr");
	state_require(r, !(to->status & VIRTIO_FEATURES_OK) || features_fit(to), "accepted");
	state_require(r, !(to->status & VIRTIO_DRIVER_OK) || to->status & VIRTIO_FEATURES_OK,
		      "status: driver without features");
}

void virtio_look(const struct virtio *v, struct state_reader *r, struct virtio *to)
{
	to->offered = v->offered;
	state_expect(r, state_get64(r), v->offered, "offered features");
	if (!state_expect(r, state_get32(r), v->n_queues, "number of queues"))
		return;
	to->accepted = state_get64(r);
	to->device_feature_select = state_get32(r);
	to->driver_feature_select = state_get32(r);
	to->queue_select = state_get16(r);
	to->config_vector = state_get16(r);
	to->status = state_get8(r);
	to->isr = state_get8(r);
	look_status(v, r, to);
	for (unsigned i = 0; i < v->n_queues; i++) {
		look_queue(v, r, &to->queue[i]);
		to->queue[i].ring.indirect = to->accepted & VIRTIO_F_INDIRECT_DESC;
		to->queue[i].ring.event_idx = to->accepted & VIRTIO_F_EVENT_IDX;
		state_require(r, !to->queue[i].ring.enabled || to->status & VIRTIO_FEATURES_OK,
			      "queue before its features");
	}
	state_expect(r, state_get32(r), vectors(v), "number of vectors");
	for (unsigned i = 0; i < vectors(v); i++) {
		struct msix_entry *e = &to->msix[i];
		uint8_t pending;

		e->address = state_get64(r);
		e->data = state_get32(r);
		e->control = state_get32(r);
		pending = state_get8(r);
		e->pending = pending;
		state_require(r,
			      pending <= 1 && !(e->control & ~(uint32_t)MSIX_ENTRY_MASKED) &&
				      !(e->address & 3),
			      "msix entry");
	}
}

void virtio_take(struct virtio *v, const struct virtio *from)
{
	v->accepted = from->accepted;
	v->device_feature_select = from->device_feature_select;
	v->driver_feature_select = from->driver_feature_select;
	v->queue_select = from->queue_select;
	v->config_vector = from->config_vector;
	v->status = from->status;
	v->isr = from->isr;
	memcpy(v->queue, from->queue, sizeof(v->queue));
	memcpy(v->msix, from->msix, sizeof(v->msix));
}

void virtio_scramble(struct virtio *v)
{
	v->accepted = 0xa5a5a5a5a5a5a5a5;
	v->device_feature_select = v->driver_feature_select = 0xa5a5a5a5;
	v->queue_select = v->config_vector = 0xa5a5;
	v->status = v->isr = 0;
	memset(v->queue, 0, sizeof(v->queue));
	memset(v->msix, 0, sizeof(v->msix));
}
