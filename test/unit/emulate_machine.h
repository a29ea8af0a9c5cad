/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small machine around the instruction emulator: flat memory with holes, ports, code bytes. For
 * its tests. */
#pragma once
#include <errno.h>
#include "hv/emulate.h"
#include "test/unit/check.h"

#define FLAG_CF	     0x001u
#define FLAG_AF	     0x010u
#define FLAG_ZF	     0x040u
#define FLAG_DF	     0x400u
#define FLAGS_FIXED  0x2u
#define FLAGS_STATUS 0x8d5u

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R12 = 12, R13 };

/* Linear memory is the test's own address space, or `mem`; with windows that fault. */
struct machine {
	struct emu_ctx c;
	uint64_t gpr[16];
	const uint8_t *code;
	unsigned code_size;
	uint64_t code_at;
	uint8_t *mem; /* NULL: linear addresses are pointers */
	uint64_t mem_size;
	uint64_t hole, hole_end; /* accesses here fault */
	uint64_t write_hole, write_hole_end;
	unsigned reads, writes, probes, ports;
	uint16_t port;
	unsigned port_size;
	uint32_t port_value;
};

static bool faulting(struct machine *m, uint64_t linear, unsigned size, bool write)
{
	bool hit = linear < m->hole_end && linear + size > m->hole;

	hit |= write && linear < m->write_hole_end && linear + size > m->write_hole;
	hit |= m->mem && (linear >= m->mem_size || linear + size > m->mem_size);
	if (hit) {
		m->c.fault_vector = 14;
		m->c.fault_has_error = true;
		m->c.fault_error = write ? 2 : 0;
		m->c.cr2 = linear;
	}
	return hit;
}

static uint8_t *at(struct machine *m, uint64_t linear)
{
	return m->mem ? m->mem + linear
		      : (uint8_t *)linear; /* NOLINT: a test's address is a pointer */
}

static int op_fetch(struct emu_ctx *c, uint64_t linear, void *buf, unsigned size)
{
	struct machine *m = c->opaque;
	uint64_t off = linear - m->code_at, n;

	if (off >= m->code_size) {
		c->fault_vector = 14;
		c->fault_has_error = true;
		c->fault_error = 0x10;
		c->cr2 = linear;
		return -EFAULT;
	}
	n = m->code_size - off < size ? m->code_size - off : size;
	memcpy(buf, m->code + off, n);
	return (int)n;
}

static int op_read(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t *val)
{
	struct machine *m = c->opaque;

	m->reads++;
	if (faulting(m, linear, size, false))
		return -EFAULT;
	*val = 0;
	memcpy(val, at(m, linear), size);
	return 0;
}

static int op_write(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t val)
{
	struct machine *m = c->opaque;

	m->writes++;
	if (faulting(m, linear, size, true))
		return -EFAULT;
	memcpy(at(m, linear), &val, size);
	return 0;
}

static int op_probe(struct emu_ctx *c, uint64_t linear, unsigned size)
{
	struct machine *m = c->opaque;

	m->probes++;
	return faulting(m, linear, size, true) ? -EFAULT : 0;
}

static uint32_t op_io_read(struct emu_ctx *c, uint16_t port, unsigned size)
{
	struct machine *m = c->opaque;

	m->ports++;
	m->port = port;
	m->port_size = size;
	return m->port_value++;
}

static void op_io_write(struct emu_ctx *c, uint16_t port, unsigned size, uint32_t val)
{
	struct machine *m = c->opaque;

	m->ports++;
	m->port = port;
	m->port_size = size;
	m->port_value = val;
}

static void op_segment(struct emu_ctx *c, unsigned seg)
{
	check_fail(__FILE__, __LINE__, "segment was filled in before");
	c->seg[seg].base = 0;
}

static const struct emu_ops ops = {op_fetch,   op_read,	    op_write,  op_probe,
				   op_io_read, op_io_write, op_segment};

static void machine_init(struct machine *m, unsigned bits, const uint8_t *code, unsigned size)
{
	memset(m, 0, sizeof(*m));
	m->code = code;
	m->code_size = size;
	m->code_at = 0x1000;
	m->c = (struct emu_ctx){.ops = &ops,
				.opaque = m,
				.gpr = m->gpr,
				.rip = 0x1000,
				.rflags = FLAGS_FIXED,
				.bits = bits};
	m->c.seg_loaded = 0x3f;
	m->c.protected_mode = true;
	for (unsigned i = 0; i < 6; i++)
		m->c.seg[i] = (struct emu_segment){.limit = 0xffffffff,
						   .attr = i == EMU_CS ? 0xc09b : 0xc093};
}

#define CODE(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* An instruction under test. */
struct form {
	const char *name;
	uint8_t code[12];
	uint8_t size;
	uint64_t undefined; /* flags that the manual leaves undefined */
};

#define F(n, u, ...)                                                  \
	{                                                             \
		n, {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}), u \
	}
