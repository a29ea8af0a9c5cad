/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rate of the TSC, against the best clock the board has: HPET, else ACPI PM timer, else PIT
 * channel 2.
 *
 * A reading is taken where the reference's value changes, between the two closest-together reads of
 * many. Three readings make two halves of a window; if their rates don't agree something disturbed
 * the measurement, and it is repeated.
 */
#include <string.h>
#include "arch/x86_64/internal.h"
#include "arch/x86_64/spinlock.h"
#include "hv/log.h"

#define FEMTOS_PER_SECOND 1000000000000000ull
#define HALF_WINDOW_US	  20000ull
#define ATTEMPTS	  2
#define HALVES_PPM	  200  /* the two halves may differ by this */
#define CPUID_PPM	  100  /* CPUID leaf 15H may differ from the measurement by this */
#define READING_CHANGES	  64   /* changes of the reference looked at for one reading */
#define READING_LOOPS	  4096 /* and reads in all */
#define ALIVE_LOOPS	  10000

#define HPET_DEFAULT	   0xfed00000ull /* where chipsets without tables for it have it */
#define HPET_TABLE_ADDRESS 44		 /* in the HPET table, IA-PC HPET 1.0a, 3.2.4 */
#define HPET_PERIOD_MAX	   100000000ull	 /* fs, IA-PC HPET 1.0a, 2.3.4 */
enum { HPET_CAP = 0x00, HPET_CONFIG = 0x10, HPET_COUNTER = 0xf0, HPET_TIMER = 0x100 };
#define HPET_ENABLE  1u
#define HPET_INT_ENB (1u << 2)

#define PM_TMR_HZ     3579545ull
#define PM_TMR_OFFSET 8 /* from the PIIX4's PMBA */

#define PIT_HZ 1193182ull
enum { PIT_CHANNEL2 = 0x42, PIT_CONTROL = 0x43, PORT_B = 0x61 };

struct reference {
	const char *name, *checked_name; /* the second if CPUID was believed */
	uint64_t period_fs;
	uint32_t mask; /* of the counter's width */
	uint32_t (*read)(void);
};

struct reading {
	uint64_t tsc;
	uint32_t value;
};

static volatile uint32_t *hpet;
static uint16_t pm_port;
static uint64_t hz;
static const char *source = "none";

uint64_t tsc_hz(void)
{
	return hz;
}

const char *tsc_source(void)
{
	return source;
}

void tsc_delay_us(uint64_t us)
{
	uint64_t start = rdtsc(), ticks = us * (hz ? hz / 1000000 : 5000);

	while (rdtsc() - start < ticks)
		cpu_relax();
}

static uint32_t hpet_read(void)
{
	return hpet[HPET_COUNTER / 4];
}

static uint32_t pm_read(void)
{
	return inl(pm_port);
}

/* Counts down; 00h to the control port's channel-2 latch, then low and high byte. */
static uint32_t pit_read(void)
{
	uint32_t v;

	outb(PIT_CONTROL, 0x80);
	v = inb(PIT_CHANNEL2);
	return ~(v | (uint32_t)inb(PIT_CHANNEL2) << 8);
}

static bool ticks(const struct reference *r)
{
	uint32_t v = r->read();

	for (unsigned i = 0; i < ALIVE_LOOPS; i++)
		if (r->read() != v)
			return true;
	return false;
}

/* The HPET is the hypervisor's: running, and none of its comparators raises interrupts. */
static bool hpet_start(struct reference *r)
{
	const uint8_t *table = host_acpi_table("HPET", 0);
	uint64_t base = 0;
	uint32_t cap;

	if (table)
		memcpy(&base, table + HPET_TABLE_ADDRESS, sizeof(base));
	else if (!acpi_fadt())
		base = HPET_DEFAULT;
	hpet = base ? mmio_map((hpa_t){base}, 0x400) : NULL;
	if (!hpet)
		return false;
	cap = hpet[HPET_CAP / 4];
	r->period_fs = hpet[HPET_CAP / 4 + 1];
	if ((cap & 0xff) == 0 || r->period_fs == 0 || r->period_fs > HPET_PERIOD_MAX)
		return false;
	for (unsigned i = 0; i <= (cap >> 8 & 0x1f); i++)
		hpet[(HPET_TIMER + 0x20 * i) / 4] &= ~HPET_INT_ENB;
	hpet[HPET_CONFIG / 4] = HPET_ENABLE;
	r->name = "HPET";
	r->checked_name = "CPUID 15H, checked against the HPET";
	r->mask = UINT32_MAX;
	r->read = hpet_read;
	return ticks(r);
}

