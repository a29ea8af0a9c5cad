// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who gets which memory. The order decides: the hypervisor's block first, since its place must be
 * the same on every node of a type; then the kernel where it wants to be; then what can be
 * anywhere.
 */
#include "arch/x86_64/cpu.h"
#include "boot/loader.h"
#include "boot/map.h"

#define GUEST_SPARE (64ull << 20) /* beyond kernel and initrd; less is no Linux */
#define LOW_TOP	    0xa0000ull
#define SECTOR	    512u
#define SEARCH_FROM 0x1000000ull /* leave the low 16 MiB to firmware and ISA DMA */

struct files_given {
	struct file kernel, initrd, disk; /* no handle: not given */
};

static EFI_STATUS no_room(const char *what, uint64_t size)
{
	return fail(EFI_OUT_OF_RESOURCES, "no room for %s of %lu MiB: add memory", what,
		    MIB_UP(size));
}

static EFI_STATUS check_size(const struct placement *p, const struct config *c)
{
	uint64_t need = p->kernel.init_size + p->initrd_size + GUEST_SPARE, ram;
	uint64_t taken = c->hv_memory + p->disk_bytes;
	struct memory_view v;
	EFI_STATUS st = memory_view(&v);

	if (EFI_ERROR(st))
		return st;
	ram = map_ram_bytes(v.map, v.n);
	ram -= ram < taken ? ram : taken;
	if (ram < need)
		return fail(EFI_OUT_OF_RESOURCES,
			    "too little memory (%lu MiB for the guest, %lu needed): add some",
			    MIB(ram), MIB_UP(need));
	if (c->memory && c->memory < need)
		return fail(EFI_OUT_OF_RESOURCES, "memory=%lu is too little: use %lu or more",
			    MIB(c->memory), MIB_UP(need));
	return EFI_SUCCESS;
}

/* Where the guest's RAM ends, by its limit; nothing of the guest's may be above that, or above 4
 * GiB. */
static EFI_STATUS find_top(struct placement *p, const struct config *c)
{
	struct memory_view v;
	EFI_STATUS st = memory_view(&v);

	if (EFI_ERROR(st))
		return st;
	p->ram_top = map_ram_top(v.map, v.n, c->memory, p->hv_base, p->hv_size) & ~(PAGE_SIZE - 1);
	if (p->ram_top > GIB4)
		p->ram_top = GIB4;
	return EFI_SUCCESS;
}

static EFI_STATUS place_hypervisor(struct placement *p, const struct config *c)
{
	EFI_STATUS st = memory_alloc_aligned(c->hv_base, GIB4, p->hv_size, HV_ALIGN, &p->hv_base);

	if (EFI_ERROR(st))
		st = memory_alloc_aligned(SEARCH_FROM, GIB4, p->hv_size, HV_ALIGN, &p->hv_base);
	if (EFI_ERROR(st))
		return no_room("a hypervisor", p->hv_size);
	say("hv_base=0x%lx is taken: using 0x%lx", c->hv_base, p->hv_base);
	return EFI_SUCCESS;
}

/*
 * Not below pref_address: the decompressor would move itself up to it. Any other place is as good
 * for a relocatable kernel.
 */
static EFI_STATUS place_kernel(struct placement *p)
{
	const struct bzimage *k = &p->kernel;

	p->kernel_base = k->pref_address;
	if (k->pref_address + k->init_size <= p->ram_top &&
	    !EFI_ERROR(memory_alloc_at(k->pref_address, k->init_size)))
		return EFI_SUCCESS;
	if (EFI_ERROR(memory_alloc_aligned(k->pref_address, p->ram_top, k->init_size, k->alignment,
					   &p->kernel_base)))
		return no_room("a kernel", k->init_size);
	return EFI_SUCCESS;
}

static EFI_STATUS read_head(struct placement *p, const struct config *c, struct file *kernel)
{
	uint64_t size = kernel->size < BZIMAGE_HEAD_MAX ? kernel->size : BZIMAGE_HEAD_MAX;
	const char *error;
	EFI_STATUS st = memory_alloc_below(GIB4, BZIMAGE_HEAD_MAX, &p->setup_header);

	if (EFI_ERROR(st))
		return no_room("a kernel header", BZIMAGE_HEAD_MAX);
	st = file_read(kernel, 0, (void *)p->setup_header, size);
	if (EFI_ERROR(st))
		return st;
	if (bzimage_check((void *)p->setup_header, size, kernel->size, &p->kernel, &error))
		return fail(EFI_LOAD_ERROR, "%s: %s", c->kernel, error);
	for (uint32_t n = 0; c->append[n]; n++) {
		if (n >= p->kernel.cmdline_size)
			return fail(EFI_INVALID_PARAMETER,
				    "append is too long: this kernel takes %u characters",
				    p->kernel.cmdline_size);
	}
	return EFI_SUCCESS;
}

static EFI_STATUS read_kernel(struct placement *p, struct file *kernel)
{
	const struct bzimage *k = &p->kernel;
	EFI_STATUS st = place_kernel(p);

	if (!EFI_ERROR(st))
		st = file_read(kernel, k->setup_size, (void *)p->kernel_base, k->payload_size);
	if (!EFI_ERROR(st))
		say("kernel %s: %lu bytes, boot protocol %u.%u, at 0x%lx", kernel->name,
		    kernel->size, k->version >> 8, k->version & 0xffu, p->kernel_base);
	return st;
}

