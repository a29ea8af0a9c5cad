// SPDX-License-Identifier: GPL-2.0-or-later
/* Interprocessor interrupts (SDM vol. 3, "Issuing Interprocessor Interrupts"). Logical IDs are 1
 * and 2: in xAPIC mode by apic_setup(), in x2APIC mode by the IDs 0 and 1. */
#include "test/kernel/judge/judge.h"

#define VECTOR	      0x55
#define ESR_REDIRECT  (1u << 4) /* this processor sends no lowest-priority IPIs */
#define CLUSTER_MODEL 0x0fffffffu
#define MSG_TIME      200 /* us in which a message arrives, or does not */

/* Send, let arrive, and how many each CPU got. */
static struct got {
	unsigned here, there;
} got;

static void send(uint32_t dest, uint32_t command)
{
	irq_log[0].count[VECTOR] = irq_log[1].count[VECTOR] = 0;
	ipi(dest, command | ICR_ASSERT | VECTOR);
	irq_on();
	allow(MSG_TIME);
	asm volatile("cli");
	got = (struct got){irq_log[0].count[VECTOR], irq_log[1].count[VECTOR]};
}

#define EXPECT_GOT(h, t, what)                                                               \
	EXPECT(got.here == (h) && got.there == (t), "%s: %u here, %u there", what, got.here, \
	       got.there)

static void self(void)
{
	send(0, ICR_SELF | FIXED);
	EXPECT_GOT(1, 0, "by the shorthand");
	send(apic_id(), FIXED);
	EXPECT_GOT(1, 0, "by ID");
	send(1, ICR_LOGICAL | FIXED);
	EXPECT_GOT(1, 0, "by logical ID");
}

static void nobody(void)
{
	send(0x0b, FIXED);
	EXPECT_GOT(0, 0, "an ID that nobody has");
	send(4, ICR_LOGICAL | FIXED);
	EXPECT_GOT(0, 0, "a logical ID that nobody has");
	if (cpus < 2) {
		send(0, ICR_OTHERS | FIXED);
		EXPECT_GOT(0, 0, "all others");
	}
}

static void physical(void)
{
	send(cpu2_id(), FIXED);
	EXPECT_GOT(0, 1, "by ID");
}

static void logical(void)
{
	send(2, ICR_LOGICAL | FIXED);
	EXPECT_GOT(0, 1, "one");
	send(3, ICR_LOGICAL | FIXED);
	EXPECT_GOT(1, 1, "both");
}

static void shorthands(void)
{
	send(0, ICR_ALL | FIXED);
	EXPECT_GOT(1, 1, "all");
	send(0, ICR_OTHERS | FIXED);
	EXPECT_GOT(0, 1, "all others");
}

static void broadcast(void)
{
	uint32_t all = x2apic ? 0xffffffff : 0xff;

	send(all, FIXED);
	EXPECT_GOT(1, 1, "physical");
	send(all, ICR_LOGICAL | FIXED);
	EXPECT_GOT(1, 1, "logical");
}

static void to_cluster(void)
{
	apic_write(APIC_DFR, CLUSTER_MODEL);
	apic_write(APIC_LDR, (0x31u + cpu_index()) << 24); /* cluster 3, members 1 and 2 */
}

/* xAPIC only: the cluster model of logical destinations. */
static void cluster(void)
{
	if (x2apic)
		return;
	to_cluster();
	EXPECT(cpu2_run(to_cluster), "no answer");
	send(0x31, ICR_LOGICAL | FIXED);
	EXPECT_GOT(1, 0, "one");
	send(0x32, ICR_LOGICAL | FIXED);
	EXPECT_GOT(0, 1, "the other");
	send(0x33, ICR_LOGICAL | FIXED);
	EXPECT_GOT(1, 1, "both");
	send(0x21, ICR_LOGICAL | FIXED);
	EXPECT_GOT(0, 0, "another cluster");
	send(0xff, ICR_LOGICAL | FIXED);
	EXPECT_GOT(1, 1, "all clusters");
}

/* x2APIC: another cluster. */
static void other_cluster(void)
{
	if (!x2apic)
		return;
	send(1 << 16 | 3, ICR_LOGICAL | FIXED);
	EXPECT_GOT(0, 0, "members of a cluster that is empty");
}

