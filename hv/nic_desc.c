// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Receive descriptors: legacy (8254x manual, 3.2.3), extended and packet split (82574 datasheet,
 * 7.1.5 and 7.1.6). The driver writes addresses, the card writes over them what it received; only a
 * legacy descriptor keeps its address.
 */
#include <string.h>
#include "hv/nic.h"

enum {
	LEGACY_LENGTH = 8,
	LEGACY_STATUS = 12,
	EXTENDED_STATUS = 8,  /* of split ones, too */
	EXTENDED_LENGTH = 12, /* of split ones: of buffer 0 */
	SPLIT_LENGTHS = 18,   /* of buffers 1 to 3 */
};
#define DONE 1u
#define LAST 2u

static unsigned status_at(const struct nic_format *f)
{
	return f->kind == NIC_LEGACY ? LEGACY_STATUS : EXTENDED_STATUS;
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

bool nic_desc_done(const struct nic_format *f, const uint8_t *desc)
{
	return __atomic_load_n(desc + status_at(f), __ATOMIC_ACQUIRE) & DONE;
}

bool nic_desc_last(const struct nic_format *f, const uint8_t *desc)
{
	return desc[status_at(f)] & LAST;
}

void nic_desc_read(const struct nic_format *f, const uint8_t *desc, uint64_t addr[NIC_PARTS])
{
	memset(addr, 0, NIC_PARTS * sizeof(addr[0]));
	memcpy(addr, desc, f->buffers * sizeof(addr[0]));
}

void nic_desc_fill(const struct nic_format *f, uint8_t *desc, const uint64_t addr[NIC_PARTS])
{
	memset(desc, 0, f->bytes);
	memcpy(desc, addr, f->buffers * sizeof(addr[0]));
}

void nic_desc_lengths(const struct nic_format *f, const uint8_t *desc, uint16_t len[NIC_PARTS])
{
	memset(len, 0, NIC_PARTS * sizeof(len[0]));
	len[0] = get16(desc + (f->kind == NIC_LEGACY ? LEGACY_LENGTH : EXTENDED_LENGTH));
	for (unsigned i = 1; i < f->buffers; i++)
		len[i] = get16(desc + SPLIT_LENGTHS + 2 * (size_t)(i - 1));
	for (unsigned i = 0; i < f->buffers; i++)
		if (len[i] > f->size[i])
			len[i] = (uint16_t)f->size[i];
}

void nic_desc_write_back(const struct nic_format *f, uint8_t *to, const uint8_t *from)
{
	const unsigned status = status_at(f), start = f->kind == NIC_LEGACY ? LEGACY_LENGTH : 0;
	uint32_t word;

	memcpy(to + start, from + start, status - start);
	memcpy(to + status + 4, from + status + 4, f->bytes - status - 4);
	memcpy(&word, from + status, sizeof(word));
	__atomic_store_n((uint32_t *)(to + status), word, __ATOMIC_RELEASE);
}

void nic_desc_mark_done(const struct nic_format *f, uint8_t *desc)
{
	const unsigned start = f->kind == NIC_LEGACY ? LEGACY_LENGTH : 0;

	memset(desc + start, 0, f->bytes - start);
	desc[status_at(f)] = DONE;
}
