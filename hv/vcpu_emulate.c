// SPDX-License-Identifier: GPL-2.0-or-later
/* A vCPU's instructions for the emulator: its registers, its page tables, and who answers at an
 * address. */
#include <errno.h>
#include <string.h>
#include "arch/x86_64/arch.h"
#include "hv/emulate.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/vcpu.h"
#include "hv/walk.h"

#define CR0_PE	  (1ull << 0)
#define CR4_PAE	  (1ull << 5)
#define CR4_LA57  (1ull << 12)
#define CR4_PKE	  (1ull << 22)
#define EFER_LMA  (1ull << 10)
#define RFLAGS_AC (1ull << 18)
#define RFLAGS_VM (1ull << 17)
#define VECTOR_PF 14
#define PF_RSVD	  (1u << 3)

#define APIC_BASE_ADDR	0x000ffffffffff000ull
#define APIC_BASE_MODE	(3ull << 10) /* EN, EXTD */
#define APIC_BASE_XAPIC (2ull << 10)

/* One emulation: the context comes first, so that the ops find the rest. */
struct machine {
	struct emu_ctx c;
	struct vcpu *v;
	struct walk_regs walk;
	gpa_t gpa; /* where the exit says that the guest reached; the processor has translated it
		      already */
	bool gpa_known;
	bool gpa_write; /* it was a write: good for writes, too */
};

static struct machine *machine_of(struct emu_ctx *c)
{
	return (struct machine *)c;
}

/* --- guest-physical --- */

static bool is_lapic(const struct vcpu *v, uint64_t gpa)
{
	uint64_t base = v->lapic.base_msr;

	return (base & APIC_BASE_MODE) == APIC_BASE_XAPIC && ((gpa ^ base) & APIC_BASE_ADDR) == 0;
}

/* Where the guest has no business: reported, and all-ones for it. */
static bool out_of_bounds(const struct vcpu *v, gpa_t gpa, const char *how)
{
	static struct log_ratelimit limit = {.burst = 5};
	const char *what;

	if (guest_gpa_is_hypervisor(gpa))
		what = "the hypervisor's memory";
	else if (((gpa.v ^ LAPIC_BASE) & APIC_BASE_ADDR) == 0)
		what = "its local APIC, which is not in xAPIC mode,";
	else
		return false;
	if (log_ratelimited(&limit))
		log_warn("cpu%u: guest %s %s at 0x%llx, rip 0x%llx: all-ones for it", v->index, how,
			 what, (unsigned long long)gpa.v, (unsigned long long)v->rip);
	return true;
}

static uint64_t load(const void *p, unsigned size)
{
	uint64_t v = 0;

	switch (size) { /* constant sizes: one access each, as the processor would do it */
	case 1:
		memcpy(&v, p, 1);
		break;
	case 2:
		memcpy(&v, p, 2);
		break;
	case 4:
		memcpy(&v, p, 4);
		break;
	default:
		memcpy(&v, p, 8);
		break;
	}
	return v;
}

static void store(void *p, unsigned size, uint64_t val)
{
	switch (size) {
	case 1:
		memcpy(p, &val, 1);
		break;
	case 2:
		memcpy(p, &val, 2);
		break;
	case 4:
		memcpy(p, &val, 4);
		break;
	default:
		memcpy(p, &val, 8);
		break;
	}
}

/* Where there is no RAM. */
static uint64_t device_read(struct vcpu *v, gpa_t gpa, unsigned size)
{
	uint64_t val;

	if (is_lapic(v, gpa.v)) {
		vlapic_mmio_read(&v->lapic, gpa.v & (PAGE_SIZE - 1), size, &val);
		return val;
	}
	return out_of_bounds(v, gpa, "reads") ? UINT64_MAX : bus_mmio_read(gpa, size);
}

static void device_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t val)
{
	if (is_lapic(v, gpa.v))
		vlapic_mmio_write(&v->lapic, gpa.v & (PAGE_SIZE - 1), size, val);
	else if (!out_of_bounds(v, gpa, "writes"))
		bus_mmio_write(gpa, size, val);
}

/* Within one page. */
static uint64_t physical_read(struct vcpu *v, gpa_t gpa, unsigned size)
{
	const void *ram = is_lapic(v, gpa.v) ? NULL : guest_ptr(gpa, size);

	return ram ? load(ram, size) : device_read(v, gpa, size);
}

static void physical_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t val)
{
	void *ram = is_lapic(v, gpa.v) ? NULL : guest_ptr(gpa, size);

	if (ram)
		store(ram, size, val);
	else
		device_write(v, gpa, size, val);
}

/* --- guest-linear --- */

