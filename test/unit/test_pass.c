/* build: hv/pass.c hv/pass_irq.c hv/msix.c hv/pci.c hv/ports.c hv/bus.c hv/unit.c hv/state.c storage/crc32c.c timevirt/vtimer.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A passed-through card: what of it is virtual, where its interrupts go, and when it may do DMA. */
#include "test/unit/check.h"
#include "test/unit/board.h"
#include "test/unit/pass_rig.h"

#define SLOT   2
#define GSI    18 /* of that slot's INTA */
#define WINDOW 0x80000000u
#define ADDR   0xfee01000u /* where the guest wants its messages */

static void (*on_eoi)(unsigned gsi);
static uint64_t sent_addr;
static uint32_t sent_data;
static unsigned sent;

void irq_msi(uint64_t addr, uint32_t data)
{
	sent_addr = addr;
	sent_data = data;
	sent++;
}

void ioapic_on_eoi(void (*fn)(unsigned gsi))
{
	on_eoi = fn;
}

struct vcpu *vcpu_get(unsigned index)
{
	(void)index;
	return NULL;
}

unsigned vcpu_count(void)
{
	return 1;
}

static const struct vcpu_ops ops = {.map_device = pass_rig_map, .unmap_device = pass_rig_unmap};
const struct vcpu_ops *vcpu_ops = &ops;

static uint32_t cfg(unsigned reg, unsigned size)
{
	bus_io_write(0xcf8, 4, 1u << 31 | SLOT << 11 | (reg & 0xfc));
	return bus_io_read((uint16_t)(0xcfc + reg % 4), size);
}

static void set(unsigned reg, unsigned size, uint32_t v)
{
	bus_io_write(0xcf8, 4, 1u << 31 | SLOT << 11 | (reg & 0xfc));
	bus_io_write((uint16_t)(0xcfc + reg % 4), size, v);
}

static const struct unit *unit(void)
{
	return unit_at(unit_count() - 1);
}

/* After power-on, with its BARs where Linux would put them. */
static void begin(void)
{
	units_reset();
	set(PCI_BAR0, 4, WINDOW);
	set(PCI_BAR0 + 4 * CARD_IO_BAR, 4, 0x1000);
	set(PCI_BAR0 + 4 * CARD_TABLE_BAR, 4, WINDOW + CARD_REGS);
	set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	sent = 0;
}

static gpa_t table(unsigned n, unsigned field)
{
	return (gpa_t){WINDOW + CARD_REGS + 16 * n + field};
}

static void its_ids_and_no_more(void)
{
	begin();
	CHECK_EQ(cfg(PCI_VENDOR_ID, 4), 0x10d38086);
	CHECK_EQ(cfg(PCI_COMMAND, 4) >> 16, PCI_STATUS_CAPABILITIES);
	CHECK_EQ(cfg(PCI_CAPABILITIES, 1), CARD_MSIX);
	CHECK_EQ(cfg(CARD_MSIX, 2), PCI_CAP_MSIX | CARD_MSI << 8);
	CHECK_EQ(cfg(CARD_MSI, 2), PCI_CAP_MSI);
	set(0x30, 4, 0xffffffff); /* expansion ROM */
	CHECK_EQ(cfg(0x30, 4), 0);
	set(PCI_BAR0 + 4, 4, 0xffffffff); /* flash */
	CHECK_EQ(cfg(PCI_BAR0 + 4, 4), 0);
	set(PCI_VENDOR_ID, 4, 0);
	CHECK_EQ(cfg(PCI_VENDOR_ID, 4), 0x10d38086);
}

static void registers_are_mapped_in_the_window_only(void)
{
	begin();
	CHECK_EQ(phys.mapped, CARD_REGS / PAGE_SIZE);
	set(PCI_BAR0, 4, 0x00100000);
	CHECK_EQ(phys.mapped, 0);
	set(PCI_BAR0, 4, 0xf0000000 - CARD_REGS);
	CHECK_EQ(phys.mapped, CARD_REGS / PAGE_SIZE);
	set(PCI_COMMAND, 2, 0);
	CHECK_EQ(phys.mapped, 0);
}

static void io_reaches_whole_registers_only(void)
{
	begin();
	bus_io_write(0x1000, 4, 0x3800);
	bus_io_write(0x1004, 4, 0x11223344);
	CHECK_EQ(*(uint32_t *)(phys.regs + 0x3800), 0x11223344);
	CHECK_EQ(bus_io_read(0x1004, 4), 0x11223344);
	bus_io_write(0x1000, 4, CARD_REGS);
	bus_io_write(0x1004, 4, 1);
	CHECK_EQ(bus_io_read(0x1004, 4), 0);
	bus_io_write(0x1000, 4, 0x3802);
	CHECK_EQ(bus_io_read(0x1004, 4), 0);
	CHECK_EQ(bus_io_read(0x1000, 4), 0x3802);
}

