// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stasis.efi: from the firmware to the hypervisor. Everything that can be wrong is found while
 * there is a way back: one line says what and what to do, all memory is given back, and the
 * firmware (or iPXE's script) goes on. See docs/boot.md.
 */
#include <string.h>
#include "arch/x86_64/cpu.h"
#include "boot/loader.h"
#include "boot/print.h"
#include "boot/version.h"

#define STACK_SIZE (32ull << 10)
#define HV_HEAP_MIN \
	(8ull << 20) /* of the block, beside the image and what the loader leaves in it */
#define ROUND_UP(n)   (((n) + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1))
#define HANDOFF_PAGES ROUND_UP(sizeof(struct handoff))

EFI_SYSTEM_TABLE *ST;
EFI_BOOT_SERVICES *BS;

static struct config config;
static char options[2 * HANDOFF_CMDLINE], config_text[CONFIG_FILE_MAX];

/*
 * Load options as text. Firmware passes data of its own to boot entries that it made itself: what
 * does not start like text is not ours. Returns false then.
 */
static bool options_text(const EFI_LOADED_IMAGE *image, char *out, size_t size)
{
	const CHAR16 *wide = image->LoadOptions;
	size_t n = image->LoadOptionsSize / sizeof *wide;

	if (!wide || !n || image->LoadOptionsSize % sizeof *wide || wide[0] < ' ' || wide[0] > '~')
		return false;
	if (n >= size)
		n = size - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = wide[i] < 0x80 ? (char)wide[i] : '\x7f'; /* refused by the parser */
	out[n] = 0;
	return true;
}

static EFI_STATUS read_config_file(struct files *f, struct config_error *e)
{
	struct file file;
	EFI_STATUS st = file_open(f, CONFIG_FILE_NAME, true, &file);

	if (st == EFI_NOT_FOUND)
		return EFI_SUCCESS;
	if (EFI_ERROR(st))
		return st;
	if (file.size > sizeof config_text)
		st = fail(EFI_INVALID_PARAMETER, CONFIG_FILE_NAME " is over 16 KiB: shorten it");
	if (!EFI_ERROR(st))
		st = file_read(&file, 0, config_text, file.size);
	file_close(&file);
	if (EFI_ERROR(st))
		return st;
	say("configuration " CONFIG_FILE_NAME ": %lu bytes", file.size);
	if (config_file(&config, config_text, file.size, e))
		return fail(EFI_INVALID_PARAMETER, "%s", e->text);
	return EFI_SUCCESS;
}

static EFI_STATUS configure(const EFI_LOADED_IMAGE *image, struct files *f)
{
	struct config_error e;
	EFI_STATUS st;

	config_init(&config);
	if (options_text(image, options, sizeof options) && config_options(&config, options, &e)) {
		console_init(config.console_port, config.console_baud); /* if it got that far */
		return fail(EFI_INVALID_PARAMETER, "%s", e.text);
	}
	st = read_config_file(f, &e);
	if (EFI_ERROR(st))
		return st;
	if (config_finish(&config, &e))
		return fail(EFI_INVALID_PARAMETER, "%s", e.text);
	console_init(config.console_port, config.console_baud);
	return EFI_SUCCESS;
}

static uint64_t find_rsdp(void)
{
	static const EFI_GUID acpi_2 = {
		0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};
	static const EFI_GUID acpi_1 = {
		0xeb9d2d30, 0x2d88, 0x11d3, {0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
	uint64_t rsdp = 0;

	for (UINTN i = 0; i < ST->NumberOfTableEntries; i++) {
		const EFI_CONFIGURATION_TABLE *t = &ST->ConfigurationTable[i];

		if (!memcmp(&t->VendorGuid, &acpi_2, sizeof acpi_2))
			return (uint64_t)t->VendorTable;
		if (!memcmp(&t->VendorGuid, &acpi_1, sizeof acpi_1))
			rsdp = (uint64_t)t->VendorTable;
	}
	return rsdp;
}

static void fill_config(struct handoff *h)
{
	h->cpus = config.cpus;
	h->on_reset = config.on_reset;
	h->memory = config.memory;
	h->golden_place = config.golden;
	h->store_place = config.store;
	h->on_no_disk = config.on_no_disk;
	h->disk_errors = config.disk_errors;
	h->iommu = config.iommu;
	h->console_port = config.console_port;
	h->console_baud = config.console_baud;
	h->n_nics = config.n_nics;
	memcpy(h->nics, config.nics, sizeof h->nics);
	h->ip = config.ip;
	h->ip_prefix = config.ip_prefix;
	h->gateway = config.gateway;
	h->syslog_ip = config.syslog_ip;
	h->syslog_port = config.syslog_port;
	h->nic_settle = config.nic_settle;
	h->freeze_mark = config.freeze_mark;
	h->experiment = config.experiment;
	h->node = config.node;
	h->ptp = config.ptp;
	h->control_port = config.control_port;
	h->control_key_size = config.control_key_size;
	memcpy(h->control_key, config.control_key, sizeof h->control_key);
	memcpy(h->append, config.append, sizeof h->append);
	memcpy(h->options, config.options, sizeof h->options);
}

static void fill_placement(struct handoff *h, const struct placement *p)
{
	h->hv_base = p->hv_base;
	h->hv_size = p->hv_size;
	h->trampoline = p->trampoline;
	h->kernel_base = p->kernel_base;
	h->kernel_size = p->kernel.init_size;
	h->setup_header = p->setup_header;
	h->setup_size = p->kernel.setup_size;
	h->initrd_base = p->initrd_base;
	h->initrd_size = p->initrd_size;
	h->disk_base = p->disk_base;
	h->disk_bytes = p->disk_bytes;
	h->disk_golden = p->disk_golden;
	h->disk_store = ROUND_UP(p->disk_golden);
}

/* What the jump needs once the firmware is gone. */
struct departure {
	struct handoff *h;
	uint64_t h_virt, entry, cr3, stack;
};

/* Block layout: image, free memory, then from reserved_top on the hand-off, the stack, the page
 * tables. */
static EFI_STATUS prepare(struct departure *d, const struct placement *p, uint64_t tsc_entry)
{
	struct memory_view v;
	struct hv_image image;
	uint64_t reserved, least, top;
	EFI_STATUS st = elf_check(&image);

	if (!EFI_ERROR(st))
		st = memory_view(&v);
	if (EFI_ERROR(st))
		return st;
	reserved = HANDOFF_PAGES + STACK_SIZE + paging_size(&v);
	least = (ROUND_UP(image.size) + HV_HEAP_MIN + reserved + HV_ALIGN - 1) & ~(HV_ALIGN - 1);
	if (least > p->hv_size)
		return fail(EFI_OUT_OF_RESOURCES, "hv_memory=%lu is too little: use %lu or more",
			    MIB(p->hv_size), MIB(least));
	top = p->hv_size - reserved;
	memset((void *)p->hv_base, 0, p->hv_size);
	elf_load(p->hv_base);

	d->h = (struct handoff *)(p->hv_base + top);
	d->h_virt = HV_VIRT_BASE + top;
	d->entry = image.entry;
	d->stack = d->h_virt + HANDOFF_PAGES + STACK_SIZE;
	d->cr3 = paging_build(p->hv_base + top + HANDOFF_PAGES + STACK_SIZE, &v, p->hv_base,
			      p->hv_size);

	d->h->magic = HANDOFF_MAGIC;
	d->h->version = HANDOFF_VERSION;
	d->h->size = sizeof(struct handoff);
	d->h->image_size = image.size;
	d->h->reserved_top = top;
	d->h->tsc_entry = tsc_entry;
	d->h->rsdp = find_rsdp();
	d->h->efi_system_table = (uint64_t)ST;
	fill_placement(d->h, p);
	fill_config(d->h);
	mp_list(d->h);
	say("hypervisor: %lu MiB at 0x%lx, %u CPUs listed by the firmware", MIB(p->hv_size),
	    p->hv_base, d->h->n_cpus);
	return EFI_SUCCESS;
}

/* What holds the control key, and becomes the guest's memory. */
static void forget(const EFI_LOADED_IMAGE *image)
{
	config_wipe(&config, sizeof config);
	config_wipe(options, sizeof options);
	config_wipe(config_text, sizeof config_text);
	if (image->LoadOptions)
		config_wipe(image->LoadOptions, image->LoadOptionsSize);
}

static EFI_STATUS load(const EFI_LOADED_IMAGE *image, struct files *f, struct departure *d,
		       uint64_t tsc_entry)
{
	struct placement p;
	EFI_STATUS st = configure(image, f);

	if (!EFI_ERROR(st))
		st = check_cpu();
	if (!EFI_ERROR(st))
		st = place_all(&p, &config, f);
	if (!EFI_ERROR(st))
		st = prepare(d, &p, tsc_entry);
	if (!EFI_ERROR(st))
		forget(image);
	return st;
}

/* No way back: boot services are gone, or half gone if the firmware refuses. */
static __attribute__((noreturn)) void depart(EFI_HANDLE image, const struct departure *d)
{
	if (EFI_ERROR(memory_exit_boot(image, d->h))) {
		fail_raw("the firmware does not let go (ExitBootServices): update it; resetting");
		for (;;)
			ST->RuntimeServices->ResetSystem(EfiResetCold, EFI_SUCCESS, 0, NULL);
	}
	enter_hypervisor(d->h_virt, d->entry, d->cr3, d->stack);
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
	EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	uint64_t tsc_entry = rdtsc();
	EFI_LOADED_IMAGE *image;
	struct departure d = {0};
	struct files files;
	EFI_STATUS st;

	ST = system;
	BS = system->BootServices;
	config_init(&config);
	console_init(config.console_port, config.console_baud);
	say("version " STASIS_VERSION);
	st = BS->HandleProtocol(handle, &guid, (void **)&image);
	if (EFI_ERROR(st))
		return fail(st, "the firmware does not say what it loaded: update it");
	BS->SetWatchdogTimer(0, 0, 0, NULL); /* five minutes are short for a large initrd */
	st = files_open(&files, image);
	if (!EFI_ERROR(st))
		st = load(image, &files, &d, tsc_entry);
	files_close(&files);
	if (EFI_ERROR(st)) {
		memory_free_all();
		return st;
	}
	say("handing over");
	depart(handle, &d);
}
