/* build: hv/emulate.c hv/emulate_operand.c hv/emulate_alu.c hv/emulate_string.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instruction emulator by the manual: addresses, segments, modes, faults, port I/O, REP limits,
 * and what it refuses. */
#include "test/unit/emulate_machine.h"

static uint8_t ram[0x20000];

static void with_ram(struct machine *m, unsigned bits, const uint8_t *code, unsigned size)
{
	machine_init(m, bits, code, size);
	memset(ram, 0, sizeof(ram));
	m->mem = ram;
	m->mem_size = sizeof(ram);
}

static void movabs_and_absolute_addresses(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0xa3, 0x00, 0x20, 0, 0, 0, 0, 0, 0));
	m.gpr[RAX] = 0x1122334455667788;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(*(uint64_t *)&ram[0x2000], 0x55667788);
	CHECK_EQ(m.c.rip, 0x1009);
	with_ram(&m, 64, CODE(0x48, 0xa1, 0x08, 0x20, 0, 0, 0, 0, 0, 0));
	ram[0x2008] = 0xa5;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RAX], 0xa5);
	/* mov [disp32 without base], eax: SIB 25 */
	with_ram(&m, 64, CODE(0x89, 0x04, 0x25, 0x10, 0x20, 0, 0));
	m.gpr[RAX] = 7;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(ram[0x2010], 7);
	/* the local APIC's fixmap: sign-extended displacement */
	machine_init(&m, 64, CODE(0xc7, 0x04, 0x25, 0xb0, 0xd0, 0x5f, 0xff, 0, 0, 0, 0));
	m.hole = 0xffffffffff5fd0b0;
	m.hole_end = m.hole + 1;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.cr2, 0xffffffffff5fd0b0);
	CHECK_EQ(m.c.rip, 0x1000);
}

static void rip_relative(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0x8b, 0x05, 0x00, 0x10, 0, 0)); /* mov eax, [rip+0x1000]: fast path */
	ram[0x2006] = 0x5a;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RAX], 0x5a);
	with_ram(&m, 64,
		 CODE(0xc7, 0x05, 0x00, 0x10, 0, 0, 0x77, 0, 0, 0)); /* the immediate counts */
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(ram[0x200a], 0x77);
	with_ram(&m, 64,
		 CODE(0x80, 0x0d, 0x00, 0x10, 0, 0, 0x70)); /* or byte [rip+0x1000], 0x70: Zydis */
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(ram[0x2007], 0x70);
}

static void address_size_override(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0x67, 0x8b, 0x03)); /* mov eax, [ebx] */
	m.gpr[RBX] = 0xffffffff00002000;
	ram[0x2000] = 9;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RAX], 9);
	with_ram(&m, 32, CODE(0x67, 0x8b, 0x00)); /* mov eax, [bx+si] */
	m.gpr[RBX] = 0x1ff00;
	m.gpr[RSI] = 0x0200;
	ram[0x0100] = 8; /* wraps at 64 KiB */
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RAX], 8);
	with_ram(&m, 64, CODE(0x67, 0xf3, 0xaa)); /* rep stosb with ECX and EDI */
	m.gpr[RCX] = 0xabcd00000003;
	m.gpr[RDI] = 0xabcd00002000;
	m.gpr[RAX] = 0x44;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(ram[0x2002], 0x44);
	CHECK_EQ(ram[0x2003], 0);
	CHECK_EQ(m.gpr[RCX], 0);
	CHECK_EQ(m.gpr[RDI], 0x2003);
}

static void fs_and_gs_have_bases_in_64_bit_code(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0x65, 0x8b, 0x03)); /* mov eax, gs:[rbx] */
	m.c.seg[EMU_GS].base = 0x2000;
	m.c.seg[EMU_DS].base = 0x5000; /* ignored */
	m.gpr[RBX] = 4;
	ram[0x2004] = 3;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RAX], 3);
	with_ram(&m, 64,
		 CODE(0x64, 0xa4)); /* movsb: the source is overridden, the destination never */
	m.c.seg[EMU_FS].base = 0x3000;
	m.gpr[RSI] = 1;
	m.gpr[RDI] = 0x4000;
	ram[0x3001] = 6;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(ram[0x4000], 6);
	with_ram(&m, 64, CODE(0x2e, 0x8a, 0x03)); /* a CS override means nothing */
	m.c.seg[EMU_CS].base = 0x5000;
	m.gpr[RBX] = 4;
	ram[4] = 2;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RAX], 2);
}

