/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk driver needs of the machine. The hypervisor's is hv/disk_hw.c; a test brings its own,
 * with a model of the controller behind it.
 *
 * Units: bytes, microseconds. Context: the boot CPU. A register of a device that has vanished reads
 * as all-ones; nothing here fails otherwise.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint32_t hw_read32(volatile void *regs, uint32_t offset); /* memory-mapped registers */
void hw_write32(volatile void *regs, uint32_t offset, uint32_t v);

uint8_t hw_in8(uint16_t port); /* I/O ports */
uint16_t hw_in16(uint16_t port);
void hw_out8(uint16_t port, uint8_t v);
void hw_out32(uint16_t port, uint32_t v);

/* The controller can't reach memory any more, for good. `function` is what the driver's caller has
 * named it by (struct drive_controller). */
void hw_master_off(const void *function);

/* Zeroed pages that are contiguous for the device, below 4 GiB, never given back. NULL: no more. */
void *hw_dma_alloc(size_t pages);
/* Where the device finds hypervisor memory: the whole of an object is contiguous. */
uint64_t hw_dma_address(const void *p);
/* Memory that the device reads is written before what follows, and read after what came before. */
static inline void hw_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

uint64_t hw_us(void); /* since some moment; monotonic */
void hw_delay_us(unsigned us);