static EFI_STATUS read_initrd(struct placement *p, struct file *initrd)
{
	uint64_t top = (uint64_t)p->kernel.initrd_addr_max + 1;
	EFI_STATUS st;

	if (top > p->ram_top)
		top = p->ram_top;
	st = memory_alloc_below(top, p->initrd_size, &p->initrd_base);
	if (EFI_ERROR(st))
		return no_room("an initrd", p->initrd_size);
	st = file_read(initrd, 0, (void *)p->initrd_base, p->initrd_size);
	if (!EFI_ERROR(st))
		say("initrd %s: %lu bytes, at 0x%lx", initrd->name, p->initrd_size, p->initrd_base);
	return st;
}

/* At the top of what there is, so that the guest's memory is one piece. */
static EFI_STATUS read_disk(struct placement *p, struct file *disk)
{
	EFI_STATUS st = memory_alloc_below(UINT64_MAX, p->disk_bytes, &p->disk_base);

	if (EFI_ERROR(st))
		return no_room("a disk", p->disk_bytes);
	if (!disk->handle)
		return EFI_SUCCESS;
	st = file_read(disk, 0, (void *)p->disk_base, p->disk_golden);
	if (!EFI_ERROR(st))
		say("disk %s: %lu bytes, at 0x%lx, and %lu MiB for what is written", disk->name,
		    p->disk_golden, p->disk_base, MIB(p->disk_bytes - p->disk_golden));
	return st;
}

static EFI_STATUS place_trampoline(struct placement *p)
{
	EFI_STATUS st = memory_alloc_below(LOW_TOP, PAGE_SIZE, &p->trampoline);

	/* page 0 cannot be named by a start-up IPI that means it: too much else means "none" by 0
	 */
	if (!EFI_ERROR(st) && !p->trampoline)
		st = memory_alloc_below(LOW_TOP, PAGE_SIZE, &p->trampoline);
	if (EFI_ERROR(st))
		return fail(st, "no free page below 640 KiB: update the firmware");
	return EFI_SUCCESS;
}

static EFI_STATUS place(struct placement *p, const struct config *c, struct files_given *g)
{
	bool exact;
	EFI_STATUS st = read_head(p, c, &g->kernel);

	if (!EFI_ERROR(st))
		st = check_size(p, c);
	if (EFI_ERROR(st))
		return st;
	p->hv_size = c->hv_memory;
	exact = !EFI_ERROR(memory_alloc_at(c->hv_base, p->hv_size));
	if (exact)
		p->hv_base = c->hv_base;
	if (p->disk_bytes)
		st = read_disk(p, &g->disk);
	if (!EFI_ERROR(st))
		st = find_top(p, c);
	if (!EFI_ERROR(st))
		st = read_kernel(p, &g->kernel);
	if (!EFI_ERROR(st) && !exact)
		st = place_hypervisor(p, c);
	if (!EFI_ERROR(st))
		st = find_top(p, c);
	if (!EFI_ERROR(st) && g->initrd.handle)
		st = read_initrd(p, &g->initrd);
	if (!EFI_ERROR(st))
		st = place_trampoline(p);
	return st;
}

static EFI_STATUS open_all(struct files_given *g, const struct config *c, struct files *f)
{
	EFI_STATUS st = file_open(f, c->kernel, false, &g->kernel);

	if (!EFI_ERROR(st) && c->initrd[0])
		st = file_open(f, c->initrd, false, &g->initrd);
	if (!EFI_ERROR(st) && g->initrd.handle && !g->initrd.size)
		st = fail(EFI_LOAD_ERROR, "%s is empty: fetch it again", c->initrd);
	if (!EFI_ERROR(st) && c->disk[0])
		st = file_open(f, c->disk, false, &g->disk);
	if (!EFI_ERROR(st) && g->disk.handle && (!g->disk.size || g->disk.size % SECTOR))
		st = fail(EFI_LOAD_ERROR,
			  "%s: %lu bytes are no disk: use a raw image of 512-byte sectors", c->disk,
			  g->disk.size);
	return st;
}

/* Memory for what the guest writes: none if that goes to a disk, or if it has none. */
static uint64_t room(const struct config *c)
{
	bool disk = c->disk[0] || disk_place_given(&c->golden);

	return disk && !disk_place_given(&c->store) ? c->disk_room : 0;
}

EFI_STATUS place_all(struct placement *p, const struct config *c, struct files *f)
{
	struct files_given g = {0};
	EFI_STATUS st = open_all(&g, c, f);

	*p = (struct placement){0};
	if (!EFI_ERROR(st)) {
		p->initrd_size = g.initrd.size;
		p->disk_golden = g.disk.size;
		p->disk_bytes = ((g.disk.size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)) + room(c);
		st = place(p, c, &g);
	}
	file_close(&g.kernel);
	file_close(&g.initrd);
	file_close(&g.disk);
	return st;
}
