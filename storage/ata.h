/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ATA commands and what IDENTIFY DEVICE says (ATA8-ACS, 7.16). Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum ata_command {
	ATA_READ_DMA_EXT = 0x25,
	ATA_WRITE_DMA_EXT = 0x35,
	ATA_READ_FPDMA_QUEUED = 0x60,
	ATA_WRITE_FPDMA_QUEUED = 0x61,
	ATA_FLUSH_CACHE_EXT = 0xea,
	ATA_IDENTIFY_DEVICE = 0xec,
};

/* status register */
#define ATA_ERR	 0x01u
#define ATA_DRQ	 0x08u
#define ATA_DF	 0x20u
#define ATA_DRDY 0x40u
#define ATA_BSY	 0x80u

#define ATA_DEVICE_LBA	0x40u
#define ATA_DEVICE_ONES 0xa0u /* obsolete bits that old disks want */

#define ATA_IDENTITY_WORDS 256

struct ata_identity {
	uint64_t sectors;
	unsigned queue_depth; /* 1: no native command queuing */
	char model[41];
};

/* -ENODEV: no disk (all-ones, zeros, an ATAPI device), -ENOTSUP: no 48-bit addresses, no DMA, or
 * logical sectors that are not 512 bytes. */
int ata_identify(const uint16_t w[ATA_IDENTITY_WORDS], struct ata_identity *id);
