/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual machine control block by the manual's names: AMD APM vol. 2, appendix B ("Layout of
 * VMCB") and appendix C
 * ("SVM Intercept Exit Codes").
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct vmcb_segment {
	uint16_t selector;
	uint16_t attrib; /* descriptor bits 55:52 and 47:40 concatenated */
	uint32_t limit;
	uint64_t base;
};

/* intercept_exceptions: bit n = exception n */
#define EXCEPTION_DB 1u
#define EXCEPTION_MF 16u
#define EXCEPTION_AC 17u
#define EXCEPTION_MC 18u

/* intercept_1, offset 00Ch */
#define INTERCEPT_INTR	      (1u << 0)
#define INTERCEPT_NMI	      (1u << 1)
#define INTERCEPT_INIT	      (1u << 3)
#define INTERCEPT_VINTR	      (1u << 4)
#define INTERCEPT_RDPMC	      (1u << 15)
#define INTERCEPT_CPUID	      (1u << 18)
#define INTERCEPT_IRET	      (1u << 20)
#define INTERCEPT_INVD	      (1u << 22)
#define INTERCEPT_HLT	      (1u << 24)
#define INTERCEPT_INVLPGA     (1u << 26)
#define INTERCEPT_IOIO_PROT   (1u << 27)
#define INTERCEPT_MSR_PROT    (1u << 28)
#define INTERCEPT_FERR_FREEZE (1u << 30)
#define INTERCEPT_SHUTDOWN    (1u << 31)

/* intercept_2, offset 010h */
#define INTERCEPT_VMRUN	      (1u << 0)
#define INTERCEPT_VMMCALL     (1u << 1)
#define INTERCEPT_VMLOAD      (1u << 2)
#define INTERCEPT_VMSAVE      (1u << 3)
#define INTERCEPT_STGI	      (1u << 4)
#define INTERCEPT_CLGI	      (1u << 5)
#define INTERCEPT_SKINIT      (1u << 6)
#define INTERCEPT_ICEBP	      (1u << 8)
#define INTERCEPT_MONITOR     (1u << 10)
#define INTERCEPT_MWAIT	      (1u << 11)
#define INTERCEPT_MWAIT_ARMED (1u << 12)
#define INTERCEPT_XSETBV      (1u << 13)
#define INTERCEPT_RDPRU	      (1u << 14)

#define INTERCEPT_CR8_WRITE (1u << 8) /* intercept_cr_write */

#define TLB_CONTROL_NONE       0
#define TLB_CONTROL_FLUSH_ALL  1
#define TLB_CONTROL_FLUSH_ASID 3

/* vintr, offset 060h */
#define V_TPR_MASK     0xfull
#define V_IRQ	       (1ull << 8)
#define V_IGN_TPR      (1ull << 20)
#define V_INTR_MASKING (1ull << 24)
#define V_INTR_VECTOR  (0xffull << 32)
#define V_VECTOR_SHIFT 32

#define INTERRUPT_SHADOW 1ull /* interrupt_shadow, offset 068h */

/* EVENTINJ and EXITINTINFO: the error code is in bits 63:32 */
#define EVENT_TYPE_SHIFT  8
#define EVENT_TYPE_MASK	  7u
#define EVENT_ERROR_VALID (1ull << 11)
#define EVENT_VALID	  (1ull << 31)
#define EVENT_ERROR_SHIFT 32

#define NP_ENABLE  1ull /* np_enable */
#define LBR_ENABLE 1ull /* lbr_virtualization_enable */

/* clean, offset 0C0h: a set bit says that the group is unchanged since the last VMRUN */
#define CLEAN_I	  (1u << 0) /* intercepts, TSC_OFFSET */
#define CLEAN_TPR (1u << 3) /* vintr */
#define CLEAN_NP  (1u << 4) /* N_CR3, NP_ENABLE, G_PAT */
#define CLEAN_CRX (1u << 5) /* CR0, CR3, CR4, EFER */
#define CLEAN_DRX (1u << 6) /* DR6, DR7 */
#define CLEAN_CR2 (1u << 9)
#define CLEAN_LBR (1u << 10)
#define CLEAN_ALL 0x7ffu /* all groups that this file's fields belong to */

/* EXITINFO1 of VMEXIT_IOIO */
#define IOIO_IN		(1u << 0)
#define IOIO_STR	(1u << 2)
#define IOIO_SIZE_SHIFT 4
#define IOIO_SIZE_MASK	7u
#define IOIO_PORT_SHIFT 16

#define VMEXIT_INVALID UINT32_MAX /* -1, low half */

/* EXITINFO1 of VMEXIT_NPF */
#define NPF_WRITE	(1ull << 1)
#define NPF_RSV		(1ull << 3)
#define NPF_FETCH	(1ull << 4)
#define NPF_GUEST_TABLE (1ull << 33) /* while walking the guest's own tables */

