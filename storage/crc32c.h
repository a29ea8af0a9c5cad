/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C (Castagnoli), as iSCSI computes it (RFC 3720, appendix B.4). Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of `n` more bytes; start with 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);
/* The same in one of the two ways; with the instruction only where there is SSE4.2. */
uint32_t crc32c_with(bool instruction, uint32_t crc, const void *data, size_t n);
