// SPDX-License-Identifier: GPL-2.0-or-later
/* Extended page tables (SDM vol. 3, "The Extended Page Table Mechanism") and what flushes them. */
#include <errno.h>
#include "arch/x86_64/arch.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/memmap.h"
#include "vmx/vmx.h"

#define EPT_READ       (1ull << 0)
#define EPT_WRITE      (1ull << 1)
#define EPT_EXECUTE    (1ull << 2)
#define EPT_TYPE_SHIFT 3 /* leaves; bit 6, ignore PAT, stays 0: the guest's PAT counts */
#define EPT_LARGE      (1ull << 7)

#define EPTP_WB	    6ull
#define EPTP_WALK_4 (3ull << 3)

enum { INV_SINGLE = 1, INV_ALL = 2 }; /* types of INVEPT and INVVPID */

/* Two views of one memory: with the APIC-access page, for a CPU whose accesses to it are
 * virtualized, and without, for one that would find plain memory there. */
static uint64_t root, apic_root, apic_page;

static uint64_t ept_leaf(uint64_t hpa, unsigned level, uint8_t type, bool exec, bool write)
{
	return hpa | EPT_READ | (write ? EPT_WRITE : 0) | (exec ? EPT_EXECUTE : 0) |
	       (uint64_t)type << EPT_TYPE_SHIFT | (level > 1 ? EPT_LARGE : 0);
}

static uint64_t ept_table(uint64_t hpa, unsigned level)
{
	(void)level;
	return hpa | EPT_READ | EPT_WRITE | EPT_EXECUTE;
}

static struct npt_format format = {.leaf = ept_leaf, .table = ept_table};

/* The roots share tables below 4 GiB only as far as these were there when they parted. */
int vmx_map_device(uint64_t gpa, uint64_t hpa)
{
	int err = npt_map_page(root, gpa, hpa, MT_UC, &format, &npt_pages);

	return err ? err : npt_map_page(apic_root, gpa, hpa, MT_UC, &format, &npt_pages);
}

void vmx_unmap_device(uint64_t gpa)
{
	npt_unmap_page(root, gpa, &npt_pages);
	npt_unmap_page(apic_root, gpa, &npt_pages);
}

int vmx_ept_setup(void)
{
	void *page = pages_alloc(1);
	int err;

	if (!page)
		return -ENOMEM;
	format.has_1g = vmx_caps.ept_vpid & EPT_CAP_1G;
	/* The APIC-access page: the processor looks at its address only, its contents are never
	 * seen. */
	apic_page = virt_to_phys(page).v;
	err = npt_build(guest_memory_map(), &format, &npt_pages, &root);
	if (!err)
		err = npt_map_rom(root, &format, &npt_pages);
	if (!err)
		err = npt_fork(root, LAPIC_BASE, &format, &npt_pages, &apic_root);
	if (!err)
		err = npt_map_page(apic_root, LAPIC_BASE, apic_page, MT_WB, &format, &npt_pages);
	if (err)
		log_error("VT-x: the nested page tables can't be built (%d): raise hv_size", err);
	return err;
}

uint64_t vmx_eptp(bool apic_accesses)
{
	return (apic_accesses ? apic_root : root) | EPTP_WB | EPTP_WALK_4;
}

uint64_t vmx_apic_access_page(void)
{
	return apic_page;
}

static void invept(uint64_t eptp)
{
	struct {
		uint64_t eptp, zero;
	} d = {eptp, 0};
	uint64_t type = (vmx_caps.ept_vpid & EPT_CAP_INVEPT_SINGLE) ? INV_SINGLE : INV_ALL;

	asm goto("invept %0, %1; jna %l[failed]" : : "m"(d), "r"(type) : "cc", "memory" : failed);
	return;
failed:
	panic("INVEPT failed");
}

void vmx_flush_vpid(struct vcpu *v)
{
	struct {
		uint64_t vpid, linear;
	} d = {v->index + 1, 0};
	uint64_t type = (vmx_caps.ept_vpid & VPID_CAP_SINGLE) ? INV_SINGLE : INV_ALL;

	if (!vmx_caps.vpid)
		return; /* every entry flushes */
	asm goto("invvpid %0, %1; jna %l[failed]" : : "m"(d), "r"(type) : "cc", "memory" : failed);
	return;
failed:
	panic("INVVPID failed");
}

void vmx_flush(struct vcpu *v)
{
	invept(vmx_eptp(false));
	invept(vmx_eptp(true));
	vmx_flush_vpid(v);
}