enum vmexit {
	VMEXIT_CR8_WRITE = 0x18,
	VMEXIT_EXCP_DB = 0x40 + EXCEPTION_DB,
	VMEXIT_EXCP_AC = 0x40 + EXCEPTION_AC,
	VMEXIT_EXCP_MC = 0x40 + EXCEPTION_MC,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI,
	VMEXIT_SMI,
	VMEXIT_INIT,
	VMEXIT_VINTR,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IOIO,
	VMEXIT_MSR,
	VMEXIT_FERR_FREEZE = 0x7e,
	VMEXIT_SHUTDOWN,
	VMEXIT_VMRUN,
	VMEXIT_VMMCALL,
	VMEXIT_VMLOAD,
	VMEXIT_VMSAVE,
	VMEXIT_STGI,
	VMEXIT_CLGI,
	VMEXIT_SKINIT,
	VMEXIT_ICEBP = 0x88,
	VMEXIT_MONITOR = 0x8a,
	VMEXIT_MWAIT,
	VMEXIT_MWAIT_CONDITIONAL,
	VMEXIT_XSETBV,
	VMEXIT_RDPRU,
	VMEXIT_NPF = 0x400,
};

struct vmcb {
	/* control area */
	uint16_t intercept_cr_read, intercept_cr_write;
	uint16_t intercept_dr_read, intercept_dr_write;
	uint32_t intercept_exceptions;
	uint32_t intercept_1;
	uint32_t intercept_2;
	uint32_t intercept_3;
	uint8_t reserved_018[0x040 - 0x018];
	uint64_t iopm_base_pa;
	uint64_t msrpm_base_pa;
	uint64_t tsc_offset;
	uint32_t guest_asid;
	uint32_t tlb_control; /* bits 7:0 */
	uint64_t vintr;
	uint64_t interrupt_shadow;
	uint64_t exitcode;
	uint64_t exitinfo1;
	uint64_t exitinfo2;
	uint64_t exitintinfo;
	uint64_t np_enable;
	uint8_t reserved_098[0x0a8 - 0x098];
	uint64_t eventinj;
	uint64_t n_cr3;
	uint64_t lbr_virtualization_enable;
	uint32_t clean;
	uint32_t reserved_0c4;
	uint64_t nrip;
	uint8_t guest_instruction_bytes[0x10]; /* count, bytes */
	uint8_t reserved_0e0[0x400 - 0x0e0];
	/* state save area */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint8_t reserved_4cc[4];
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp, s_cet, ssp, isst_addr, rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t g_pat, dbgctl, br_from, br_to, lastexcpfrom, lastexcpto;
	uint8_t reserved_698[0x6e0 - 0x698];
	uint64_t spec_ctrl;
	uint8_t reserved_6e8[0x1000 - 0x6e8];
};

#define VMCB_SAVE_AREA 0x400u

_Static_assert(offsetof(struct vmcb, intercept_exceptions) == 0x008, "VMCB");
_Static_assert(offsetof(struct vmcb, intercept_1) == 0x00c, "VMCB");
_Static_assert(offsetof(struct vmcb, iopm_base_pa) == 0x040, "VMCB");
_Static_assert(offsetof(struct vmcb, guest_asid) == 0x058, "VMCB");
_Static_assert(offsetof(struct vmcb, vintr) == 0x060, "VMCB");
_Static_assert(offsetof(struct vmcb, interrupt_shadow) == 0x068, "VMCB");
_Static_assert(offsetof(struct vmcb, exitcode) == 0x070, "VMCB");
_Static_assert(offsetof(struct vmcb, exitintinfo) == 0x088, "VMCB");
_Static_assert(offsetof(struct vmcb, np_enable) == 0x090, "VMCB");
_Static_assert(offsetof(struct vmcb, eventinj) == 0x0a8, "VMCB");
_Static_assert(offsetof(struct vmcb, n_cr3) == 0x0b0, "VMCB");
_Static_assert(offsetof(struct vmcb, clean) == 0x0c0, "VMCB");
_Static_assert(offsetof(struct vmcb, nrip) == 0x0c8, "VMCB");
_Static_assert(offsetof(struct vmcb, es) == VMCB_SAVE_AREA, "VMCB");
_Static_assert(offsetof(struct vmcb, tr) == VMCB_SAVE_AREA + 0x090, "VMCB");
_Static_assert(offsetof(struct vmcb, cpl) == VMCB_SAVE_AREA + 0x0cb, "VMCB");
_Static_assert(offsetof(struct vmcb, efer) == VMCB_SAVE_AREA + 0x0d0, "VMCB");
_Static_assert(offsetof(struct vmcb, cr4) == VMCB_SAVE_AREA + 0x148, "VMCB");
_Static_assert(offsetof(struct vmcb, rip) == VMCB_SAVE_AREA + 0x178, "VMCB");
_Static_assert(offsetof(struct vmcb, rsp) == VMCB_SAVE_AREA + 0x1d8, "VMCB");
_Static_assert(offsetof(struct vmcb, rax) == VMCB_SAVE_AREA + 0x1f8, "VMCB");
_Static_assert(offsetof(struct vmcb, cr2) == VMCB_SAVE_AREA + 0x240, "VMCB");
_Static_assert(offsetof(struct vmcb, g_pat) == VMCB_SAVE_AREA + 0x268, "VMCB");
_Static_assert(offsetof(struct vmcb, spec_ctrl) == VMCB_SAVE_AREA + 0x2e0, "VMCB");
_Static_assert(sizeof(struct vmcb) == 0x1000, "VMCB");
