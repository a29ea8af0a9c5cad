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

uint8_t hw_in8(uint16_t port)
{
	return inb(port);
}

uint16_t hw_in16(uint16_t port)
{
	return inw(port);
}

void hw_out8(uint16_t port, uint8_t v)
{
	outb(port, v);
}

void hw_out32(uint16_t port, uint32_t v)
{
	outl(port, v);
}

void hw_master_off(const void *function)
{
	host_function_command(function, 0, HOST_COMMAND_MASTER);
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
