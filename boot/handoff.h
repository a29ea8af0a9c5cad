/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loader (boot/) hands to the hypervisor (arch/x86_64/start.c): one block of plain data.
 *
 * Shapes: every address is host-physical unless it says otherwise; sizes are bytes.
 * Ownership: the block lies inside the hypervisor's memory and belongs to the hypervisor once it is
 * entered. Entry conditions: long mode, interrupts off, boot services gone, one CPU (the BSP)
 * running, firmware's APs parked by the firmware, paging on with the loader's tables: [hv_virt,
 * hv_virt + hv_size)  ->  hv_base     (2 MiB pages, RWX; the hypervisor builds its own W^X tables)
 *     identity map of every range in `map` of a RAM type (at least the first 4 GiB)
 * RDI = virtual address of this block (inside the hv_virt window); RSP = a loader stack in that
 * window, 16 KiB or more. The loader has copied the hypervisor's PT_LOAD segments to hv_base +
 * (p_vaddr - HV_VIRT_BASE) and zeroed the rest. Rule: raise HANDOFF_VERSION with every change of
 * layout; both sides are built from this header.
 */
#pragma once
#include <stdint.h>

#define HANDOFF_MAGIC	0x464f444e41485453ull /* "STHANDOF" */
#define HANDOFF_VERSION 7
#define HV_VIRT_BASE	0xffffffff80000000ull
#define HV_ALIGN	0x200000ull /* hv_base and hv_size are multiples of 2 MiB */
#define HV_SIZE_DEFAULT (64ull << 20)
#define HV_BASE_DEFAULT \
	0x8000000ull /* tried first; then the loader looks for another place and says so */

#define DISK_ROOM_DEFAULT (128ull << 20)

#define HANDOFF_MAX_MAP	 512
#define HANDOFF_MAX_CPUS 256
#define HANDOFF_MAX_NICS 16
#define HANDOFF_CMDLINE	 4096
#define HANDOFF_KEY_SIZE 32 /* bytes; Debian's mbedTLS takes no longer key */

enum mem_type {
	MEM_RAM = 1, /* conventional, boot services, loader memory: the guest's (hypervisor block
			excluded by hv_base/hv_size) */
	MEM_RUNTIME_CODE, /* EFI runtime services code: mapped for nobody but the reset path */
	MEM_RUNTIME_DATA,
	MEM_ACPI, /* ACPI reclaim: read by us at boot, reserved for the guest */
	MEM_NVS,
	MEM_RESERVED,
	MEM_MMIO,
	MEM_UNUSABLE,
};

struct mem_range {
	uint64_t base;	  /* page aligned */
	uint64_t size;	  /* page multiple */
	uint32_t type;	  /* enum mem_type */
	uint32_t runtime; /* EFI_MEMORY_RUNTIME attribute */
};

enum nic_role { NIC_ROLE_NONE = 0, NIC_ROLE_CONTROL, NIC_ROLE_EXPERIMENT };

struct nic_config {
	uint8_t by_mac; /* 1: match mac; 0: match bus/dev/fn */
	uint8_t mac[6];
	uint8_t bus, dev, fn;
	uint8_t role; /* enum nic_role */
	uint8_t pad[5];
};

enum reset_action { RESET_REBOOT = 0, RESET_STOP };

/* Where a golden image or a store lies. All empty: in memory, or nowhere. */
struct disk_place {
	char drive[12];	    /* "ahci0", "nvme0" */
	uint32_t partition; /* its number; 0: none given */
	char name[40];	    /* instead of a drive: the GPT name of a partition on any */
	uint32_t ip, port;  /* instead of both: an NBD server, 10.0.0.5 = 0x0a000005 */
	char export[64];    /* of that server; may be empty */
};

static inline _Bool disk_place_given(const struct disk_place *p)
{
	return p->drive[0] || p->name[0] || p->ip;
}
enum ptp_mode { PTP_MODE_ON = 0, PTP_MODE_OFF, PTP_MODE_MASTER, PTP_MODE_SLAVE };

