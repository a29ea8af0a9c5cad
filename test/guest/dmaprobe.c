// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Has a network card do DMA where it should not: an 82574L that no driver holds, looped back to
 * itself (its datasheet, chapter 10).
 *   dmaprobe read 0000:00:02.0 ADDRESS    sends what lies there; `dmaprobe read HEX`: what came
 *   dmaprobe write 0000:00:02.0 ADDRESS   receives there; `dmaprobe wrote`
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	    4096u
#define BAR_BYTES   0x20000u
#define FRAME	    64u
#define DESCRIPTORS 16u
#define PATIENCE_US 3000000u
#define STEP_US	    1000u

enum {
	CTRL = 0x0000,
	STATUS = 0x0008,
	IMC = 0x00d8,
	RCTL = 0x0100,
	TCTL = 0x0400,
	RDBAL = 0x2800,
	RDBAH = 0x2804,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDBAH = 0x3804,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
};
#define CTRL_ASDE (1u << 5)
#define CTRL_SLU  (1u << 6)
#define CTRL_RST  (1u << 26)
#define STATUS_LU (1u << 1)
#define RCTL_EN	  (1u << 1)
#define RCTL_ALL  (3u << 3) /* whatever the address */
#define RCTL_LOOP (1u << 6)
#define TCTL_EN	  (1u << 1)
#define TCTL_PSP  (1u << 3)
#define TX_CMD	  0x0bu /* end of packet, insert FCS, report status */
#define DONE	  1u

struct rx_desc {
	uint64_t address;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special;
};
struct tx_desc {
	uint64_t address;
	uint16_t length;
	uint8_t cso, cmd, status, css;
	uint16_t special;
};

static volatile uint8_t *regs;

static void die(const char *what)
{
	(void)fprintf(stderr, "dmaprobe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t get(unsigned reg)
{
	return *(volatile uint32_t *)(regs + reg);
}

static void put(unsigned reg, uint32_t v)
{
	*(volatile uint32_t *)(regs + reg) = v;
}

static void put_address(unsigned low, unsigned high, uint64_t v)
{
	put(low, (uint32_t)v);
	put(high, (uint32_t)(v >> 32));
}

/* A page of memory, and where it lies (the kernel's Documentation/admin-guide/mm/pagemap.rst). */
static void *page(uint64_t *physical)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED,
		       -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (p == MAP_FAILED || fd < 0)
		die("a page of memory");
	memset(p, 0, PAGE);
	if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)p / PAGE * sizeof(entry))) !=
		    sizeof(entry) ||
	    !(entry >> 63))
		die("pagemap");
	(void)close(fd);
	*physical = (entry & ((1ull << 55) - 1)) * PAGE;
	return p;
}

static void open_card(const char *address)
{
	const uint16_t command = 6; /* memory, bus master */
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", address);
	fd = open(path, O_RDWR);
	if (fd < 0 || pwrite(fd, &command, sizeof(command), 4) != sizeof(command))
		die(path);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", address);
	fd = open(path, O_RDWR);
	if (fd < 0)
		die(path);
	regs = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (regs == MAP_FAILED)
		die("mmap");
	(void)close(fd);
	put(CTRL, get(CTRL) | CTRL_RST);
	(void)usleep(20000);
	put(IMC, UINT32_MAX);
	put(CTRL, get(CTRL) | CTRL_SLU | CTRL_ASDE);
	for (unsigned us = 0; us < PATIENCE_US && !(get(STATUS) & STATUS_LU); us += STEP_US)
		(void)usleep(STEP_US);
}

/* One frame out of one place into another, and whether it has come. */
static int loop(uint64_t from, uint64_t to)
{
	uint64_t rx_at, tx_at;
	volatile struct rx_desc *rx = page(&rx_at);
	volatile struct tx_desc *tx = page(&tx_at);

	rx[0].address = to;
	tx[0].address = from;
	tx[0].length = FRAME;
	tx[0].cmd = TX_CMD;
	put_address(RDBAL, RDBAH, rx_at);
	put(RDLEN, DESCRIPTORS * sizeof(*rx));
	put_address(TDBAL, TDBAH, tx_at);
	put(TDLEN, DESCRIPTORS * sizeof(*tx));
	put(RDH, 0); /* QEMU's card keeps them through a reset */
	put(TDH, 0);
	put(RDT, 0);
	put(TDT, 0);
	put(RCTL, RCTL_EN | RCTL_ALL | RCTL_LOOP);
	put(TCTL, TCTL_EN | TCTL_PSP);
	put(RDT, 1);
	put(TDT, 1);
	for (unsigned us = 0; us < PATIENCE_US; us += STEP_US) {
		if (rx[0].status & DONE)
			return 0;
		(void)usleep(STEP_US);
	}
	return -1;
}

int main(int argc, char **argv)
{
	uint64_t physical, target;
	uint8_t *buffer = page(&physical);

	if (argc != 4) {
		(void)fprintf(stderr, "usage: dmaprobe read|write FUNCTION ADDRESS\n");
		return 2;
	}
	target = strtoull(argv[3], NULL, 0);
	open_card(argv[2]);
	if (argv[1][0] == 'r') {
		if (loop(target, physical) != 0)
			return printf("dmaprobe: nothing came\n"), 1;
		printf("dmaprobe read ");
		for (unsigned i = 0; i < FRAME; i++)
			printf("%02x", buffer[i]);
		printf("\n");
	} else {
		if (loop(physical, target) != 0)
			return printf("dmaprobe: nothing came\n"), 1;
		printf("dmaprobe wrote\n");
	}
	put(CTRL, get(CTRL) | CTRL_RST);
	return 0;
}
