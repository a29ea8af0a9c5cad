/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An Intel gigabit card whose registers are plain memory, and the little of a board that its driver
 * needs. TSC_HZ is defined before: how many times the driver may look at the clock in a second.
 */
#pragma once
#include <stdlib.h>
#include <string.h>
#include "net/drivers.h"
#include "net/e1000_regs.h"

static uint8_t regs[0x20000] __attribute__((aligned(4096)));
static struct netdev *card;
static unsigned quiesced;
static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 9};

/* A driver keeps what it gets for good; so does the test, where LeakSanitizer sees it. */
static void *kept[64];
static unsigned n_kept;

static void *keep(size_t bytes)
{
	void *p = n_kept < 64 ? aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095) : NULL;

	if (!p)
		abort();
	kept[n_kept++] = p;
	return memset(p, 0, bytes);
}

void *pages_alloc(size_t count)
{
	return keep(count * 4096);
}

void *heap_alloc(size_t bytes)
{
	return keep(bytes);
}

hpa_t virt_to_phys(const void *p)
{
	return (hpa_t){(uint64_t)p};
}

uint64_t tsc_hz(void)
{
	return TSC_HZ;
}

void tsc_delay_us(uint64_t us)
{
	(void)us;
}

void pcidev_enable(const struct pcidev *p)
{
	(void)p;
}

void pcidev_enable_dma(const struct pcidev *p)
{
	(void)p;
}

void pcidev_quiesce(const struct pcidev *p)
{
	(void)p;
	quiesced++;
}

void *pcidev_map_bar(const struct pcidev *p, unsigned bar, uint64_t *bytes)
{
	(void)p, (void)bar;
	*bytes = sizeof(regs);
	return regs;
}

const char *pcidev_irq_enable(const struct pcidev *p, struct pcidev_irq *irq)
{
	(void)p, (void)irq;
	return NULL;
}

static void set_reg(unsigned reg, uint32_t v)
{
	memcpy(regs + reg, &v, 4);
}

static uint32_t get_reg(unsigned reg)
{
	uint32_t v;

	memcpy(&v, regs + reg, 4);
	return v;
}

static void wake(struct netdev *d)
{
	(void)d;
}
