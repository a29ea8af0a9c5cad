// SPDX-License-Identifier: GPL-2.0-or-later
#include "hv/mptable.h"
#include <stdbool.h>
#include <string.h>
#include "hv/acpi_format.h"
#include "hv/log.h"
#include "hv/pci.h"

#define LAPIC_ADDR   0xfee00000u
#define APIC_VERSION 0x14
#define PCI_BUS	     0
#define ISA_BUS	     1
#define ALL_LAPICS   0xff
#define PCI_DEVICES  32
#define CPU_FEATURES 0x201 /* FPU, APIC */

enum { MP_CPU, MP_BUS, MP_IOAPIC, MP_INTR, MP_LINTR };
enum { CPU_ENABLED = 1 << 0, CPU_BOOT = 1 << 1 };
enum { INT, NMI, SMI, EXTINT };
enum { FLAGS_BUS = 0, FLAGS_HIGH_LEVEL = 0xd, FLAGS_LOW_LEVEL = 0xf };

struct mp_pointer {
	char signature[4];
	uint32_t table;
	uint8_t length, revision, checksum, feature[5];
} PACKED;
_Static_assert(sizeof(struct mp_pointer) == 16, "MP floating pointer");

struct mp_header {
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem_id[8], product_id[12];
	uint32_t oem_table;
	uint16_t oem_size, entries;
	uint32_t lapic_addr;
	uint16_t ext_length;
	uint8_t ext_checksum, reserved;
} PACKED;
_Static_assert(sizeof(struct mp_header) == 44, "MP configuration table header");

struct mp_cpu {
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features;
	uint32_t reserved[2];
} PACKED;
_Static_assert(sizeof(struct mp_cpu) == 20, "MP processor entry");

struct mp_bus {
	uint8_t type, id;
	char name[6];
} PACKED;

struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t addr;
} PACKED;

struct mp_intr { /* of the IOAPIC and of the local APICs */
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, irq, apic, pin;
} PACKED;
_Static_assert(sizeof(struct mp_bus) == 8 && sizeof(struct mp_ioapic) == 8 &&
		       sizeof(struct mp_intr) == 8,
	       "MP entries");

struct mp_builder {
	uint8_t *mem;
	size_t pos, size;
	struct mp_header *head;
};

static void add(struct mp_builder *b, const void *entry, size_t n)
{
	ASSERT(b->pos + n <= b->size);
	memcpy(b->mem + b->pos, entry, n);
	b->pos += n;
	b->head->entries++;
}

static void add_intr(struct mp_builder *b, struct mp_intr e)
{
	add(b, &e, sizeof(e));
}

/* An APIC ID of 255 or more cannot be said here. */
static void add_cpus(struct mp_builder *b, const struct acpi_config *c)
{
	for (unsigned i = 0; i < c->n_cpus; i++) {
		struct mp_cpu e = {.type = MP_CPU,
				   .apic_id = (uint8_t)c->apic_ids[i],
				   .apic_version = APIC_VERSION,
				   .flags = CPU_ENABLED | (i == 0 ? CPU_BOOT : 0),
				   .signature = 0x600,
				   .features = CPU_FEATURES};

		if (c->apic_ids[i] < 255)
			add(b, &e, sizeof(e));
	}
}

/* As the MADT has it: IRQ 0 on pin 2, the SCI level-triggered, all others on their own pin as the
 * ISA bus does it. */
static void add_isa_interrupts(struct mp_builder *b)
{
	for (uint8_t irq = 0; irq < 16; irq++) {
		if (irq == 2) /* the cascade */
			continue;
		add_intr(b, (struct mp_intr){.type = MP_INTR,
					     .kind = INT,
					     .flags = irq == SCI_IRQ ? FLAGS_HIGH_LEVEL : FLAGS_BUS,
					     .bus = ISA_BUS,
					     .irq = irq,
					     .apic = IOAPIC_ID,
					     .pin = irq ? irq : 2});
	}
}

static void add_pci_interrupts(struct mp_builder *b)
{
	for (unsigned slot = 0; slot < PCI_DEVICES; slot++) {
		for (unsigned pin = 0; pin < 4; pin++)
			add_intr(b, (struct mp_intr){
					    .type = MP_INTR,
					    .kind = INT,
					    .flags = FLAGS_LOW_LEVEL,
					    .bus = PCI_BUS,
					    .irq = (uint8_t)(slot << 2 | pin),
					    .apic = IOAPIC_ID,
					    .pin = (uint8_t)pci_gsi(PCI_DEVFN(slot, 0), pin + 1)});
	}
}

static void add_local_interrupts(struct mp_builder *b)
{
	add_intr(b, (struct mp_intr){
			    .type = MP_LINTR, .kind = EXTINT, .bus = ISA_BUS, .apic = ALL_LAPICS});
	add_intr(b, (struct mp_intr){.type = MP_LINTR,
				     .kind = NMI,
				     .bus = ISA_BUS,
				     .apic = ALL_LAPICS,
				     .pin = 1});
}

void mptable_build(void *mem, size_t size, uint64_t gpa, const struct acpi_config *c)
{
	struct mp_pointer *p = mem;
	struct mp_builder b = {.mem = (uint8_t *)mem + sizeof(*p),
			       .pos = sizeof(struct mp_header),
			       .size = size - sizeof(*p),
			       .head = (struct mp_header *)(p + 1)};
	static const struct mp_bus buses[] = {{MP_BUS, PCI_BUS, "PCI   "},
					      {MP_BUS, ISA_BUS, "ISA   "}};
	static const struct mp_ioapic ioapic = {MP_IOAPIC, IOAPIC_ID, 0x11, 1, IOAPIC_BASE};

	ASSERT(size > sizeof(*p) + sizeof(*b.head));
	memcpy(b.head->signature, "PCMP", 4);
	b.head->revision = 4;
	memcpy(b.head->oem_id, "STASIS  ", 8);
	memcpy(b.head->product_id, "BOARD       ", 12);
	b.head->lapic_addr = LAPIC_ADDR;
	add_cpus(&b, c);
	add(&b, &buses[0], sizeof(buses[0]));
	add(&b, &buses[1], sizeof(buses[1]));
	add(&b, &ioapic, sizeof(ioapic));
	add_isa_interrupts(&b);
	add_pci_interrupts(&b);
	add_local_interrupts(&b);
	b.head->length = (uint16_t)b.pos;
	b.head->checksum = acpi_checksum(b.mem, b.pos);
	memcpy(p->signature, "_MP_", 4);
	p->table = (uint32_t)(gpa + sizeof(*p));
	p->length = 1; /* in 16 bytes */
	p->revision = 4;
	p->checksum = acpi_checksum(p, sizeof(*p));
}