static void non_canonical_addresses_fault(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0x8b, 0x03));
	m.gpr[RBX] = 0x0000800000000000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	CHECK_EQ(m.c.fault_error, 0);
	CHECK_EQ(m.reads, 0);
	with_ram(&m, 64, CODE(0x8b, 0x45, 0x00)); /* [rbp]: the stack segment */
	m.gpr[RBP] = 0x0000800000000000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 12);
	with_ram(&m, 64, CODE(0x0f, 0xb6, 0x45, 0x00)); /* the same by way of Zydis */
	m.gpr[RBP] = 0x0000800000000000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 12);
	with_ram(&m, 64, CODE(0x8b, 0x03)); /* only the last byte is outside */
	m.gpr[RBX] = 0x00007ffffffffffd;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	with_ram(&m, 64, CODE(0x8b, 0x03)); /* 57 bits: canonical, so the memory says no */
	m.c.la57 = true;
	m.gpr[RBX] = 0x0000800000000000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 14);
}

static void segment_checks_in_32_bit_code(void)
{
	struct machine m;

	with_ram(&m, 32, CODE(0x8b, 0x03));
	m.c.seg[EMU_DS].base = 0x1000;
	m.c.seg[EMU_DS].limit = 0x1003;
	m.gpr[RBX] = 0x1000;
	ram[0x2000] = 1;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RAX], 1);
	m.c.rip = 0x1000;
	m.gpr[RBX] = 0x1001; /* one byte past the limit */
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	with_ram(&m, 32, CODE(0x8b, 0x45, 0x00)); /* [ebp] is in the stack segment */
	m.c.seg[EMU_SS].limit = 0xfff;
	m.gpr[RBP] = 0x1000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 12);
	with_ram(&m, 32, CODE(0x89, 0x03)); /* write to a read-only segment */
	m.c.seg[EMU_DS].attr = 0xc091;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	with_ram(&m, 32, CODE(0x2e, 0x89, 0x03)); /* write to code */
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	with_ram(&m, 32, CODE(0x2e, 0x8b, 0x03)); /* read from execute-only code */
	m.c.seg[EMU_CS].attr = 0xc099;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	with_ram(&m, 32, CODE(0x26, 0x8b, 0x03)); /* null ES */
	m.c.seg[EMU_ES].unusable = true;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	with_ram(&m, 32, CODE(0x8b, 0x03)); /* expand-down: valid above the limit */
	m.c.seg[EMU_DS].attr = 0xc097;
	m.c.seg[EMU_DS].limit = 0xfff;
	m.gpr[RBX] = 0xfff;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	m.gpr[RBX] = 0x1000;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	m.c.rip = 0x1000;
	m.c.seg[EMU_DS].attr = 0x8097; /* B = 0: 64 KiB is the top */
	m.gpr[RBX] = 0xfffe;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
}

static void real_mode(void)
{
	struct machine m;

	with_ram(&m, 16, CODE(0x89, 0x07)); /* mov [bx], ax */
	m.c.protected_mode = false;
	m.c.seg[EMU_DS] = (struct emu_segment){.base = 0x10000, .limit = 0xffff, .attr = 0x9b};
	m.gpr[RBX] = 0x12342000;
	m.gpr[RAX] = 0xbeef;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(ram[0x12000], 0xef);
	CHECK_EQ(ram[0x12001], 0xbe);
	CHECK_EQ(ram[0x12002], 0);
	m.c.rip = 0x1000;
	m.gpr[RBX] = 0xffff; /* a word at the last byte */
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	with_ram(&m, 16, CODE(0x66, 0x67, 0xc7, 0x03, 1, 2, 3, 4)); /* mov dword [ebx], imm32 */
	m.c.protected_mode = false;
	m.gpr[RBX] = 0x3000;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(ram[0x3003], 4);
}

static void faults_leave_everything_as_it_was(void)
{
	struct machine m;
	uint64_t before[16];

	with_ram(&m, 64, CODE(0x48, 0x01, 0x0b)); /* add [rbx], rcx where the page is read-only */
	m.gpr[RBX] = 0x3000;
	m.gpr[RCX] = 5;
	m.write_hole = 0x3000;
	m.write_hole_end = 0x4000;
	memcpy(before, m.gpr, sizeof(before));
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 14);
	CHECK_EQ(m.reads, 0); /* a device's read has side effects */
	CHECK_EQ(m.c.rip, 0x1000);
	CHECK_EQ(m.c.rflags, FLAGS_FIXED);
	CHECK(memcmp(before, m.gpr, sizeof(before)) == 0);
	with_ram(&m, 64,
		 CODE(0x48, 0xa5)); /* movsq: the destination faults before the source is read */
	m.gpr[RSI] = 0x2000;
	m.gpr[RDI] = 0x3000;
	m.write_hole = 0x3000;
	m.write_hole_end = 0x4000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.reads, 0);
	CHECK_EQ(m.gpr[RSI], 0x2000);
}