static bool pm_start(struct reference *r)
{
	const struct acpi_fadt *f = acpi_fadt();
	uint16_t piix4;

	if (f && f->x_pm_tmr_blk.space == GAS_IO && f->x_pm_tmr_blk.address)
		pm_port = (uint16_t)f->x_pm_tmr_blk.address;
	else if (f && f->pm_tmr_blk)
		pm_port = (uint16_t)f->pm_tmr_blk;
	else if (!f && (piix4 = piix4_pm_base()) != 0)
		pm_port = piix4 + PM_TMR_OFFSET;
	if (!pm_port)
		return false;
	r->name = "PM timer";
	r->checked_name = "CPUID 15H, checked against the PM timer";
	r->period_fs = FEMTOS_PER_SECOND / PM_TMR_HZ;
	r->mask = 0xffffff; /* 24 bits suffice, and all have them */
	r->read = pm_read;
	return ticks(r);
}

static bool pit_start(struct reference *r)
{
	outb(PORT_B, (inb(PORT_B) & ~2u) | 1u); /* gate on, speaker off */
	outb(PIT_CONTROL, 0xb4);		/* channel 2, both bytes, mode 2 */
	outb(PIT_CHANNEL2, 0);
	outb(PIT_CHANNEL2, 0); /* 65536 */
	r->name = "PIT";
	r->checked_name = "CPUID 15H, checked against the PIT";
	r->period_fs = FEMTOS_PER_SECOND / PIT_HZ;
	r->mask = 0xffff;
	r->read = pit_read;
	return ticks(r);
}

static struct reading take(const struct reference *r)
{
	struct reading best = {0};
	uint64_t best_span = UINT64_MAX, before = rdtsc_ordered();
	uint32_t last = r->read();
	unsigned changes = 0;

	for (unsigned i = 0; i < READING_LOOPS && changes < READING_CHANGES; i++) {
		uint64_t t = rdtsc_ordered();
		uint32_t v = r->read();
		uint64_t span = rdtsc_ordered() - before;

		if (v != last) {
			changes++;
			if (span < best_span) {
				best_span = span;
				best.tsc = before + span / 2;
				best.value = v;
			}
		}
		last = v;
		before = t;
	}
	return best;
}

/* Half a window. The shortest counter, the PIT's, wraps after 55 ms: a delay beyond that shows as
 * halves that disagree. */
static void wait_half(const struct reference *r)
{
	uint64_t amount = HALF_WINDOW_US * 1000000000ull / r->period_fs, passed = 0;
	uint32_t last = r->read();

	while (passed < amount) {
		uint32_t v = r->read();

		passed += (v - last) & r->mask;
		last = v;
	}
}

static bool agree(uint64_t a, uint64_t b, uint64_t ppm)
{
	return (a > b ? a - b : b - a) <= a / 1000000 * ppm;
}

static bool measure(const struct reference *r)
{
	struct reading at[3];
	uint64_t passed[2], rate[2];

	at[0] = take(r);
	for (unsigned i = 0; i < 2; i++) {
		wait_half(r);
		at[i + 1] = take(r);
		passed[i] = ((at[i + 1].value - at[i].value) & r->mask) * r->period_fs;
		if (passed[i] == 0)
			return false;
		rate[i] = mul_div(at[i + 1].tsc - at[i].tsc, FEMTOS_PER_SECOND, passed[i]);
	}
	hz = mul_div(at[2].tsc - at[0].tsc, FEMTOS_PER_SECOND, passed[0] + passed[1]);
	return agree(rate[0], rate[1], HALVES_PPM);
}

/*
 * Leaf 15H with a crystal frequency states the ratio exactly, so it beats the measurement's noise;
 * but on some parts, and in emulators, it is wrong by far more. Leaf 16H is rounded to MHz and
 * never better than the measurement.
 */
static void consult_cpuid(const struct reference *r)
{
	struct cpuid c;
	uint64_t stated;

	if (cpuid(0, 0).eax < 0x15)
		return;
	c = cpuid(0x15, 0);
	if (c.eax == 0 || c.ebx == 0 || c.ecx == 0)
		return;
	stated = mul_div(c.ecx, c.ebx, c.eax);
	if (!agree(hz, stated, CPUID_PPM)) {
		log_info("TSC: CPUID 15H says %llu Hz: not believed", (unsigned long long)stated);
		return;
	}
	hz = stated;
	source = r->checked_name;
}

void tsc_calibrate(void)
{
	struct reference r = {0};
	bool good = false;

	if (!hpet_start(&r) && !pm_start(&r) && !pit_start(&r))
		panic("no HPET, PM timer or PIT counts: the TSC's rate can't be measured");
	lapic_timer_calibrate(false);
	for (unsigned i = 0; i < ATTEMPTS && !good; i++)
		good = measure(&r);
	lapic_timer_calibrate(true);
	if (hz == 0)
		panic("the TSC's rate can't be measured against the %s", r.name);
	if (!good)
		log_warn("TSC: its rate against the %s isn't steady", r.name);
	source = r.name;
	consult_cpuid(&r);
	log_info("TSC: %llu Hz (%s)%s", (unsigned long long)hz, source,
		 cpuid(0x80000000, 0).eax >= 0x80000007 && cpuid(0x80000007, 0).edx & 1u << 8
			 ? ""
			 : ", not said to be invariant");
}