static int translate(struct emu_ctx *c, uint64_t linear, unsigned access, gpa_t *gpa)
{
	struct machine *m = machine_of(c);
	uint32_t error;
	int err;

	if (access == WALK_FETCH)
		err = guest_walk_fetch(&m->v->fetch, &m->walk, linear, gpa, &error);
	else
		err = guest_walk(&m->walk, linear, access, gpa, &error);
	if (!err)
		return 0;
	c->fault_vector = VECTOR_PF;
	c->fault_has_error = true;
	c->fault_error = error;
	c->cr2 = linear;
	return -EFAULT;
}

/* Is this the access that caused the exit? Then its page walk and rights check are done. With two
 * operands one can't tell. */
static bool is_exit_access(const struct machine *m, uint64_t linear, bool write)
{
	return m->gpa_known && m->c.one_operand && (m->gpa_write || !write) &&
	       ((m->gpa.v ^ linear) & (PAGE_SIZE - 1)) == 0;
}

static bool within_page(uint64_t linear, unsigned size)
{
	return (linear & (PAGE_SIZE - 1)) + size <= PAGE_SIZE;
}

/* An access of `size` bytes: gpa[0], and if it crosses into another page, gpa[1] for what lies
 * there. Returns the bytes in the first page, or -EFAULT before anything has been touched. */
