/* build: hv/emulate.c hv/emulate_operand.c hv/emulate_alu.c hv/emulate_string.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as code in any state. What must hold: it ends; nothing has changed when the instruction
 * faults or is refused (but for finished iterations of a string instruction); RIP moves by an
 * instruction's length or not at all.
 */
#include <errno.h>
#include <string.h>
#include "hv/emulate.h"
#include "test/fuzz/fuzz.h"

enum { RAX, RCX, RSI = 6, RDI = 7 };

struct input {
	uint8_t mode, flags;
	uint16_t rflags;
	uint32_t fault_seed;
	uint8_t fault_rate; /* of 256 pages */
	uint8_t code_pages; /* bytes of code before the fetch faults */
	uint8_t seg_attr[6], seg_flags;
	uint8_t rip_kind;
	uint32_t seg_limit[6];
	uint64_t gpr[16];
	uint8_t code[20];
} __attribute__((packed));

struct machine {
	struct emu_ctx c;
	const struct input *in;
	uint64_t start;
	unsigned effects, accesses;
};

static bool faults(struct machine *m, uint64_t linear, unsigned size, bool write)
{
	uint64_t page = (linear >> 12 ^ m->in->fault_seed) * 0x9e3779b97f4a7c15ull;

	REQUIRE(size == 1 || size == 2 || size == 4 || size == 8);
	REQUIRE(++m->accesses < 1000);
	if (m->c.bits != 64)
		REQUIRE(linear <= UINT32_MAX);
	if ((page >> 56) >= m->in->fault_rate && !(write && (page >> 48 & 7) == 0))
		return false;
	m->c.fault_vector = 14;
	m->c.fault_has_error = true;
	m->c.fault_error = write ? 2 : 0;
	m->c.cr2 = linear;
	return true;
}

static int op_fetch(struct emu_ctx *c, uint64_t linear, void *buf, unsigned size)
{
	struct machine *m = c->opaque;
	uint64_t off = linear - m->start;
	unsigned have = m->in->code_pages % 21;

	REQUIRE(size >= 1 && size <= EMU_INSN_MAX);
	if (c->bits != 64)
		off = (uint32_t)off;
	if (off >= have) {
		c->fault_vector = 14;
		c->fault_has_error = true;
		c->fault_error = 0x10;
		c->cr2 = linear;
		return -EFAULT;
	}
	if (size > have - off)
		size = (unsigned)(have - off);
	memcpy(buf, m->in->code + off, size);
	return (int)size;
}

static int op_read(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t *val)
{
	if (faults(c->opaque, linear, size, false))
		return -EFAULT;
	*val = linear * 0xff51afd7ed558ccdull >> (64 - 8 * size);
	return 0;
}

static int op_write(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t val)
{
	struct machine *m = c->opaque;

	REQUIRE(size == 8 || val >> (8 * size) == 0);
	if (faults(m, linear, size, true))
		return -EFAULT;
	m->effects++;
	return 0;
}

static int op_probe(struct emu_ctx *c, uint64_t linear, unsigned size)
{
	return faults(c->opaque, linear, size, true) ? -EFAULT : 0;
}

static uint32_t op_io_read(struct emu_ctx *c, uint16_t port, unsigned size)
{
	struct machine *m = c->opaque;

	REQUIRE(c->io_allowed && (size == 1 || size == 2 || size == 4));
	m->effects++;
	return 0xffffffffu ^ port;
}

static void op_io_write(struct emu_ctx *c, uint16_t port, unsigned size, uint32_t val)
{
	struct machine *m = c->opaque;

	(void)port;
	REQUIRE(c->io_allowed && (size == 4 || val >> (8 * size) == 0));
	m->effects++;
}

static void op_segment(struct emu_ctx *c, unsigned seg)
{
	struct machine *m = c->opaque;
	const struct input *in = m->in;

	REQUIRE(seg < 6 && !(c->seg_loaded & 1u << seg));
	c->seg[seg] = (struct emu_segment){
		.base = c->bits == 64 ? in->gpr[seg] : (uint32_t)in->gpr[seg],
		.limit = in->seg_limit[seg],
		.attr = (uint16_t)(in->seg_attr[seg] | (in->seg_flags & 1u << seg ? 0x4000 : 0)),
		.unusable = in->seg_flags & 0x80 && in->seg_attr[seg] & 0x40,
	};
}

static const struct emu_ops ops = {op_fetch,   op_read,	    op_write,  op_probe,
				   op_io_read, op_io_write, op_segment};

static void setup(struct machine *m, const struct input *in, uint64_t *gpr)
{
	struct emu_ctx *c = &m->c;

	memset(m, 0, sizeof(*m));
	m->in = in;
	memcpy(gpr, in->gpr, sizeof(in->gpr));
	c->ops = &ops;
	c->opaque = m;
	c->gpr = gpr;
	c->bits = in->mode % 3 == 0 ? 64 : in->mode % 3 == 1 ? 32 : 16;
	c->protected_mode = c->bits == 64 || in->flags & 1;
	c->la57 = in->flags & 2;
	c->io_allowed = in->flags & 4;
	c->rflags = (in->rflags & 0xcd5u) | 2;
	c->rip = in->rip_kind & 1   ? 0x1000
		 : in->rip_kind & 2 ? 0xffffffff81000ffcull
				    : 0xfffffffeull;
	if (c->bits != 64)
		c->rip &= c->bits == 16 ? 0xffff : 0xffffffff;
	if (c->bits == 64) {
		m->start = c->rip;
	} else {
		op_segment(c, EMU_CS);
		c->seg_loaded = 1u << EMU_CS;
		m->start = (uint32_t)(c->seg[EMU_CS].base + c->rip);
	}
}

/* Registers that iterations of string instructions move. */
static bool string_register(unsigned i)
{
	return i == RAX || i == RCX || i == RSI || i == RDI;
}

static bool looks_like_string(const struct emu_ctx *c)
{
	for (unsigned i = 0; i < c->insn_bytes; i++) {
		uint8_t b = c->insn[i];

		if ((b >= 0xa4 && b <= 0xa7) || (b >= 0xaa && b <= 0xaf) ||
		    (b >= 0x6c && b <= 0x6f))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {0};
	struct machine m;
	uint64_t gpr[16], rip, rflags;
	unsigned length;
	bool string;

	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
	setup(&m, &in, gpr);
	length = emulate_length(&m.c, NULL);
	REQUIRE(length <= EMU_INSN_MAX);
	setup(&m, &in, gpr);
	rip = m.c.rip;
	rflags = m.c.rflags;
	switch (emulate(&m.c)) {
	case EMU_OK:
		REQUIRE(m.c.rip == rip ||
			(m.c.rip - rip == length ||
			 (m.c.bits != 64 && (uint32_t)(m.c.rip - rip) == length)));
		REQUIRE(((m.c.rflags ^ rflags) & ~0x8d5ull) == 0);
		break;
	case EMU_FAULT:
		string = looks_like_string(&m.c);
		REQUIRE(m.c.rip == rip);
		REQUIRE(m.c.fault_vector >= 12 && m.c.fault_vector <= 14);
		for (unsigned i = 0; i < 16; i++)
			REQUIRE(gpr[i] == in.gpr[i] || (string && string_register(i)));
		REQUIRE(m.c.rflags == rflags || string);
		break;
	default:
		REQUIRE(m.c.rip == rip && m.c.rflags == rflags && !m.effects && !m.accesses);
		REQUIRE(memcmp(gpr, in.gpr, sizeof(gpr)) == 0);
		break;
	}
	return 0;
}
