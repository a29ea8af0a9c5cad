/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the loader's hand-off to hv_main(), on the boot CPU: first what makes errors visible, then
 * memory, then the board, bottom up. The order is the dependencies' order.
 */
#include <string.h>
#include "arch/x86_64/internal.h"
#include "hv/log.h"

void start(const struct handoff *h);					     /* entry.S */
__attribute__((noreturn)) void stack_switch(uint64_t top, void (*fn)(void)); /* entry.S */

static struct handoff copy;
struct handoff *handoff = &copy;

static void check_handoff(void)
{
	if (copy.magic != HANDOFF_MAGIC || copy.version != HANDOFF_VERSION ||
	    copy.size != sizeof(copy))
		panic("the loader's hand-off isn't ours (magic 0x%llx, version %u, size %u)",
		      (unsigned long long)copy.magic, copy.version, copy.size);
	if (copy.hv_base % HV_ALIGN || copy.hv_size % HV_ALIGN || copy.n_map > HANDOFF_MAX_MAP ||
	    copy.image_size > copy.reserved_top || copy.reserved_top > copy.hv_size)
		panic("the loader's hand-off contradicts itself (base 0x%llx, size 0x%llx)",
		      (unsigned long long)copy.hv_base, (unsigned long long)copy.hv_size);
}

static uint64_t ram_mib(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < copy.n_map; i++)
		if (copy.map[i].type == MEM_RAM)
			bytes += copy.map[i].size;
	return bytes >> 20;
}

static void start_board(void)
{
	heap_add(copy.reserved_top,
		 copy.hv_size); /* the loader's stack and tables are out of use */
	log_info("memory: %llu MiB; the hypervisor's %llu MiB at 0x%llx, %zu KiB of them free",
		 (unsigned long long)ram_mib(), (unsigned long long)copy.hv_size >> 20,
		 (unsigned long long)copy.hv_base, pages_free_count() * 4);
	acpi_init();
	lapic_init();
	host_ioapic_init();
	tsc_calibrate();
	fpu_init();
	mce_init_cpu();
	rtc_init_host();
	reset_init();
	hv_main(handoff);
}

void start(const struct handoff *h)
{
	memcpy(&copy, h, sizeof(copy));
	percpu_init_bsp();
	uart_init(copy.console_port, copy.console_baud);
	check_handoff();
	heap_add(copy.image_size, copy.reserved_top);
	percpu_load_bsp();
	control_init();
	paging_init();
	percpu_map_stacks(this_cpu());
	idt_use_ist();
	stack_switch(this_cpu()->stack_top, start_board);
}
