/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS field encodings (SDM vol. 3, appendix B), control bits (chapter "Virtual Machine Control
 * Structures"), basic exit reasons (appendix C) and VMX capability MSRs (appendix A), by the
 * manual's names.
 */
#pragma once

enum vmcs_field {
	/* 16-bit */
	VIRTUAL_PROCESSOR_ID = 0x0000,
	GUEST_ES_SELECTOR = 0x0800, /* then CS, SS, DS, FS, GS, LDTR, TR in steps of 2 */
	GUEST_INTERRUPT_STATUS = 0x0810,
	HOST_ES_SELECTOR = 0x0c00,
	HOST_CS_SELECTOR = 0x0c02,
	HOST_SS_SELECTOR = 0x0c04,
	HOST_DS_SELECTOR = 0x0c06,
	HOST_FS_SELECTOR = 0x0c08,
	HOST_GS_SELECTOR = 0x0c0a,
	HOST_TR_SELECTOR = 0x0c0c,
	/* 64-bit */
	MSR_BITMAPS_ADDR = 0x2004,
	TSC_OFFSET = 0x2010,
	VIRTUAL_APIC_ADDR = 0x2012,
	APIC_ACCESS_ADDR = 0x2014,
	EPT_POINTER = 0x201a,
	EOI_EXIT_BITMAP0 = 0x201c, /* 4 of them in steps of 2 */
	XSS_EXITING_BITMAP = 0x202c,
	ENCLS_EXITING_BITMAP = 0x202e,
	GUEST_PHYSICAL_ADDRESS = 0x2400,
	VMCS_LINK_POINTER = 0x2800,
	GUEST_IA32_DEBUGCTL = 0x2802,
	GUEST_IA32_PAT = 0x2804,
	GUEST_IA32_EFER = 0x2806,
	GUEST_PDPTE0 = 0x280a, /* 4 of them in steps of 2 */
	HOST_IA32_PAT = 0x2c00,
	HOST_IA32_EFER = 0x2c02,
	/* 32-bit */
	PIN_BASED_CONTROLS = 0x4000,
	PRIMARY_CONTROLS = 0x4002,
	EXCEPTION_BITMAP = 0x4004,
	PAGE_FAULT_ERROR_MASK = 0x4006,
	PAGE_FAULT_ERROR_MATCH = 0x4008,
	CR3_TARGET_COUNT = 0x400a,
	EXIT_CONTROLS = 0x400c,
	EXIT_MSR_STORE_COUNT = 0x400e,
	EXIT_MSR_LOAD_COUNT = 0x4010,
	ENTRY_CONTROLS = 0x4012,
	ENTRY_MSR_LOAD_COUNT = 0x4014,
	ENTRY_INTERRUPTION_INFO = 0x4016,
	ENTRY_EXCEPTION_ERROR = 0x4018,
	ENTRY_INSTRUCTION_LENGTH = 0x401a,
	TPR_THRESHOLD = 0x401c,
	SECONDARY_CONTROLS = 0x401e,
	VM_INSTRUCTION_ERROR = 0x4400,
	EXIT_REASON = 0x4402,
	EXIT_INTERRUPTION_INFO = 0x4404,
	EXIT_INTERRUPTION_ERROR = 0x4406,
	IDT_VECTORING_INFO = 0x4408,
	IDT_VECTORING_ERROR = 0x440a,
	EXIT_INSTRUCTION_LENGTH = 0x440c,
	EXIT_INSTRUCTION_INFO = 0x440e,
	GUEST_ES_LIMIT = 0x4800,
	GUEST_GDTR_LIMIT = 0x4810,
	GUEST_IDTR_LIMIT = 0x4812,
	GUEST_ES_ACCESS_RIGHTS = 0x4814,
	GUEST_INTERRUPTIBILITY = 0x4824,
	GUEST_ACTIVITY_STATE = 0x4826,
	GUEST_SYSENTER_CS = 0x482a,
	PREEMPTION_TIMER_VALUE = 0x482e,
	HOST_SYSENTER_CS = 0x4c00,
	/* natural width */
	CR0_GUEST_HOST_MASK = 0x6000,
	CR4_GUEST_HOST_MASK = 0x6002,
	CR0_READ_SHADOW = 0x6004,
	CR4_READ_SHADOW = 0x6006,
	EXIT_QUALIFICATION = 0x6400,
	GUEST_LINEAR_ADDRESS = 0x640a,
	GUEST_CR0 = 0x6800,
	GUEST_CR3 = 0x6802,
	GUEST_CR4 = 0x6804,
	GUEST_ES_BASE = 0x6806,
	GUEST_CS_BASE = 0x6808,
	GUEST_FS_BASE = 0x680e,
	GUEST_GS_BASE = 0x6810,
	GUEST_GDTR_BASE = 0x6816,
	GUEST_IDTR_BASE = 0x6818,
	GUEST_DR7 = 0x681a,
	GUEST_RSP = 0x681c,
	GUEST_RIP = 0x681e,
	GUEST_RFLAGS = 0x6820,
	GUEST_PENDING_DEBUG = 0x6822,
	GUEST_SYSENTER_ESP = 0x6824,
	GUEST_SYSENTER_EIP = 0x6826,
	HOST_CR0 = 0x6c00,
	HOST_CR3 = 0x6c02,
	HOST_CR4 = 0x6c04,
	HOST_FS_BASE = 0x6c06,
	HOST_GS_BASE = 0x6c08,
	HOST_TR_BASE = 0x6c0a,
	HOST_GDTR_BASE = 0x6c0c,
	HOST_IDTR_BASE = 0x6c0e,
	HOST_SYSENTER_ESP = 0x6c10,
	HOST_SYSENTER_EIP = 0x6c12,
	HOST_RSP = 0x6c14,
	HOST_RIP = 0x6c16,
};

#define PIN_EXTERNAL_INTERRUPT_EXITING (1u << 0)
#define PIN_NMI_EXITING		       (1u << 3)
#define PIN_VIRTUAL_NMIS	       (1u << 5)
#define PIN_PREEMPTION_TIMER	       (1u << 6)

#define CPU_INTERRUPT_WINDOW_EXITING (1u << 2)
#define CPU_USE_TSC_OFFSETTING	     (1u << 3)
#define CPU_HLT_EXITING		     (1u << 7)
#define CPU_MWAIT_EXITING	     (1u << 10)
#define CPU_RDPMC_EXITING	     (1u << 11)
#define CPU_CR3_LOAD_EXITING	     (1u << 15)
#define CPU_CR3_STORE_EXITING	     (1u << 16)
#define CPU_USE_TPR_SHADOW	     (1u << 21)
#define CPU_NMI_WINDOW_EXITING	     (1u << 22)
#define CPU_UNCONDITIONAL_IO_EXITING (1u << 24)
#define CPU_USE_MSR_BITMAPS	     (1u << 28)
#define CPU_MONITOR_EXITING	     (1u << 29)
#define CPU_SECONDARY_CONTROLS	     (1u << 31)

#define CPU2_VIRTUALIZE_APIC_ACCESSES	  (1u << 0)
#define CPU2_ENABLE_EPT			  (1u << 1)
#define CPU2_ENABLE_RDTSCP		  (1u << 3)
#define CPU2_VIRTUALIZE_X2APIC_MODE	  (1u << 4)
#define CPU2_ENABLE_VPID		  (1u << 5)
#define CPU2_UNRESTRICTED_GUEST		  (1u << 7)
#define CPU2_APIC_REGISTER_VIRTUALIZATION (1u << 8)
#define CPU2_VIRTUAL_INTERRUPT_DELIVERY	  (1u << 9)
#define CPU2_ENABLE_INVPCID		  (1u << 12)
#define CPU2_ENCLS_EXITING		  (1u << 15)
#define CPU2_ENABLE_XSAVES		  (1u << 20)

#define EXIT_SAVE_DEBUG_CONTROLS   (1u << 2)
#define EXIT_HOST_ADDRESS_SPACE	   (1u << 9)
#define EXIT_ACKNOWLEDGE_INTERRUPT (1u << 15)
#define EXIT_SAVE_IA32_PAT	   (1u << 18)
#define EXIT_LOAD_IA32_PAT	   (1u << 19)
#define EXIT_SAVE_IA32_EFER	   (1u << 20)
#define EXIT_LOAD_IA32_EFER	   (1u << 21)

#define ENTRY_LOAD_DEBUG_CONTROLS (1u << 2)
#define ENTRY_IA32E_MODE_GUEST	  (1u << 9)
#define ENTRY_LOAD_IA32_PAT	  (1u << 14)
#define ENTRY_LOAD_IA32_EFER	  (1u << 15)

/* Interruption information (entry, exit, IDT vectoring) */
#define INFO_ERROR_VALID   (1u << 11)
#define INFO_NMI_UNBLOCKED (1u << 12) /* exit only: by IRET */
#define INFO_VALID	   (1u << 31)

/* Guest interruptibility state */
#define BLOCKING_BY_STI	   (1u << 0)
#define BLOCKING_BY_MOV_SS (1u << 1)
#define BLOCKING_BY_NMI	   (1u << 3)

/* Guest activity state */
#define ACTIVITY_ACTIVE 0u
#define ACTIVITY_HLT	1u

/* Pending debug exceptions */
#define PENDING_DEBUG_ENABLED_BP (1u << 12)
#define PENDING_DEBUG_BS	 (1u << 14)
#define PENDING_DEBUG_VALID	 (0xfu | PENDING_DEBUG_ENABLED_BP | PENDING_DEBUG_BS)

#define MSR_IA32_VMX_BASIC		 0x480
#define MSR_IA32_VMX_PINBASED_CTLS	 0x481
#define MSR_IA32_VMX_PROCBASED_CTLS	 0x482
#define MSR_IA32_VMX_EXIT_CTLS		 0x483
#define MSR_IA32_VMX_ENTRY_CTLS		 0x484
#define MSR_IA32_VMX_MISC		 0x485
#define MSR_IA32_VMX_CR0_FIXED0		 0x486
#define MSR_IA32_VMX_CR0_FIXED1		 0x487
#define MSR_IA32_VMX_CR4_FIXED0		 0x488
#define MSR_IA32_VMX_CR4_FIXED1		 0x489
#define MSR_IA32_VMX_PROCBASED_CTLS2	 0x48b
#define MSR_IA32_VMX_EPT_VPID_CAP	 0x48c
#define MSR_IA32_VMX_TRUE_PINBASED_CTLS	 0x48d
#define MSR_IA32_VMX_TRUE_PROCBASED_CTLS 0x48e
#define MSR_IA32_VMX_TRUE_EXIT_CTLS	 0x48f
#define MSR_IA32_VMX_TRUE_ENTRY_CTLS	 0x490

#define VMX_BASIC_TRUE_CTLS (1ull << 55)

#define EPT_CAP_PAGE_WALK_4   (1ull << 6)
#define EPT_CAP_WB	      (1ull << 14)
#define EPT_CAP_2M	      (1ull << 16)
#define EPT_CAP_1G	      (1ull << 17)
#define EPT_CAP_INVEPT	      (1ull << 20)
#define EPT_CAP_INVEPT_SINGLE (1ull << 25)
#define VPID_CAP_INVVPID      (1ull << 32)
#define VPID_CAP_SINGLE	      (1ull << 41)
#define VPID_CAP_ALL	      (1ull << 42)

/* X(number, name): basic exit reasons */
#define VMX_EXIT_REASONS(X)               \
	X(0, EXCEPTION_OR_NMI)            \
	X(1, EXTERNAL_INTERRUPT)          \
	X(2, TRIPLE_FAULT)                \
	X(3, INIT_SIGNAL)                 \
	X(4, STARTUP_IPI)                 \
	X(5, IO_SMI)                      \
	X(6, OTHER_SMI)                   \
	X(7, INTERRUPT_WINDOW)            \
	X(8, NMI_WINDOW)                  \
	X(9, TASK_SWITCH)                 \
	X(10, CPUID)                      \
	X(11, GETSEC)                     \
	X(12, HLT)                        \
	X(13, INVD)                       \
	X(14, INVLPG)                     \
	X(15, RDPMC)                      \
	X(16, RDTSC)                      \
	X(17, RSM)                        \
	X(18, VMCALL)                     \
	X(19, VMCLEAR)                    \
	X(20, VMLAUNCH)                   \
	X(21, VMPTRLD)                    \
	X(22, VMPTRST)                    \
	X(23, VMREAD)                     \
	X(24, VMRESUME)                   \
	X(25, VMWRITE)                    \
	X(26, VMXOFF)                     \
	X(27, VMXON)                      \
	X(28, CONTROL_REGISTER)           \
	X(29, MOV_DR)                     \
	X(30, IO_INSTRUCTION)             \
	X(31, RDMSR)                      \
	X(32, WRMSR)                      \
	X(33, INVALID_GUEST_STATE)        \
	X(34, MSR_LOADING)                \
	X(36, MWAIT)                      \
	X(37, MONITOR_TRAP_FLAG)          \
	X(39, MONITOR)                    \
	X(40, PAUSE)                      \
	X(41, MACHINE_CHECK_AT_ENTRY)     \
	X(43, TPR_BELOW_THRESHOLD)        \
	X(44, APIC_ACCESS)                \
	X(45, VIRTUALIZED_EOI)            \
	X(46, GDTR_OR_IDTR)               \
	X(47, LDTR_OR_TR)                 \
	X(48, EPT_VIOLATION)              \
	X(49, EPT_MISCONFIGURATION)       \
	X(50, INVEPT)                     \
	X(51, RDTSCP)                     \
	X(52, PREEMPTION_TIMER)           \
	X(53, INVVPID)                    \
	X(54, WBINVD)                     \
	X(55, XSETBV)                     \
	X(56, APIC_WRITE)                 \
	X(57, RDRAND)                     \
	X(58, INVPCID)                    \
	X(59, VMFUNC)                     \
	X(60, ENCLS)                      \
	X(61, RDSEED)                     \
	X(62, PAGE_MODIFICATION_LOG_FULL) \
	X(63, XSAVES)                     \
	X(64, XRSTORS)                    \
	X(67, UMWAIT)                     \
	X(68, TPAUSE)                     \
	X(76, SEAMCALL)                   \
	X(77, TDCALL)

enum vmx_exit_reason {
#define X(number, name) REASON_##name = (number),
	VMX_EXIT_REASONS(X)
#undef X
};
#define VMX_REASON_COUNT  78u
#define VMX_ENTRY_FAILURE (1u << 31)
