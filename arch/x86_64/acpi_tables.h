/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI tables by the names of the ACPI specification 5.0, chapter 5.2 (HPET: IA-PC
 * HPET 1.0a, 3.2.4). Little-endian. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define PACKED __attribute__((packed))

#define RSDP_V1_SIZE 20

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t ext_checksum;
	uint8_t reserved[3];
} PACKED;
_Static_assert(sizeof(struct acpi_rsdp) == 36, "RSDP");

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;
_Static_assert(sizeof(struct acpi_header) == 36, "table header");

enum { GAS_MEMORY, GAS_IO, GAS_PCI };
enum { GAS_BYTE = 1, GAS_WORD, GAS_DWORD };
struct acpi_gas {
	uint8_t space, bit_width, bit_offset, access;
	uint64_t address;
} PACKED;
_Static_assert(sizeof(struct acpi_gas) == 12, "generic address");

struct acpi_facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version, reserved[3];
	uint32_t ospm_flags;
	uint8_t reserved2[24];
} PACKED;
_Static_assert(sizeof(struct acpi_facs) == 64, "FACS");

enum {
	FADT_LEGACY_DEVICES = 1 << 0,
	FADT_8042 = 1 << 1,
	FADT_NO_VGA = 1 << 2
}; /* IAPC_BOOT_ARCH */
enum {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_PWR_BUTTON = 1 << 4, /* set: no fixed power button */
	FADT_SLP_BUTTON = 1 << 5, /* set: no fixed sleep button */
	FADT_FIX_RTC = 1 << 6,	  /* set: no RTC alarm in PM1_STS */
	FADT_TMR_VAL_EXT = 1 << 8,
	FADT_RESET_REG_SUP = 1 << 10,
	FADT_HW_REDUCED_ACPI = 1 << 20,
};
struct acpi_fadt {
	struct acpi_header h;
	uint32_t firmware_ctrl, dsdt;
	uint8_t reserved, preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk;
	uint32_t pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved2;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl, x_dsdt;
	struct acpi_gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk;
	struct acpi_gas x_pm2_cnt_blk, x_pm_tmr_blk, x_gpe0_blk, x_gpe1_blk;
	struct acpi_gas sleep_control_reg, sleep_status_reg;
} PACKED;
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "FADT flags");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "FADT X_DSDT");
_Static_assert(sizeof(struct acpi_fadt) == 268, "FADT revision 5");

enum { MADT_PCAT_COMPAT = 1 << 0 }; /* of the table */
enum { MADT_ENABLED = 1 << 0 };	    /* of a processor */
enum {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LAPIC_NMI = 4,
	MADT_X2APIC = 9,
	MADT_X2APIC_NMI = 10,
};
enum { INTI_BUS = 0, INTI_HIGH = 1 << 0, INTI_LEVEL = 3 << 2 }; /* MPS INTI flags */
struct madt_entry {						/* what all of them begin with */
	uint8_t type, length;
} PACKED;
struct acpi_madt {
	struct acpi_header h;
	uint32_t lapic_addr, flags;
} PACKED;
struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} PACKED;
_Static_assert(sizeof(struct madt_lapic) == 8, "MADT type 0");
struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t addr, gsi_base;
} PACKED;
_Static_assert(sizeof(struct madt_ioapic) == 12, "MADT type 1");
struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} PACKED;
_Static_assert(sizeof(struct madt_override) == 10, "MADT type 2");
struct madt_lapic_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} PACKED;
_Static_assert(sizeof(struct madt_lapic_nmi) == 6, "MADT type 4");
struct madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t x2apic_id, flags, uid;
} PACKED;
_Static_assert(sizeof(struct madt_x2apic) == 16, "MADT type 9");
struct madt_x2apic_nmi {
	uint8_t type, length;
	uint16_t flags;
	uint32_t uid;
	uint8_t lint, reserved[3];
} PACKED;
_Static_assert(sizeof(struct madt_x2apic_nmi) == 12, "MADT type 10");

struct acpi_hpet {
	struct acpi_header h;
	uint32_t block_id;
	struct acpi_gas base;
	uint8_t number;
	uint16_t min_tick;
	uint8_t attributes;
} PACKED;
_Static_assert(sizeof(struct acpi_hpet) == 56, "HPET");
