// SPDX-License-Identifier: GPL-2.0-or-later
/* The hypervisor: an ELF executable linked at HV_VIRT_BASE, inside this image. Wrong here means a
 * wrong build. */
#include <string.h>
#include "boot/loader.h"

#define REBUILD	  "the embedded hypervisor is damaged: rebuild stasis.efi"
#define PT_LOAD	  1
#define ET_EXEC	  2
#define EM_X86_64 62

struct elf_header { /* Elf64_Ehdr */
	uint8_t e_ident[16];
	uint16_t e_type, e_machine;
	uint32_t e_version;
	uint64_t e_entry, e_phoff, e_shoff;
	uint32_t e_flags;
	uint16_t e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "System V ABI, ELF-64 header");

struct elf_segment { /* Elf64_Phdr */
	uint32_t p_type, p_flags;
	uint64_t p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align;
};
_Static_assert(sizeof(struct elf_segment) == 56, "System V ABI, ELF-64 program header");

static const struct elf_header *header(void)
{
	return (const struct elf_header *)hv_elf;
}

static const struct elf_segment *segment(unsigned i)
{
	return (const struct elf_segment *)(hv_elf + header()->e_phoff) + i;
}

static bool segment_ok(const struct elf_segment *s, uint64_t file_size)
{
	return s->p_offset <= file_size && s->p_filesz <= file_size - s->p_offset &&
	       s->p_filesz <= s->p_memsz && s->p_vaddr >= HV_VIRT_BASE &&
	       s->p_memsz <= 0 - HV_VIRT_BASE &&
	       s->p_vaddr - HV_VIRT_BASE <= (0 - HV_VIRT_BASE) - s->p_memsz;
}

EFI_STATUS elf_check(struct hv_image *out)
{
	static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 2, 1}; /* 64 bits, little endian */
	uint64_t size = hv_elf_size;
	const struct elf_header *h = header();

	*out = (struct hv_image){0};
	if (size < sizeof *h || memcmp(h->e_ident, magic, sizeof magic) != 0 ||
	    h->e_type != ET_EXEC || h->e_machine != EM_X86_64 ||
	    h->e_phentsize != sizeof(struct elf_segment) || h->e_phoff > size ||
	    h->e_phnum > (size - h->e_phoff) / sizeof(struct elf_segment))
		return fail(EFI_LOAD_ERROR, REBUILD);
	for (unsigned i = 0; i < h->e_phnum; i++) {
		const struct elf_segment *s = segment(i);
		uint64_t end = s->p_vaddr - HV_VIRT_BASE + s->p_memsz;

		if (s->p_type != PT_LOAD)
			continue;
		if (!segment_ok(s, size))
			return fail(EFI_LOAD_ERROR, REBUILD);
		if (end > out->size)
			out->size = end;
	}
	out->entry = h->e_entry;
	if (h->e_entry < HV_VIRT_BASE || h->e_entry - HV_VIRT_BASE >= out->size)
		return fail(EFI_LOAD_ERROR, REBUILD);
	return EFI_SUCCESS;
}

/* The caller has zeroed the block. */
void elf_load(uint64_t hv_base)
{
	for (unsigned i = 0; i < header()->e_phnum; i++) {
		const struct elf_segment *s = segment(i);

		if (s->p_type == PT_LOAD)
			memcpy((void *)(hv_base + (s->p_vaddr - HV_VIRT_BASE)),
			       hv_elf + s->p_offset, s->p_filesz);
	}
}
