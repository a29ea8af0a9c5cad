/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A passed-through network card at a freeze: what it still receives is caught, and delivered after
 * the thaw at the virtual time that belongs to it.
 *
 * The guest's receive ring is swapped for one of ours with as many descriptors, of the same format
 * and with buffers of the same sizes. So the card's head need not be moved, one descriptor of ours
 * becomes one of the guest's, and what the card made of a frame (checksums, VLAN, hash, the split
 * of packets) is copied as it is.
 *
 *   NIC_RUNNING    the card is the guest's alone
 *   NIC_SETTLING   frozen; the guest's ring still receives, what comes is taken out of it again
 *   NIC_CATCHING   frozen; the card receives into our ring
 *   NIC_REPLAYING  running; our ring still is on the card, what was caught goes to the guest's
 * ring, whose registers are shadowed, until no more is there
 *
 * Units: vns_t is virtual time; while the node is frozen, of the moments as if it were not. Sizes
 * in bytes. Context: one CPU at a time (frozen: the boot CPU; running: platform_lock). Pure over
 * struct nic_io; what the card says and what lies in the guest's memory is hostile. Sources: 8254x
 * manual, chapters 3, 13 and 14; 82574 datasheet, chapters 7 and 10.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/nic_pool.h"
#include "timevirt/vclock.h"

#define NIC_QUEUES	2
#define NIC_RING_UNIT	16u    /* bytes, of RDH and RDT */
#define NIC_RING_MAX	65536u /* bytes: 4096 descriptors of 16 */
#define NIC_BUFFERS_MAX 128u   /* descriptors of ours that the card has at a time */
#define NIC_BUFFER_AREA (256u << 10)

struct nic_io {
	void *ctx;
	uint32_t (*get)(void *ctx, unsigned reg);
	void (*put)(void *ctx, unsigned reg, uint32_t v);
	void (*delay_us)(void *ctx, unsigned us);
	/* Guest RAM at its address; NULL if not all of it is. */
	void *(*guest)(void *ctx, uint64_t gpa, size_t n);
	uint64_t (*bus_address)(void *ctx, const void *own); /* of the hypervisor's memory */
};

/* A descriptor's format (hv/nic_desc.c). */
enum nic_kind { NIC_LEGACY, NIC_EXTENDED, NIC_SPLIT };
struct nic_format {
	enum nic_kind kind;
	unsigned bytes, buffers;
	uint32_t size[NIC_PARTS]; /* of each buffer */
};

/* Registers that an image holds as they are, and that are written back in this order. */
struct nic_saved {
	uint16_t first, count; /* count 0: the end */
};
#define NIC_SAVED_MAX	  512
#define NIC_PHY_REGISTERS 3
#define NIC_STATISTICS	  80 /* dwords from 4000H on */

struct nic;
struct nic_family {
	const char *name;
	unsigned queues;
	uint16_t rx[NIC_QUEUES], tx[NIC_QUEUES]; /* register blocks (enum e1000_queue_reg) */
	uint32_t rx_page;			 /* the 4 KiB with the former */
	uint32_t rx_causes;			 /* of interrupts */
	const struct nic_saved *saved;
	bool (*format)(const struct nic *n, unsigned queue, struct nic_format *f); /* false: odd */
	void (*flush)(const struct nic *n, unsigned queue); /* write descriptors back now */
	void (*raise)(const struct nic *n, unsigned queue); /* the interrupt of a reception */
};
extern const struct nic_family nic_82540em, nic_82574l;

enum nic_phase { NIC_RUNNING, NIC_SETTLING, NIC_CATCHING, NIC_REPLAYING };

struct nic_ring {
	bool active; /* it receives, and is interposed */
	struct nic_format format;
	uint64_t base;	     /* the guest's: what RDBA and RDLEN say */
	uint32_t bytes, len; /* of it; and in descriptors */
	uint32_t head, tail; /* the guest's RDH and RDT */
	uint32_t next;	     /* the descriptor on the card that is looked at next */
	uint32_t posted;     /* the card's RDT */
	uint32_t buffers;
	uint8_t *own, *copy, *area; /* our ring; the guest's as it was at the freeze; our buffers */
};

struct nic_counts {
	uint64_t caught, delivered; /* frames */
	uint64_t discarded;	    /* caught, but the guest reset its ring */
	uint64_t missed;	    /* by the card, while our ring was on it (MPC) */
	uint64_t damaged;	    /* descriptors that the card did not write back in time */
	uint64_t overflows;	    /* times that no room was left, and the card had to drop */
	uint64_t switches;
	uint64_t left_alone; /* freezes with a ring that can't be interposed */
	uint64_t tx_stuck;   /* freezes at which transmission did not come to rest */
};