static void dma_while_the_guest_says_so(void)
{
	units_reset();
	CHECK(!(phys.command & PCI_COMMAND_MASTER));
	begin();
	CHECK(phys.command & PCI_COMMAND_MASTER);
	set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	CHECK(!(phys.command & PCI_COMMAND_MASTER));
	begin();
	units_reset();
	CHECK(!(phys.command & PCI_COMMAND_MASTER));
}

static void guest_wants_msi(void)
{
	set(CARD_MSI + 4, 4, ADDR);
	set(CARD_MSI + 12, 2, 0x31);
	set(CARD_MSI + 2, 2, 1);
}

static void msi_goes_where_the_guest_wants(void)
{
	begin();
	guest_wants_msi();
	CHECK_EQ(phys.msi_vector, CARD_VECTOR0);
	phys_interrupt(0);
	CHECK_EQ(sent, 1);
	CHECK_EQ(sent_addr, ADDR);
	CHECK_EQ(sent_data, 0x31);
}

static void masked_vectors_wait(void)
{
	begin();
	set(CARD_MSIX + 2, 2, CARD_MSIX_ENABLE);
	bus_mmio_write(table(3, 0), 4, ADDR);
	bus_mmio_write(table(3, 8), 4, 0x33);
	CHECK_EQ(phys.table[3 * 4 + 3], 1);
	phys_interrupt(3);
	CHECK_EQ(sent, 0);
	CHECK_EQ(bus_mmio_read((gpa_t){WINDOW + CARD_REGS + 0x2000}, 8), 1 << 3);
	bus_mmio_write(table(3, 12), 4, 0);
	CHECK_EQ(phys.table[3 * 4 + 3], 0);
	CHECK_EQ(phys.table[3 * 4 + 2], CARD_VECTOR0 + 3);
	CHECK_EQ(sent, 1);
	CHECK_EQ(sent_data, 0x33);
	CHECK_EQ(bus_mmio_read(table(5, 0), 8), 0); /* beyond the table */
	bus_mmio_write(table(5, 12), 8, ~0ull);
}

