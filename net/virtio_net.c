// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-net over modern PCI (virtio 1.2: 2.7 split virtqueues, 4.1 PCI, 5.1 network device): one
 * pair of queues, no offloads, so that a frame is one buffer behind a header that says nothing.
 *
 * The device is not trusted: an index or a length that can't be makes it a failed card.
 */
#include <errno.h>
#include <string.h>
#include "hv/log.h"
#include "net/drivers.h"

enum { VIRTIO_VENDOR = 0x1af4, VIRTIO_NET = 0x1041, VIRTIO_NET_TRANSITIONAL = 0x1000 };
enum { CAP_VENDOR = 0x09 };
/* struct virtio_pci_cap (4.1.4) */
enum { CAP_CFG_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_MULTIPLIER = 16 };
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4 };
/* struct virtio_pci_common_cfg (4.1.4.3) */
enum common {
	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0c,
	CONFIG_MSIX_VECTOR = 0x10,
	DEVICE_STATUS = 0x14,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_MSIX_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFF = 0x1e,
	QUEUE_DESC = 0x20,
	QUEUE_DRIVER = 0x28,
	QUEUE_DEVICE = 0x30,
	COMMON_BYTES = 0x38,
};
enum device_status {
	ACKNOWLEDGE = 1,
	DRIVER = 2,
	DRIVER_OK = 4,
	FEATURES_OK = 8,
	DEVICE_NEEDS_RESET = 64,
};
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
#define VIRTIO_NET_F_MAC    (1ull << 5)
#define VIRTIO_NET_F_STATUS (1ull << 16)
#define VIRTIO_F_VERSION_1  (1ull << 32)
enum { NET_MAC = 0, NET_STATUS = 6, NET_STATUS_LINK_UP = 1 };
enum { DESC_WRITE = 2, AVAIL_NO_INTERRUPT = 1 };

#define HEADER_BYTES 12u /* struct virtio_net_hdr, VERSION_1 */
#define RING_DESCS   128u
#define BUFFER_BYTES 2048u
#define RESET_TRIES  1000
#define RX	     0
#define TX	     1

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
struct ring {
	struct desc desc[RING_DESCS];
	struct {
		uint16_t flags, idx, ring[RING_DESCS], used_event;
	} avail;
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[RING_DESCS];
		uint16_t avail_event;
	} used __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct ring) <= PAGE_SIZE, "a ring is a page");

struct queue {
	struct ring *ring;
	uint8_t *buf;
	uint16_t used; /* what we have seen of used.idx */
	uint16_t size;
	volatile uint16_t *notify;
};

struct virtio_net {
	struct netdev net;
	struct pcidev pci;
	struct pcidev_irq irq;
	volatile uint8_t *common, *isr, *config, *notify;
	uint64_t notify_bytes, config_bytes;
	uint32_t notify_multiplier;
	uint64_t features;
	struct queue queue[2];
	uint16_t in_flight; /* of TX */
	bool by_message;    /* MSI-X: the ISR register is not used */
};

static struct virtio_net *of(struct netdev *d)
{
	return (struct virtio_net *)d; /* its first member */
}

static uint8_t read8(const struct virtio_net *v, unsigned reg)
{
	return v->common[reg];
}

static void write8(const struct virtio_net *v, unsigned reg, uint8_t x)
{
	v->common[reg] = x;
}

static uint16_t read16(const struct virtio_net *v, unsigned reg)
{
	return *(volatile uint16_t *)(v->common + reg);
}

static void write16(const struct virtio_net *v, unsigned reg, uint16_t x)
{
	*(volatile uint16_t *)(v->common + reg) = x;
}

static uint32_t read32(const struct virtio_net *v, unsigned reg)
{
	return *(volatile uint32_t *)(v->common + reg);
}

static void write32(const struct virtio_net *v, unsigned reg, uint32_t x)
{
	*(volatile uint32_t *)(v->common + reg) = x;
}

static void write_address(const struct virtio_net *v, unsigned reg, const void *p)
{
	uint64_t pa = virt_to_phys(p).v;

	write32(v, reg, (uint32_t)pa);
	write32(v, reg + 4, (uint32_t)(pa >> 32));
}

static void failed(struct virtio_net *v, const char *why)
{
	v->net.failed = true;
	v->net.link = false;
	log_error("net: %02x:%02x.%x: the control card %s: the node goes on without its control "
		  "network",
		  v->net.bus, v->net.dev, v->net.fn, why);
}

/* --- where its registers are (4.1.4) --- */