enum no_disk_action { NO_DISK_START = 0, NO_DISK_STOP };
enum disk_errors_action { DISK_ERRORS_REPORT = 0, DISK_ERRORS_FREEZE };
enum iommu_use { IOMMU_ON = 0, IOMMU_OFF };

struct handoff {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* sizeof(struct handoff) */

	uint64_t hv_base; /* host-physical */
	uint64_t hv_size;
	uint64_t image_size; /* bytes from hv_base used by the image, bss included; the rest, up to
				reserved_top, is free */
	uint64_t reserved_top;	/* hv_base-relative offset from which on the loader's stack, tables
				   and this block live */
	uint64_t tsc_entry;	/* TSC at the loader's first instruction */
	uint64_t tsc_exit_boot; /* TSC right after ExitBootServices */

	uint32_t n_map;
	struct mem_range map[HANDOFF_MAX_MAP]; /* sorted, not overlapping, neighbours merged */

	uint64_t rsdp;		   /* ACPI RSDP (2.0 preferred), or 0 */
	uint64_t efi_system_table; /* physical; used for ResetSystem only */
	uint64_t trampoline; /* one free page below 640 KiB for the AP start-up code (guest RAM
				afterwards) */

	uint32_t n_cpus; /* from EFI MP services, BSP included; 0 if the firmware lists none */
	uint32_t bsp_apic_id;
	uint32_t apic_ids[HANDOFF_MAX_CPUS];

	/* the guest, Linux boot protocol >= 2.12 relocatable bzImage, already in place */
	uint64_t kernel_base;  /* where the protected-mode part was copied; 32-bit entry point =
				  kernel_base */
	uint64_t kernel_size;  /* bytes reserved there (init_size) */
	uint64_t setup_header; /* physical address of a copy of the file's first setup_sects+1
				  sectors, loader memory */
	uint64_t setup_size;
	uint64_t initrd_base; /* below 4 GiB; 0 if none */
	uint64_t initrd_size;

	/* the guest's disk: page-aligned RAM that the guest does not get; the golden image, and
	 * from disk_store on room for what is written */
	uint64_t disk_base; /* 0 if none */
	uint64_t disk_bytes;
	uint64_t disk_golden; /* bytes of the image, a multiple of 512; 0: it is at golden_place */
	uint64_t disk_store;  /* offset from disk_base; disk_bytes: the store is at store_place */
	struct disk_place golden_place, store_place;

	/* configuration, see docs/boot.md for the keys */
	uint32_t cpus;	       /* limit, 0 = all */
	uint32_t on_reset;     /* enum reset_action: what a guest's reset or triple fault does */
	uint32_t on_no_disk;   /* enum no_disk_action: its disk can't be had */
	uint32_t disk_errors;  /* enum disk_errors_action: its back end fails */
	uint32_t iommu;	       /* enum iommu_use */
	uint32_t nic_settle;   /* us that a network card's ring goes on receiving at a freeze */
	uint64_t memory;       /* limit of guest RAM in bytes, 0 = all */
	uint16_t console_port; /* I/O base of the 16550, 0x3f8 */
	uint16_t freeze_mark;  /* I/O port that is written to when the node stands; 0: none */
	uint32_t console_baud; /* 115200; 0 = leave as the firmware set it */
	uint32_t n_nics;
	/* of the control network; addresses are numbers, 10.0.0.5 = 0x0a000005 */
	uint32_t ip;	    /* 0 = DHCP */
	uint32_t ip_prefix; /* bits */
	uint32_t gateway;   /* 0 = none */
	uint32_t syslog_ip; /* 0 = no syslog */
	uint32_t syslog_port;
	/* the experiment's */
	uint64_t experiment; /* its number; 0 = the node is in none */
	uint32_t node;	     /* index in it */
	uint32_t ptp;	     /* enum ptp_mode */
	uint32_t control_port;
	uint32_t control_key_size; /* bytes; 0 = no control server */
	uint8_t control_key[HANDOFF_KEY_SIZE];
	struct nic_config nics[HANDOFF_MAX_NICS];
	char append[HANDOFF_CMDLINE];  /* the guest's kernel command line, NUL-terminated */
	char options[HANDOFF_CMDLINE]; /* all keys as given, for `status`; no secrets */
};