static void message_asserts_the_wire_until_the_eoi(void)
{
	begin();
	CHECK_EQ(phys.msi_vector, CARD_VECTOR0);
	phys_interrupt(0);
	CHECK(board.gsi[GSI]);
	CHECK(cfg(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	on_eoi(GSI - 1);
	CHECK(board.gsi[GSI]);
	on_eoi(GSI);
	CHECK(!board.gsi[GSI]);
	phys_interrupt(0);
	phys_interrupt(0); /* while the guest serves the first */
	on_eoi(GSI);
	CHECK(board.gsi[GSI]);
	on_eoi(GSI);
	CHECK(!board.gsi[GSI]);
	set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	CHECK_EQ(phys.msi_vector, 0);
}

static void kept_while_frozen(void)
{
	begin();
	guest_wants_msi();
	unit()->freeze(unit()->dev);
	phys_interrupt(0);
	phys_interrupt(0);
	CHECK_EQ(sent, 0);
	unit()->thaw(unit()->dev);
	CHECK_EQ(sent, 1);
}

static void loaded_as_it_was_saved(void)
{
	static uint8_t image[IMAGE_MAX], again[IMAGE_MAX];
	int size;

	begin();
	guest_wants_msi();
	unit()->freeze(unit()->dev);
	phys_interrupt(0);
	size = image_save(image);
	image_scramble();
	CHECK(image_load(image, size));
	CHECK(!(phys.command & PCI_COMMAND_MASTER));
	CHECK_EQ(image_save(again), size);
	CHECK(memcmp(image, again, (size_t)size) == 0);
	unit()->thaw(unit()->dev);
	CHECK(phys.command & PCI_COMMAND_MASTER);
	CHECK_EQ(phys.msi_vector, CARD_VECTOR0);
	CHECK_EQ(sent, 1);
	CHECK_EQ(sent_data, 0x31);
}

/* --- what the card's family does (hv/pass_wire.c's place is taken by this) --- */

static struct {
	unsigned freezes, thaws, starts, resets;
	unsigned read_at, written_at;
	uint32_t written, value;
} fake;

static void fake_reset(struct pass *p)
{
	(void)p;
	fake.resets++;
}

static void fake_freeze(struct pass *p)
{
	(void)p;
	fake.freezes++;
}

static void fake_thaw(struct pass *p)
{
	CHECK(!p->frozen);
	CHECK(phys.command & PCI_COMMAND_MASTER);
	fake.thaws++;
}

static void fake_start(struct pass *p)
{
	(void)p;
	fake.starts++;
}

static uint64_t fake_work(struct pass *p)
{
	(void)p;
	return 77;
}

static int fake_save(struct pass *p, struct state_writer *w)
{
	(void)p;
	state_put32(w, fake.value);
	return w->err;
}

static bool fake_load(struct pass *p, struct state_reader *r)
{
	uint32_t v = state_get32(r);

	(void)p;
	state_require(r, v != 13, "value");
	if (!state_commit(r))
		return false;
	fake.value = v;
	return true;
}

static void fake_scramble(struct pass *p)
{
	(void)p;
	fake.value = 0;
}

static uint32_t fake_read(struct pass *p, unsigned at)
{
	(void)p;
	fake.read_at = at;
	return 0x11223344 + at;
}

static void fake_write(struct pass *p, unsigned at, uint32_t v)
{
	(void)p;
	fake.written_at = at;
	fake.written = v;
}

static const struct pass_card fake_card = {
	.reset = fake_reset,
	.freeze = fake_freeze,
	.thaw = fake_thaw,
	.start = fake_start,
	.work = fake_work,
	.save = fake_save,
	.load = fake_load,
	.scramble = fake_scramble,
	.read = fake_read,
	.write = fake_write,
};

static void trapped_pages_are_the_familys(void)
{
	const unsigned all = CARD_REGS / PAGE_SIZE;

	begin();
	pass_card.card = &fake_card;
	pass_trap(&pass_card, 2, true);
	pass_trap(&pass_card, 2, true);
	CHECK_EQ(phys.mapped, all - 1);
	CHECK_EQ(bus_mmio_read((gpa_t){WINDOW + 0x2810}, 4), 0x11223344 + 0x2810);
	CHECK_EQ(bus_mmio_read((gpa_t){WINDOW + 0x2812}, 2), 0x1122);
	CHECK_EQ(bus_mmio_read((gpa_t){WINDOW + 0x2810}, 8),
		 (uint64_t)(0x11223344 + 0x2814) << 32 | (0x11223344 + 0x2810));
	bus_mmio_write((gpa_t){WINDOW + 0x2818}, 4, 5);
	CHECK_EQ(fake.written_at, 0x2818);
	CHECK_EQ(fake.written, 5);
	bus_mmio_write((gpa_t){WINDOW + 0x2811}, 1, 6); /* no card takes bytes */
	CHECK_EQ(fake.written, 5);
	bus_io_write(0x1000, 4, 0x2818);
	bus_io_write(0x1004, 4, 9);
	CHECK_EQ(fake.written, 9);
	CHECK_EQ(bus_io_read(0x1004, 4), 0x11223344 + 0x2818);
	set(PCI_BAR0, 4, WINDOW + 0x100000); /* it moves, and stays trapped */
	CHECK_EQ(phys.mapped, all - 1);
	pass_trap(&pass_card, 2, false);
	CHECK_EQ(phys.mapped, all);
	set(PCI_BAR0, 4, 0); /* trapped while it is mapped nowhere */
	pass_trap(&pass_card, 4, true);
	CHECK_EQ(phys.mapped, 0);
	set(PCI_BAR0, 4, WINDOW);
	CHECK_EQ(phys.mapped, all - 1);
	pass_trap(&pass_card, 4, false);
	pass_card.card = NULL;
}

static void family_at_a_freeze(void)
{
	static uint8_t image[IMAGE_MAX];
	int size;

	begin();
	pass_card.card = &fake_card;
	memset(&fake, 0, sizeof(fake));
	CHECK_EQ(pass_due(), UINT64_MAX);
	unit()->freeze(unit()->dev);
	CHECK_EQ(fake.freezes, 1);
	CHECK_EQ(pass_due(), 0); /* at once */
	pass_work();
	CHECK_EQ(pass_due(), 77);
	fake.value = 12;
	size = image_save(image);
	image_scramble();
	CHECK_EQ(fake.value, 0);
	CHECK(image_load(image, size));
	CHECK_EQ(fake.value, 12);
	fake.value = 13;
	size = image_save(image);
	fake.value = 14;
	CHECK(!image_load(image, size));
	CHECK_EQ(fake.value, 14);
	unit()->thaw(unit()->dev);
	pass_start();
	CHECK_EQ(fake.thaws, 1);
	CHECK_EQ(fake.starts, 1);
	pass_card.card = NULL;
}

static void none_after_the_end(void)
{
	begin();
	pass_stop();
	CHECK(!(phys.command & PCI_COMMAND_MASTER));
	set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK(!(phys.command & PCI_COMMAND_MASTER));
}

int main(void)
{
	static const struct guest_map map = {.pci_base = WINDOW, .pci_end = 0xf0000000};

	ports_init();
	pci_root_init(&map);
	pass_rig_add(true);
	RUN(its_ids_and_no_more);
	RUN(registers_are_mapped_in_the_window_only);
	RUN(io_reaches_whole_registers_only);
	RUN(dma_while_the_guest_says_so);
	RUN(msi_goes_where_the_guest_wants);
	RUN(masked_vectors_wait);
	RUN(message_asserts_the_wire_until_the_eoi);
	RUN(kept_while_frozen);
	RUN(loaded_as_it_was_saved);
	RUN(trapped_pages_are_the_familys);
	RUN(family_at_a_freeze);
	RUN(none_after_the_end);
	return check_result();
}
