/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device on the guest's PCI bus (virtio 1.2, 4.1; not transitional): feature bits, status,
 * queues, and interrupts by MSI-X or by a wire.
 *
 * Context: platform_lock held, but for virtio_add (boot) and a unit's operations. A driver that
 * breaks the rules finds DEVICE_NEEDS_RESET, and nothing is done for it until it resets.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/msix.h"
#include "hv/pci.h"
#include "hv/state.h"
#include "hv/virtqueue.h"

#define VIRTIO_QUEUES_MAX  32
#define VIRTIO_VECTORS_MAX (VIRTIO_QUEUES_MAX + 1) /* and one for changes of configuration */
#define VIRTIO_NO_VECTOR   0xffff

enum virtio_status { /* 2.1 */
		     VIRTIO_ACKNOWLEDGE = 1,
		     VIRTIO_DRIVER = 2,
		     VIRTIO_DRIVER_OK = 4,
		     VIRTIO_FEATURES_OK = 8,
		     VIRTIO_NEEDS_RESET = 64,
		     VIRTIO_FAILED = 128,
};

#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

struct virtio_queue {
	struct virtqueue ring;
	uint16_t vector;
};

struct virtio {
	/* the device's, before virtio_add */
	uint16_t type; /* 5 */
	uint32_t class_code;
	uint8_t devfn;
	const char *name;
	uint64_t offered; /* features of the type; those of the queues are added */
	const void *config;
	unsigned config_bytes, n_queues;
	void (*notify)(struct virtio *v); /* there may be something in the queues */
	void (*reset)(struct virtio *v);  /* what was taken from them must not be touched again */

	/* hv/virtio.c's */
	struct pci_function function;
	uint8_t space[PCI_CONFIG_SIZE], space_mask[PCI_CONFIG_SIZE];
	uint64_t accepted;
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	uint8_t status, isr;
	struct virtio_queue queue[VIRTIO_QUEUES_MAX];
	struct msix_entry msix[VIRTIO_VECTORS_MAX];
};

void virtio_add(struct virtio *v);			 /* boot, after pci_root_init */
bool virtio_runs(const struct virtio *v);		 /* may the queues be looked at? */
void virtio_interrupt(struct virtio *v, unsigned queue); /* if the driver wants one */
void virtio_broken(struct virtio *v, const char *why);

/* For the device's unit; docs/state-format.md. */
void virtio_reset(struct virtio *v);
void virtio_save(const struct virtio *v, struct state_writer *w);
/* What the section says, into *to; `v` stays. */
void virtio_look(const struct virtio *v, struct state_reader *r, struct virtio *to);
void virtio_take(struct virtio *v, const struct virtio *from);
void virtio_scramble(struct virtio *v);
