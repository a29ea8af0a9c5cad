// SPDX-License-Identifier: GPL-2.0-or-later
/* The machine, as the disk drivers see it (storage/hw.h). */
#include "storage/hw.h"
#include "arch/x86_64/arch.h"

uint32_t hw_read32(volatile void *regs, uint32_t offset)
{
	return *(volatile uint32_t *)((volatile char *)regs + offset);
}

void hw_write32(volatile void *regs, uint32_t offset, uint32_t v)
{
	*(volatile uint32_t *)((volatile char *)regs + offset) = v;
}

void *hw_dma_alloc(size_t pages)
{
	return pages_alloc(pages);
}

uint64_t hw_dma_address(const void *p)
{
	return virt_to_phys(p).v;
}

uint64_t hw_us(void)
{
	return rdtsc() / (tsc_hz() / 1000000);
}

void hw_delay_us(unsigned us)
{
	tsc_delay_us(us);
}