static void rep_is_bounded_and_restarts(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0xf3, 0xa4));
	for (unsigned i = 0; i < 0x1000; i++)
		ram[0x4000 + i] = (uint8_t)(i * 7);
	m.gpr[RCX] = 0x1000;
	m.gpr[RSI] = 0x4000;
	m.gpr[RDI] = 0x8000;
	for (unsigned n = 0x1000; n > EMU_REP_MAX; n -= EMU_REP_MAX) {
		CHECK_EQ(emulate(&m.c), EMU_OK);
		CHECK_EQ(m.c.rip, 0x1000);
		CHECK_EQ(m.gpr[RCX], n - EMU_REP_MAX);
	}
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.c.rip, 0x1002);
	CHECK(memcmp(ram + 0x4000, ram + 0x8000, 0x1000) == 0);
}

static void rep_keeps_what_is_done_at_a_fault(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0xf3, 0xab)); /* rep stosd into a hole */
	m.gpr[RCX] = 10;
	m.gpr[RDI] = 0x2ff8;
	m.gpr[RAX] = 0xffffffff;
	m.hole = 0x3000;
	m.hole_end = 0x4000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.cr2, 0x3000);
	CHECK_EQ(m.gpr[RCX], 8);
	CHECK_EQ(m.gpr[RDI], 0x3000);
	CHECK_EQ(m.c.rip, 0x1000);
	m.hole_end = m.hole;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.gpr[RCX], 0);
	CHECK_EQ(ram[0x2ff8 + 39], 0xff);
	CHECK_EQ(ram[0x2ff8 + 40], 0);
}

static void port_strings(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0xf3, 0x6c)); /* rep insb */
	m.c.io_allowed = true;
	m.port_value = 0x30;
	m.gpr[RDX] = 0xabcd0170;
	m.gpr[RCX] = 4;
	m.gpr[RDI] = 0x2000;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK(memcmp(ram + 0x2000, "0123", 4) == 0);
	CHECK_EQ(m.port, 0x170);
	CHECK_EQ(m.port_size, 1);
	with_ram(&m, 64, CODE(0x66, 0x6f)); /* outsw */
	m.c.io_allowed = true;
	m.gpr[RDX] = 0x80;
	m.gpr[RSI] = 0x2000;
	memcpy(ram + 0x2000, "\x34\x12", 2);
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.port_value, 0x1234);
	CHECK_EQ(m.port_size, 2);
	CHECK_EQ(m.gpr[RSI], 0x2002);
	with_ram(&m, 64, CODE(0x48, 0x6d)); /* REX.W: 32 bits all the same */
	m.c.io_allowed = true;
	m.gpr[RDI] = 0x2000;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.port_size, 4);
	with_ram(&m, 64, CODE(0x6c)); /* ins to an unwritable place: the port is not read */
	m.c.io_allowed = true;
	m.gpr[RDI] = 0x3000;
	m.write_hole = 0x3000;
	m.write_hole_end = 0x4000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.ports, 0);
	with_ram(&m, 64, CODE(0x6c)); /* nobody checked the privilege */
	m.gpr[RDI] = 0x3000;
	CHECK_EQ(emulate(&m.c), EMU_UNHANDLED);
	CHECK_EQ(m.ports, 0);
}

