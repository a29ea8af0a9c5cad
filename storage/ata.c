// SPDX-License-Identifier: GPL-2.0-or-later
#include "storage/ata.h"
#include <errno.h>

enum { /* words */
       W_GENERAL = 0,
       W_MODEL = 27,
       W_CAPABILITIES = 49,
       W_QUEUE_DEPTH = 75,
       W_SATA_CAPABILITIES = 76,
       W_COMMANDS = 83,
       W_SECTORS = 100,
       W_SECTOR_SIZE = 106,
       W_LOGICAL_WORDS = 117,
};
#define GENERAL_ATAPI	   (1u << 15)
#define CAPABILITY_DMA	   (1u << 8)
#define SATA_NCQ	   (1u << 8)
#define COMMANDS_LBA48	   (1u << 10)
#define VALID_MASK	   0xc000u /* bits 15:14 of some words are 01 if the word means anything */
#define VALID		   0x4000u
#define SECTOR_SIZE_LARGER (1u << 12)
#define LBA48_SECTORS_MAX  (1ull << 48)

/* Two characters a word, the first in the high byte; padded with blanks. */
static void copy_model(const uint16_t *w, char model[41])
{
	unsigned n = 0;

	for (unsigned i = 0; i < 40; i++) {
		char c = (char)(i % 2 ? w[i / 2] : w[i / 2] >> 8);

		model[i] = c >= ' ' && c <= '~' ? c : '?';
		if (model[i] != ' ')
			n = i + 1;
	}
	model[n] = 0;
}

int ata_identify(const uint16_t w[ATA_IDENTITY_WORDS], struct ata_identity *id)
{
	uint64_t sectors = 0;

	if (w[W_GENERAL] & GENERAL_ATAPI || w[W_GENERAL] == w[W_MODEL])
		return -ENODEV;
	if ((w[W_COMMANDS] & VALID_MASK) != VALID || !(w[W_COMMANDS] & COMMANDS_LBA48) ||
	    !(w[W_CAPABILITIES] & CAPABILITY_DMA))
		return -ENOTSUP;
	if ((w[W_SECTOR_SIZE] & VALID_MASK) == VALID && w[W_SECTOR_SIZE] & SECTOR_SIZE_LARGER &&
	    (w[W_LOGICAL_WORDS] != 256 || w[W_LOGICAL_WORDS + 1]))
		return -ENOTSUP;
	for (unsigned i = 4; i--;)
		sectors = sectors << 16 | w[W_SECTORS + i];
	if (!sectors || sectors > LBA48_SECTORS_MAX)
		return -ENODEV;
	id->sectors = sectors;
	id->queue_depth = 1;
	if (w[W_SATA_CAPABILITIES] != 0xffff && w[W_SATA_CAPABILITIES] & SATA_NCQ)
		id->queue_depth = (w[W_QUEUE_DEPTH] & 31u) + 1;
	copy_model(&w[W_MODEL], id->model);
	return 0;
}