struct nic {
	const struct nic_family *family;
	struct nic_io io;
	enum nic_phase phase;
	struct nic_ring rx[NIC_QUEUES];
	struct nic_pool pool;
	uint32_t ims, tctl; /* the guest's, while frozen */
	uint32_t rctl;	    /* after a load: the guest's, until the next look for frames */
	bool resume;
	uint32_t statistics[NIC_STATISTICS]; /* what was read and the guest has not seen */
	bool overflowing;
	vns_t settled; /* when the settling ends */
	struct nic_counts counts;
};

/* Boot. `own` is NIC_OWN_BYTES(queues) of memory, page-aligned; `pool` are pool_bytes. */
#define NIC_OWN_BYTES(queues) ((queues) * (size_t)(2 * NIC_RING_MAX + NIC_BUFFER_AREA))
void nic_init(struct nic *n, const struct nic_family *f, const struct nic_io *io, void *own,
	      void *pool, size_t pool_bytes);
/* The card was reset. Any phase. */
void nic_reset(struct nic *n);

/* --- frozen; `now` as above --- */
void nic_freeze(struct nic *n, vns_t now, uint64_t settle_ns);
bool nic_watches(const struct nic *n); /* frozen, and frames may come: poll */
/* Look for frames; true: some came, or it still settles. */
bool nic_poll(struct nic *n, vns_t now);
void nic_settle(struct nic *n, vns_t now); /* no more settling: switch now */
/* The clock stands at `v` and will go on at `restart`. What came in the second half of that time,
 * or later, is of nodes that went on before, and is delivered at once. */
void nic_thaw(struct nic *n, vns_t now, vns_t v, vns_t restart);
void nic_start(const struct nic *n); /* the clock goes on: transmit */

/* --- replaying, running --- */
/* Delivers what is due; when to be called again (VNS_NEVER: it is over, NIC_RUNNING). */
vns_t nic_replay(struct nic *n, vns_t now);
/* The guest's accesses to rx_page; 32 bits. */
uint32_t nic_shadow_read(struct nic *n, unsigned reg);
void nic_shadow_write(struct nic *n, unsigned reg, uint32_t v, vns_t now);

/* --- hv/nic_statistics.c --- */
void nic_statistics_collect(struct nic *n);
uint32_t
nic_statistics_missed(struct nic *n); /* MPC, since the latest look; the guest gets it, too */
void nic_statistics_forget(struct nic *n);
uint32_t nic_statistics_read(struct nic *n, unsigned reg); /* the guest's, running */

/* --- hv/nic_state.c: frozen and settled --- */
struct state_reader;
struct state_writer;
int nic_save(struct nic *n, struct state_writer *w);
/* Commits the section, which ends here, and takes it; `reset` puts the card into its power-on state
 * (its argument is the nic_io's). False: it was refused, or only looked at. */
bool nic_load(struct nic *n, struct state_reader *r, void (*reset)(void *ctx));
void nic_scramble(struct nic *n, void (*reset)(void *ctx));
/* For nic_load (hv/nic.c): the ring on the card is the guest's with nothing in it; ours takes its
 * place, so many caught descriptors further on. */
void nic_post(const struct nic *n, unsigned q); /* our descriptors, to the card */
void nic_take_loaded(struct nic *n, unsigned q, uint32_t tail, unsigned caught);

/* --- hv/nic_desc.c --- */
bool nic_desc_done(const struct nic_format *f, const uint8_t *desc);
bool nic_desc_last(const struct nic_format *f, const uint8_t *desc); /* of a frame */
/* As the driver hands it over: addresses of buffers. */
void nic_desc_read(const struct nic_format *f, const uint8_t *desc, uint64_t addr[NIC_PARTS]);
void nic_desc_fill(const struct nic_format *f, uint8_t *desc, const uint64_t addr[NIC_PARTS]);
/* As the card hands it back: bytes in each buffer, at most its size. */
void nic_desc_lengths(const struct nic_format *f, const uint8_t *desc, uint16_t len[NIC_PARTS]);
/* `from` as the card wrote it, to where the driver looks; its last word is "done". */
void nic_desc_write_back(const struct nic_format *f, uint8_t *to, const uint8_t *from);
void nic_desc_mark_done(const struct nic_format *f, uint8_t *desc); /* with nothing in it */
