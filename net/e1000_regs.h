/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers and descriptors of Intel's gigabit family, by their names in the manuals: "PCI/PCI-X
 * Family of Gigabit Ethernet Controllers Software Developer's Manual" (8254x), chapters 3 and 13;
 * "82574 GbE Controller Family Datasheet", chapters 7 and 10.
 */
#pragma once
#include <stdint.h>

enum e1000_reg {
	E1000_CTRL = 0x0000,
	E1000_STATUS = 0x0008,
	E1000_EECD = 0x0010,
	E1000_EERD = 0x0014,
	E1000_CTRL_EXT = 0x0018,
	E1000_MDIC = 0x0020,
	E1000_ICR = 0x00c0, /* read to clear */
	E1000_ITR = 0x00c4,
	E1000_ICS = 0x00c8,
	E1000_IMS = 0x00d0,
	E1000_IMC = 0x00d8,
	E1000_RCTL = 0x0100,
	E1000_TCTL = 0x0400,
	E1000_TIPG = 0x0410,
	E1000_PSRCTL = 0x2170, /* 82574 */
	E1000_TDFH = 0x3410,   /* the transmit FIFO's head and tail */
	E1000_TDFT = 0x3418,
	E1000_RXCSUM = 0x5000,
	E1000_RFCTL = 0x5008,
	E1000_MTA = 0x5200, /* 128 dwords */
	E1000_RAL0 = 0x5400,
	E1000_RAH0 = 0x5404,
	E1000_RAL = 0x5400, /* 16 pairs of RAL and RAH */
};

/* Of a queue, from its block on (0x2800 and 0x3800; igb: 0xc000 and 0xe000). */
enum e1000_queue_reg {
	E1000_BAL = 0x00,
	E1000_BAH = 0x04,
	E1000_LEN = 0x08,
	E1000_HEAD = 0x10,
	E1000_TAIL = 0x18,
	E1000_DELAY = 0x20, /* RDTR, TIDV */
	E1000_XDCTL = 0x28,
	E1000_ABS = 0x2c, /* RADV, TADV */
};

enum e1000_ctrl {
	CTRL_GIO_MASTER_DISABLE = 1 << 2, /* PCI Express only */
	CTRL_LRST = 1 << 3,		  /* 8254x only */
	CTRL_ASDE = 1 << 5,
	CTRL_SLU = 1 << 6,
	CTRL_ILOS = 1 << 7,
	CTRL_FRCSPD = 1 << 11,
	CTRL_FRCDPX = 1 << 12,
	CTRL_RST = 1 << 26,
};
#define CTRL_PHY_RST (1u << 31)
enum e1000_status {
	STATUS_LU = 1 << 1,
	STATUS_SPEED_SHIFT = 6, /* 2 bits: 10, 100, 1000, 1000 Mbit/s */
	STATUS_GIO_MASTER_ENABLE = 1 << 19,
};
enum e1000_eecd { EECD_AUTO_RD = 1 << 9 };
enum e1000_eerd { EERD_START = 1 << 0, EERD_DATA_SHIFT = 16 };
enum e1000_interrupt {
	INT_TXDW = 1 << 0,
	INT_LSC = 1 << 2,
	INT_RXDMT0 = 1 << 4,
	INT_RXO = 1 << 6,
	INT_RXT0 = 1 << 7,
	INT_SRPD = 1 << 16,
	INT_ACK = 1 << 17,  /* 82574: of a TCP acknowledgement */
	INT_RXQ0 = 1 << 20, /* 82574, as is RXQ1 */
	INT_RXQ1 = 1 << 21,
};
enum e1000_rctl {
	RCTL_EN = 1 << 1,
	RCTL_MPE = 1 << 4, /* all multicast frames */
	RCTL_BAM = 1 << 15,
	RCTL_BSIZE_2048 = 0 << 16,
	RCTL_SECRC = 1 << 26,
};
enum e1000_rfctl { RFCTL_EXTEN = 1 << 15 }; /* extended receive descriptors */
enum e1000_tctl {
	TCTL_EN = 1 << 1,
	TCTL_PSP = 1 << 3,
	TCTL_CT = 0x0f << 4,
	TCTL_COLD = 0x40 << 12,
};
#define TIPG_COPPER 0x00602008u /* IPGT 8, IPGR1 8, IPGR2 6 (8254x manual, 13.4.34) */
#define RAH_AV	    (1u << 31)

/* Legacy descriptors (8254x manual, 3.2.3 and 3.3.3): every card of the family has them. */
struct e1000_rx_desc {
	uint64_t addr;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special;
};
struct e1000_tx_desc {
	uint64_t addr;
	uint16_t length;
	uint8_t cso, cmd, status, css;
	uint16_t special;
};
_Static_assert(sizeof(struct e1000_rx_desc) == 16, "legacy receive descriptor");
_Static_assert(sizeof(struct e1000_tx_desc) == 16, "legacy transmit descriptor");
enum e1000_rx_status { RXD_DD = 1 << 0, RXD_EOP = 1 << 1 };
enum e1000_rx_error { RXE_CE = 1 << 0, RXE_SE = 1 << 1, RXE_SEQ = 1 << 2, RXE_RXE = 1 << 7 };
enum e1000_tx_cmd { TXC_EOP = 1 << 0, TXC_IFCS = 1 << 1, TXC_RS = 1 << 3 };
enum e1000_tx_status { TXD_DD = 1 << 0 };