static volatile uint8_t *map_structure(const struct virtio_net *v, unsigned cap, uint64_t *bytes)
{
	uint32_t offset = pcidev_read32(&v->pci, cap + CAP_OFFSET);
	uint32_t length = pcidev_read32(&v->pci, cap + CAP_LENGTH);
	uint64_t size;
	uint8_t *bar = pcidev_map_bar(&v->pci, pcidev_read8(&v->pci, cap + CAP_BAR), &size);

	if (!bar || (uint64_t)offset + length > size || offset % 4)
		return NULL;
	*bytes = length;
	return bar + offset;
}

static bool map_registers(struct virtio_net *v)
{
	uint64_t common_bytes = 0, isr_bytes = 0;

	for (unsigned cap = 0; (cap = pcidev_capability(&v->pci, CAP_VENDOR, cap)) != 0;) {
		switch (pcidev_read8(&v->pci, cap + CAP_CFG_TYPE)) {
		case CFG_COMMON:
			v->common = map_structure(v, cap, &common_bytes);
			break;
		case CFG_NOTIFY:
			v->notify = map_structure(v, cap, &v->notify_bytes);
			v->notify_multiplier = pcidev_read32(&v->pci, cap + CAP_MULTIPLIER);
			break;
		case CFG_ISR:
			v->isr = map_structure(v, cap, &isr_bytes);
			break;
		case CFG_DEVICE:
			v->config = map_structure(v, cap, &v->config_bytes);
			break;
		default:
			break;
		}
	}
	return v->common && common_bytes >= COMMON_BYTES && v->notify && v->isr && isr_bytes &&
	       v->config && v->config_bytes >= NET_STATUS + 2;
}

/* --- initialization (3.1.1) --- */

static bool reset(const struct virtio_net *v)
{
	write8(v, DEVICE_STATUS, 0);
	for (unsigned i = 0; i < RESET_TRIES; i++) {
		if (read8(v, DEVICE_STATUS) == 0)
			return true;
		tsc_delay_us(100);
	}
	return false;
}