static int locate(struct emu_ctx *c, uint64_t linear, unsigned size, bool write, gpa_t gpa[2])
{
	struct machine *m = machine_of(c);
	unsigned room = (unsigned)(PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	unsigned access = write ? WALK_WRITE : WALK_READ;

	if (size <= room) {
		if (is_exit_access(m, linear, write))
			gpa[0] = m->gpa;
		else if (translate(c, linear, access, &gpa[0]))
			return -EFAULT;
		return (int)size;
	}
	if (translate(c, linear, access, &gpa[0]) || translate(c, linear + room, access, &gpa[1]))
		return -EFAULT;
	return (int)room;
}

/* Byte i of an access with `first` bytes in its first page. */
static gpa_t split_at(const gpa_t gpa[2], int first, int i)
{
	gpa_t at = gpa[i >= first];

	at.v += (uint64_t)(i < first ? i : i - first);
	return at;
}

static int op_read(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t *val)
{
	const struct machine *m = machine_of(c);
	struct vcpu *v = m->v;
	gpa_t gpa[2];
	int first;

	if (within_page(linear, size) && is_exit_access(m, linear, false)) {
		*val = device_read(v, m->gpa, size);
		return 0;
	}
	first = locate(c, linear, size, false, gpa);
	if (first < 0)
		return first;
	if (first == (int)size) {
		*val = physical_read(v, gpa[0], size);
		return 0;
	}
	*val = 0;
	for (int i = 0; i < (int)size; i++) {
		*val |= (physical_read(v, split_at(gpa, first, i), 1) & 0xff) << (8 * i);
	}
	return 0;
}

static int op_write(struct emu_ctx *c, uint64_t linear, unsigned size, uint64_t val)
{
	const struct machine *m = machine_of(c);
	struct vcpu *v = m->v;
	gpa_t gpa[2];
	int first;

	if (within_page(linear, size) && is_exit_access(m, linear, true)) {
		device_write(v, m->gpa, size, val);
		return 0;
	}
	first = locate(c, linear, size, true, gpa);
	if (first < 0)
		return first;
	if (first == (int)size) {
		physical_write(v, gpa[0], size, val);
		return 0;
	}
	for (int i = 0; i < (int)size; i++) {
		physical_write(v, split_at(gpa, first, i), 1, val >> (8 * i) & 0xff);
	}
	return 0;
}

static int op_probe_write(struct emu_ctx *c, uint64_t linear, unsigned size)
{
	gpa_t gpa[2];
	int first = locate(c, linear, size, true, gpa);

	return first < 0 ? first : 0;
}

static int op_fetch(struct emu_ctx *c, uint64_t linear, void *buf, unsigned size)
{
	unsigned room = (unsigned)(PAGE_SIZE - (linear & (PAGE_SIZE - 1))),
		 n = size < room ? size : room;
	gpa_t gpa;
	const void *code;

	if (translate(c, linear, WALK_FETCH, &gpa))
		return -EFAULT;
	code = guest_ptr(gpa, n);
	if (code && n == EMU_INSN_MAX)
		memcpy(buf, code, EMU_INSN_MAX); /* the usual case: two moves */
	else if (code)
		memcpy(buf, code, n);
	else
		memset(buf, 0xff, n); /* a hole: no device holds code */
	if (n < size) {
		uint32_t error;

		if (guest_walk(&machine_of(c)->walk, linear + n, WALK_FETCH, &gpa, &error))
			return (int)n;
		code = guest_ptr(gpa, size - n);
		if (code)
			memcpy((uint8_t *)buf + n, code, size - n);
		else
			memset((uint8_t *)buf + n, 0xff, size - n);
	}
	return (int)size;
}

static uint32_t op_io_read(struct emu_ctx *c, uint16_t port, unsigned size)
{
	(void)c;
	return bus_io_read(port, size);
}

static void op_io_write(struct emu_ctx *c, uint16_t port, unsigned size, uint32_t val)
{
	(void)c;
	bus_io_write(port, size, val);
}

_Static_assert((int)EMU_ES == (int)SEG_ES && (int)EMU_CS == (int)SEG_CS &&
		       (int)EMU_SS == (int)SEG_SS && (int)EMU_DS == (int)SEG_DS &&
		       (int)EMU_FS == (int)SEG_FS && (int)EMU_GS == (int)SEG_GS,
	       "segment numbers are the processor's in both headers");

static void op_segment(struct emu_ctx *c, unsigned seg)
{
	struct vcpu_segment s;

	vcpu_ops->get_segment(machine_of(c)->v, seg, &s);
	c->seg[seg] = (struct emu_segment){.base = s.base,
					   .limit = s.limit,
					   .attr = (uint16_t)s.attr,
					   .unusable = s.attr >> 16 & 1};
}

static const struct emu_ops vcpu_emu_ops = {
	.fetch = op_fetch,
	.read = op_read,
	.write = op_write,
	.probe_write = op_probe_write,
	.io_read = op_io_read,
	.io_write = op_io_write,
	.segment = op_segment,
};

/* --- the vCPU --- */

/* MAXPHYADDR and 1 GiB pages: the guest sees the processor's own (CPUID 80000008H EAX[7:0],
 * 80000001H EDX[26]). */
static void paging_features(struct walk_regs *w)
{
	static uint8_t phys_bits;
	static bool page_1g;

	if (!__atomic_load_n(&phys_bits, __ATOMIC_ACQUIRE)) {
		page_1g = cpuid(0x80000001, 0).edx >> 26 & 1;
		__atomic_store_n(&phys_bits, (uint8_t)cpuid(0x80000008, 0).eax, __ATOMIC_RELEASE);
	}
	w->phys_bits = phys_bits;
	w->page_1g = page_1g;
}

static void machine_init(struct machine *m, struct vcpu *v)
{
	struct emu_ctx *c = &m->c;
	struct walk_regs *w = &m->walk;
	bool long_mode;

	/* Field by field, because clearing it all would cost more than the rest: segments are
	 * loaded on demand. */
	m->v = v;
	m->gpa_known = false;
	w->cr0 = vcpu_ops->get_cr(v, 0);
	w->cr3 = vcpu_ops->get_cr(v, 3);
	w->cr4 = vcpu_ops->get_cr(v, 4);
	w->efer = vcpu_ops->get_efer(v);
	w->ac = v->rflags & RFLAGS_AC;
	paging_features(w);
	long_mode = w->efer & EFER_LMA;
	if (!long_mode && (w->cr4 & CR4_PAE)) {
		for (unsigned i = 0; i < 4; i++)
			w->pdpte[i] = vcpu_ops->get_pdpte(v, i);
	}
	if (long_mode && (w->cr4 & CR4_PKE))
		w->pkru = guest_pkru();
	else
		w->pkru = 0;

	c->ops = &vcpu_emu_ops;
	c->opaque = v;
	c->gpr = v->gpr;
	c->rip = v->rip;
	c->rflags = v->rflags;
	c->la57 = w->cr4 & CR4_LA57;
	c->protected_mode = (w->cr0 & CR0_PE) && (long_mode || !(v->rflags & RFLAGS_VM));
	op_segment(c, EMU_CS);
	op_segment(c, EMU_SS);
	c->seg_loaded = 1u << EMU_CS | 1u << EMU_SS;
	if (long_mode && (c->seg[EMU_CS].attr & SEG_ATTR_L))
		c->bits = 64;
	else
		c->bits = c->seg[EMU_CS].attr & SEG_ATTR_D ? 32 : 16;
	if (w->cr0 & CR0_PE)
		c->cpl = c->protected_mode ? c->seg[EMU_SS].attr >> 5 & 3 : 3;
	else
		c->cpl = 0;
	c->io_allowed = false;
	c->insn_bytes = 0;
	w->cpl = (uint8_t)c->cpl;
}

static enum emu_result machine_run(struct machine *m)
{
	struct emu_ctx *c = &m->c;
	struct vcpu *v = m->v;
	enum emu_result e = emulate(c);

	switch (e) {
	case EMU_OK:
		v->rflags = c->rflags;
		if (c->rip != v->rip)
			vcpu_skip(v, (unsigned)(c->rip - v->rip));
		else
			vcpu_ops->clear_shadow(v); /* between two iterations of a REP */
		break;
	case EMU_FAULT:
		v->rflags = c->rflags;
		if (c->fault_vector == VECTOR_PF)
			vcpu_ops->set_cr(v, 2, c->cr2);
		vcpu_inject(v, c->fault_vector, c->fault_has_error, c->fault_error);
		break;
	default:
		break;
	}
	return e;
}

enum emu_result vcpu_emulate(struct vcpu *v)
{
	struct machine m;

	machine_init(&m, v);
	m.c.io_allowed = true;
	return machine_run(&m);
}

unsigned vcpu_insn_length(struct vcpu *v)
{
	struct machine m;

	machine_init(&m, v);
	return emulate_length(&m.c, NULL);
}

static void report_unhandled(const struct machine *m, gpa_t gpa)
{
	static struct log_ratelimit limit = {.burst = 5};
	char bytes[2 * EMU_INSN_MAX + 1];
	unsigned n = 0;

	if (!log_ratelimited(&limit))
		return;
	for (unsigned i = 0; i < m->c.insn_bytes; i++) {
		bytes[n++] = "0123456789abcdef"[m->c.insn[i] >> 4];
		bytes[n++] = "0123456789abcdef"[m->c.insn[i] & 15];
	}
	bytes[n] = 0;
	log_warn("cpu%u: instruction at rip 0x%llx (%s, %u-bit code) on device memory at 0x%llx is "
		 "not emulated: "
		 "the guest gets #UD",
		 m->v->index, (unsigned long long)m->v->rip, bytes, m->c.bits,
		 (unsigned long long)gpa.v);
}

void exit_mmio(struct vcpu *v, gpa_t gpa, bool write, bool fetch)
{
	static struct log_ratelimit fetch_limit = {.burst = 5};
	struct machine m;

	if (fetch) { /* all-ones bytes are no instruction */
		if (log_ratelimited(&fetch_limit))
			log_warn("cpu%u: guest executes at 0x%llx, rip 0x%llx, where there is no "
				 "RAM: #UD for it",
				 v->index, (unsigned long long)gpa.v, (unsigned long long)v->rip);
		vcpu_inject_ud(v);
		return;
	}
	machine_init(&m, v);
	m.gpa = gpa;
	m.gpa_known = true;
	m.gpa_write = write;
	/* Nobody has checked a port access that comes this way: leave it to those who need no check
	 * but IOPL. */
	m.c.io_allowed = m.c.cpl <= (v->rflags >> 12 & 3) && (m.c.protected_mode || m.c.cpl == 0);
	if (machine_run(&m) == EMU_UNHANDLED) {
		report_unhandled(&m, gpa);
		vcpu_inject_ud(v);
	}
}

/* --- paging structures outside RAM --- */

/* Does the translation of `linear` end in a page fault, and one for reserved bits if `reserved`?
 * Then it is pending. */
static bool walk_faults(struct machine *m, uint64_t linear, unsigned access, bool reserved)
{
	gpa_t gpa;

	if (!translate(&m->c, linear, access, &gpa) || (reserved && !(m->c.fault_error & PF_RSVD)))
		return false;
	vcpu_ops->set_cr(m->v, 2, m->c.cr2);
	vcpu_inject(m->v, VECTOR_PF, true, m->c.fault_error);
	return true;
}

/*
 * There are no entries but all-ones, whose reserved bits make every walk a page fault. Where the
 * processor doesn't say what it was translating, it was the code, an operand, or the stack.
 */
void exit_page_walk(struct vcpu *v, gpa_t gpa, const uint64_t *linear)
{
	static struct log_ratelimit limit = {.burst = 5};
	struct machine m;
	uint64_t code, stack;

	if (log_ratelimited(&limit))
		log_warn("cpu%u: page tables at 0x%llx, rip 0x%llx, where there is no RAM: "
			 "all-ones for them",
			 v->index, (unsigned long long)gpa.v, (unsigned long long)v->rip);
	machine_init(&m, v);
	code = v->rip + (m.c.bits == 64 ? 0 : m.c.seg[EMU_CS].base);
	stack = v->gpr[RSP] + (m.c.bits == 64 ? 0 : m.c.seg[EMU_SS].base);
	if (linear) { /* without a fault, another CPU has changed the tables meanwhile */
		walk_faults(&m, *linear, *linear - code < EMU_INSN_MAX ? WALK_FETCH : WALK_READ,
			    false);
		return;
	}
	if (machine_run(&m) != EMU_UNHANDLED || walk_faults(&m, stack - 8, WALK_WRITE, true) ||
	    walk_faults(&m, stack, WALK_READ, true))
		return;
	vcpu_inject_gp(v);
}