static void what_is_not_ours_is_left_alone(void)
{
	static const struct form others[] = {
		F("push [rbx]", 0, 0xff, 0x33),
		F("call [rbx]", 0, 0xff, 0x13),
		F("movaps xmm0, [rbx]", 0, 0x0f, 0x28, 0x03),
		F("movsd xmm0, [rbx]", 0, 0xf2, 0x0f, 0x10, 0x03),
		F("fld [rbx]", 0, 0xd9, 0x03),
		F("mov ds, [rbx]", 0, 0x8e, 0x1b),
		F("mov [rbx], ds", 0, 0x8c, 0x1b),
		F("mov rax, cr3", 0, 0x0f, 0x20, 0xd8),
		F("lock mov [rbx], ecx", 0, 0xf0, 0x89, 0x0b),
		F("lock cmp [rbx], ecx", 0, 0xf0, 0x39, 0x0b),
		F("lock add ecx, ebx", 0, 0xf0, 0x01, 0xd9),
		F("cmpxchg8b [rbx]", 0, 0x0f, 0xc7, 0x0b),
		F("shl dword [rbx], 1", 0, 0xd1, 0x23),
		F("ud2", 0, 0x0f, 0x0b),
		F("all ones", 0, 0xff, 0xff, 0xff, 0xff),
		F("hlt", 0, 0xf4),
		F("c7 /1", 0, 0xc7, 0x0b, 0, 0, 0, 0),
		F("mov cr via prefix", 0, 0x66, 0x0f, 0x22, 0xc0),
		F("vmovdqu ymm0, [rbx]", 0, 0xc5, 0xfe, 0x6f, 0x03),
	};
	struct machine m;

	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		with_ram(&m, 64, others[i].code, others[i].size);
		m.gpr[RBX] = 0x2000;
		if (emulate(&m.c) != EMU_UNHANDLED || m.reads || m.writes || m.c.rip != 0x1000)
			check_fail(__FILE__, __LINE__, others[i].name);
	}
}

static void fetch_faults(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0x8b)); /* the next byte is on a page that faults */
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 14);
	CHECK_EQ(m.c.cr2, 0x1001);
	with_ram(&m, 64, CODE(0xc7, 0x03, 1, 2, 3));
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.cr2, 0x1005);
	with_ram(&m, 64, CODE(0x90));
	m.c.rip = 0x800000000000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	with_ram(&m, 32, CODE(0x8b, 0x03)); /* the segment ends within the instruction */
	m.c.seg[EMU_CS].limit = 0x1000;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	m.c.seg[EMU_CS].limit = 0xfff;
	CHECK_EQ(emulate(&m.c), EMU_FAULT);
	CHECK_EQ(m.c.fault_vector, 13);
	with_ram(&m, 64,
		 CODE(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
		      0x66, 0x8b, 3));
	CHECK_EQ(emulate(&m.c), EMU_FAULT); /* 16 bytes */
	CHECK_EQ(m.c.fault_vector, 13);
}

static void resume_flag_ends_with_the_instruction(void)
{
	struct machine m;

	with_ram(&m, 64, CODE(0x8b, 0x03));
	m.c.rflags |= 1u << 16;
	CHECK_EQ(emulate(&m.c), EMU_OK);
	CHECK_EQ(m.c.rflags, FLAGS_FIXED);
}

static unsigned length_of(unsigned bits, const uint8_t *code, unsigned size)
{
	struct machine m;

	machine_init(&m, bits, code, size);
	return emulate_length(&m.c, NULL);
}

static void lengths(void)
{
	CHECK_EQ(length_of(64, CODE(0x0f, 0xa2)), 2);
	CHECK_EQ(length_of(64, CODE(0x0f, 0x30)), 2);
	CHECK_EQ(length_of(64, CODE(0x48, 0x0f, 0x30)), 3);
	CHECK_EQ(length_of(64, CODE(0x0f, 0x01, 0xd1)), 3);
	CHECK_EQ(length_of(64, CODE(0xf4)), 1);
	CHECK_EQ(length_of(64, CODE(0xec)), 1);
	CHECK_EQ(length_of(64, CODE(0x66, 0xed)), 2);
	CHECK_EQ(length_of(64, CODE(0xe4, 0x60)), 2);
	CHECK_EQ(length_of(64, CODE(0xe4)), 0);
	CHECK_EQ(length_of(64, CODE(0x0f)), 0);
	CHECK_EQ(length_of(64, CODE(0xf3, 0x0f, 0x09)), 3);
	CHECK_EQ(length_of(16, CODE(0xb8, 1, 2)), 3);
	CHECK_EQ(length_of(32, CODE(0xb8, 1, 2, 3, 4)), 5);
	CHECK_EQ(length_of(64, CODE(0x0f, 0x22, 0xd8)), 3);
}

int main(void)
{
	RUN(movabs_and_absolute_addresses);
	RUN(rip_relative);
	RUN(address_size_override);
	RUN(fs_and_gs_have_bases_in_64_bit_code);
	RUN(non_canonical_addresses_fault);
	RUN(segment_checks_in_32_bit_code);
	RUN(real_mode);
	RUN(faults_leave_everything_as_it_was);
	RUN(rep_is_bounded_and_restarts);
	RUN(rep_keeps_what_is_done_at_a_fault);
	RUN(port_strings);
	RUN(what_is_not_ours_is_left_alone);
	RUN(fetch_faults);
	RUN(resume_flag_ends_with_the_instruction);
	RUN(lengths);
	return check_result();
}
