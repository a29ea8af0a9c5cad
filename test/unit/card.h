/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PCI function with something of everything: writable bits, bits that a 1 clears, BARs. */
#pragma once
#include "hv/pci.h"

static uint8_t card_config[PCI_CONFIG_SIZE] = {0x34, 0x12, 0x78, 0x56};
static uint8_t card_mask[PCI_CONFIG_SIZE] = {[PCI_COMMAND] = 7, [0xff] = 0x0f};
static uint8_t card_w1c[PCI_CONFIG_SIZE] = {[0x07] = 0xf8};
static struct pci_function card = {
	.name = "card",
	.devfn = PCI_DEVFN(3, 0),
	.config_size = PCI_CONFIG_SIZE,
	.config = card_config,
	.mask = card_mask,
	.w1c = card_w1c,
	.bar = {[0] = {PCI_BAR_MEM64, true, 0x4000}, [2] = {PCI_BAR_IO, false, 0x20}},
};