static bool negotiate(struct virtio_net *v)
{
	uint64_t offered;

	write8(v, DEVICE_STATUS, ACKNOWLEDGE);
	write8(v, DEVICE_STATUS, ACKNOWLEDGE | DRIVER);
	write32(v, DEVICE_FEATURE_SELECT, 1);
	offered = (uint64_t)read32(v, DEVICE_FEATURE) << 32;
	write32(v, DEVICE_FEATURE_SELECT, 0);
	offered |= read32(v, DEVICE_FEATURE);
	v->features = offered & (VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS);
	if (!(v->features & VIRTIO_F_VERSION_1) || !(v->features & VIRTIO_NET_F_MAC))
		return false;
	write32(v, DRIVER_FEATURE_SELECT, 0);
	write32(v, DRIVER_FEATURE, (uint32_t)v->features);
	write32(v, DRIVER_FEATURE_SELECT, 1);
	write32(v, DRIVER_FEATURE, (uint32_t)(v->features >> 32));
	write8(v, DEVICE_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	return read8(v, DEVICE_STATUS) & FEATURES_OK;
}

static void look_at_link(struct virtio_net *v)
{
	v->net.link =
		!(v->features & VIRTIO_NET_F_STATUS) || v->config[NET_STATUS] & NET_STATUS_LINK_UP;
	v->net.mbps = 1000; /* has none of its own */
}

static bool set_queue(struct virtio_net *v, unsigned n)
{
	struct queue *q = &v->queue[n];
	uint64_t at;

	write16(v, QUEUE_SELECT, (uint16_t)n);
	q->size = read16(v, QUEUE_SIZE);
	if (q->size > RING_DESCS)
		q->size = RING_DESCS;
	if (q->size < 2 || q->size & (q->size - 1))
		return false;
	write16(v, QUEUE_SIZE, q->size);
	write16(v, QUEUE_MSIX_VECTOR, v->by_message ? 0 : 0xffff);
	write_address(v, QUEUE_DESC, q->ring->desc);
	write_address(v, QUEUE_DRIVER, &q->ring->avail);
	write_address(v, QUEUE_DEVICE, &q->ring->used);
	at = (uint64_t)read16(v, QUEUE_NOTIFY_OFF) * v->notify_multiplier;
	if (at + 2 > v->notify_bytes)
		return false;
	q->notify = (volatile uint16_t *)(v->notify + at);
	write16(v, QUEUE_ENABLE, 1);
	return true;
}

/* --- rings --- */

static uint8_t *buffer(const struct queue *q, unsigned i)
{
	return q->buf + (size_t)i * BUFFER_BYTES;
}

static uint16_t used_idx(const struct queue *q)
{
	return __atomic_load_n(&q->ring->used.idx, __ATOMIC_ACQUIRE);
}

/* Descriptor i to the device. */
static void give(struct virtio_net *v, unsigned n, unsigned i, uint32_t bytes)
{
	struct queue *q = &v->queue[n];
	struct ring *r = q->ring;
	uint16_t idx = r->avail.idx;

	r->desc[i] = (struct desc){.addr = virt_to_phys(buffer(q, i)).v,
				   .len = bytes,
				   .flags = n == RX ? DESC_WRITE : 0};
	r->avail.ring[idx % q->size] = (uint16_t)i;
	__atomic_store_n(&r->avail.idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

/* After the rings, before the device's flag is looked at: QEMU's never asks for none. */
static void notify(const struct virtio_net *v, unsigned n)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*v->queue[n].notify = (uint16_t)n;
}

/* The next descriptor that came back. -ENOENT: none; -EIO: the device is broken. */
static int take(struct virtio_net *v, unsigned n, uint32_t *bytes)
{
	struct queue *q = &v->queue[n];
	uint16_t idx = used_idx(q), at = q->used % q->size;
	uint32_t id;

	if (idx == q->used)
		return -ENOENT;
	id = q->ring->used.ring[at].id;
	*bytes = q->ring->used.ring[at].len;
	if ((uint16_t)(idx - q->used) > q->size || id >= q->size) {
		failed(v, "breaks the rules of its queues");
		return -EIO;
	}
	q->used++;
	return (int)id;
}

static bool virtio_poll(struct netdev *d)
{
	struct virtio_net *v = of(d);
	uint32_t bytes;
	int i = d->failed ? -EIO : take(v, RX, &bytes);
	uint64_t tsc;

	if (i < 0)
		return false;
	tsc = netdev_rx_stamp(d);
	if (bytes >= HEADER_BYTES + NETDEV_FRAME_MIN && bytes <= HEADER_BYTES + NETDEV_FRAME_MAX) {
		d->counts.rx_frames++;
		d->counts.rx_bytes += bytes - HEADER_BYTES;
		d->receive(d, buffer(&v->queue[RX], (unsigned)i) + HEADER_BYTES,
			   bytes - HEADER_BYTES, tsc);
	} else {
		d->counts.rx_errors++;
	}
	give(v, RX, (unsigned)i, BUFFER_BYTES);
	notify(v, RX);
	return true;
}

static void take_back(struct virtio_net *v)
{
	uint32_t bytes;

	while (v->in_flight && take(v, TX, &bytes) >= 0)
		v->in_flight--;
}

/* Transmission is in order, so the ring's position names a free buffer. */
static int virtio_send(struct netdev *d, const void *frame, size_t n, struct netdev_stamp *stamp)
{
	struct virtio_net *v = of(d);
	struct queue *q = &v->queue[TX];
	struct netdev_stamp unused;
	unsigned i;

	if (n < NETDEV_FRAME_MIN || n > NETDEV_FRAME_MAX)
		return -EMSGSIZE;
	if (!d->failed)
		take_back(v);
	if (d->failed || !d->link || v->in_flight == q->size) {
		d->counts.tx_dropped++;
		return d->failed || !d->link ? -ENETDOWN : -EAGAIN;
	}
	i = q->ring->avail.idx % q->size;
	memset(buffer(q, i), 0, HEADER_BYTES);
	memcpy(buffer(q, i) + HEADER_BYTES, frame, n);
	give(v, TX, i, HEADER_BYTES + (uint32_t)n);
	v->in_flight++;
	d->counts.tx_frames++;
	d->counts.tx_bytes += n;
	stamp = stamp ? stamp : &unused;
	stamp->before = rdtsc();
	notify(v, TX);
	stamp->after = rdtsc();
	return 0;
}

static bool virtio_rest(struct netdev *d)
{
	struct virtio_net *v = of(d);
	struct queue *q = &v->queue[RX];

	if (d->failed)
		return false;
	q->ring->avail.flags = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return used_idx(q) != q->used;
}

/* From irq_dispatch. A message says nothing; a wire is released by reading ISR. */
static bool claim(void *dev)
{
	uint64_t now = rdtsc();
	struct virtio_net *v = dev;

	if (!v->by_message && !(*v->isr & (ISR_QUEUE | ISR_CONFIG)))
		return false;
	v->queue[RX].ring->avail.flags = AVAIL_NO_INTERRUPT;
	/* a slice may have fetched what it was raised for */
	v->net.irq_tsc = used_idx(&v->queue[RX]) != v->queue[RX].used ? now : 0;
	v->net.counts.interrupts++;
	v->net.wake(&v->net);
	return true;
}

/* A wire is looked for by a frame that nobody is meant to get: to the card's own address. */
static void trigger(void *dev)
{
	struct virtio_net *v = dev;
	uint8_t frame[60] = {0};

	memcpy(frame, v->net.mac, 6);
	memcpy(frame + 6, v->net.mac, 6);
	frame[12] = 0x88; /* local experimental EtherType (IEEE 802, 9.2.3) */
	frame[13] = 0xb5;
	v->queue[TX].ring->avail.flags = 0;
	(void)virtio_send(&v->net, frame, sizeof(frame), NULL);
}

static void virtio_check(struct netdev *d)
{
	struct virtio_net *v = of(d);
	uint8_t status;

	if (d->failed)
		return;
	if (v->irq.lost)
		d->wired = "polled";
	status = read8(v, DEVICE_STATUS);
	if (status & DEVICE_NEEDS_RESET || !(status & DRIVER_OK)) {
		failed(v, status == 0xff ? "has gone from the bus" : "asks for a reset");
		return;
	}
	look_at_link(v);
	take_back(v);
}

static void virtio_stop(struct netdev *d)
{
	struct virtio_net *v = of(d);

	d->failed = true;
	(void)reset(v);
	pcidev_quiesce(&v->pci);
}

static bool allocate(struct virtio_net *v)
{
	for (unsigned n = RX; n <= TX; n++) {
		v->queue[n].ring = pages_alloc(1);
		v->queue[n].buf = pages_alloc((size_t)RING_DESCS * BUFFER_BYTES / PAGE_SIZE);
		if (!v->queue[n].ring || !v->queue[n].buf)
			return false;
	}
	return true;
}

static int virtio_start(struct netdev *d)
{
	struct virtio_net *v = of(d);

	if (!allocate(v))
		return -ENOMEM;
	pcidev_enable_dma(&v->pci);
	/* messages are known before the queues are told of them, a wire is found with them */
	v->irq = (struct pcidev_irq){.claim = claim, .trigger = trigger, .dev = v};
	d->wired = pcidev_irq_message(&v->pci, &v->irq);
	v->by_message = d->wired != NULL;
	v->queue[TX].ring->avail.flags = AVAIL_NO_INTERRUPT;
	write16(v, CONFIG_MSIX_VECTOR, v->by_message ? 0 : 0xffff);
	if (!set_queue(v, RX) || !set_queue(v, TX)) {
		failed(v, "has no queues that can be used");
		return 0;
	}
	for (unsigned i = 0; i < v->queue[RX].size; i++)
		give(v, RX, i, BUFFER_BYTES);
	write8(v, DEVICE_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	notify(v, RX);
	look_at_link(v);
	if (!d->wired)
		d->wired = pcidev_irq_wire(&v->pci, &v->irq);
	if (!d->wired)
		d->wired = "polled";
	v->queue[TX].ring->avail.flags = AVAIL_NO_INTERRUPT;
	return 0;
}

static const struct netdev_ops ops = {.start = virtio_start,
				      .send = virtio_send,
				      .poll = virtio_poll,
				      .rest = virtio_rest,
				      .check = virtio_check,
				      .stop = virtio_stop};

static const char *virtio_model(const struct pcidev *p)
{
	if (p->vendor != VIRTIO_VENDOR ||
	    (p->device != VIRTIO_NET && p->device != VIRTIO_NET_TRANSITIONAL))
		return NULL;
	return "virtio-net";
}

static const char *bring_up(struct virtio_net *v)
{
	pcidev_enable(&v->pci);
	if (!map_registers(v))
		return "has no registers of virtio 1.0 or newer: switch its legacy mode off";
	if (!reset(v))
		return "does not answer";
	if (!negotiate(v))
		return "does not offer what every virtio 1.0 card has";
	for (unsigned i = 0; i < sizeof(v->net.mac); i++)
		v->net.mac[i] = v->config[NET_MAC + i];
	return NULL;
}

static struct netdev *virtio_probe(const struct pcidev *p)
{
	struct virtio_net *v = heap_alloc(sizeof(*v));
	const char *trouble;

	v->pci = *p;
	v->net = (struct netdev){
		.ops = &ops, .model = virtio_model(p), .bus = p->bus, .dev = p->dev, .fn = p->fn};
	trouble = bring_up(v);
	if (trouble) {
		log_error("net: %02x:%02x.%x: virtio-net %s", p->bus, p->dev, p->fn, trouble);
		pcidev_quiesce(p);
		return NULL;
	}
	return &v->net;
}

const struct nic_driver virtio_net_driver = {.model = virtio_model, .probe = virtio_probe};