/* Whether IPIs of this mode exist is up to the model. If so, one takes it; else ESR says so. */
static void lowest(void)
{
	uint32_t esr;

	send(3, ICR_LOGICAL | LOWEST);
	esr = apic_error();
	EXPECT(got.here + got.there == (esr & ESR_REDIRECT ? 0 : 1), "%u here, %u there, ESR %x",
	       got.here, got.there, esr);
	send(2, ICR_LOGICAL | LOWEST);
	EXPECT(esr & ESR_REDIRECT || (got.here == 0 && got.there == 1),
	       "one candidate: %u here, %u there", got.here, got.there);
}

static void nmi(void)
{
	ipi(cpu2_id(), NMI | ICR_ASSERT);
	EXPECT(WAIT(irq_log[1].count[2] == 1), "%u NMIs there", irq_log[1].count[2]);
	EXPECT(irq_log[0].count[2] == 0, "an NMI here");
	ipi(0, ICR_OTHERS | NMI | ICR_ASSERT);
	EXPECT(WAIT(irq_log[1].count[2] == 2), "%u NMIs there", irq_log[1].count[2]);
	ipi(3, ICR_LOGICAL | NMI | ICR_ASSERT);
	EXPECT(WAIT(irq_log[1].count[2] == 3 && irq_log[0].count[2] == 1),
	       "logical: %u here, %u there", irq_log[0].count[2], irq_log[1].count[2]);
}

/* An NMI's vector means nothing, not even an illegal one. */
static void nmi_vector(void)
{
	ipi(apic_id(), NMI | ICR_ASSERT | 3);
	EXPECT(WAIT(taken(2) == 1), "%u NMIs", taken(2));
	EXPECT(!(apic_error() & 0x60), "an illegal vector");
}

static void idle_status(void)
{
	ipi(apic_id(), FIXED | ICR_ASSERT | VECTOR);
	EXPECT(WAIT(!(apic_read(APIC_ICR) & ICR_PENDING)), "ICR stays pending");
	irq_moment();
}

/* xAPIC: the high half alone sends nothing. */
static void high_half(void)
{
	if (x2apic)
		return;
	apic_write(APIC_ICR, ICR_ASSERT | FIXED | VECTOR);
	irq_on();
	delay(MSG_TIME);
	apic_write(APIC_ICR_HIGH, (uint32_t)apic_id() << 24);
	irq_log[0].count[VECTOR] = irq_log[1].count[VECTOR] = 0;
	delay(MSG_TIME);
	EXPECT(irq_log[0].count[VECTOR] + irq_log[1].count[VECTOR] == 0, "it sends");
}

/* Both send to each other at once, many times; each message is taken once or merged, none is lost
 * for good. */
#define ROUNDS 200
static volatile unsigned received[2];

static void count_there(struct trap_frame *f)
{
	(void)f;
	received[cpu_index()]++;
	apic_eoi();
}

static void ping(void)
{
	unsigned me = cpu_index();
	uint32_t dest = me ? 0 : cpu2_id();

	irq_on();
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned before = received[!me];

		ipi(dest, FIXED | ICR_ASSERT | VECTOR);
		if (!WAIT(received[!me] != before))
			return;
	}
	asm volatile("cli");
}

static void crossing(void)
{
	received[0] = received[1] = 0;
	irq_handle(VECTOR, count_there);
	cpu2_begin(ping);
	ping();
	irq_on();
	EXPECT(cpu2_wait(), "the other CPU does not end");
	EXPECT(received[0] == ROUNDS && received[1] == ROUNDS, "%u here, %u there", received[0],
	       received[1]);
}

const struct check ipi_checks[] = {
	{"self", self, 0},
	{"nobody", nobody, 0},
	{"nmi-vector", nmi_vector, 0},
	{"idle-status", idle_status, 0},
	{"high-half", high_half, 0},
	{"physical", physical, NEED_CPU2},
	{"logical", logical, NEED_CPU2},
	{"shorthands", shorthands, NEED_CPU2},
	{"broadcast", broadcast, NEED_CPU2},
	{"cluster", cluster, NEED_CPU2},
	{"other-cluster", other_cluster, 0},
	{"lowest", lowest, NEED_CPU2},
	{"nmi", nmi, NEED_CPU2},
	{"crossing", crossing, NEED_CPU2},
	{0},
};
