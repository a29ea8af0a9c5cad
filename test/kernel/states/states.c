// SPDX-License-Identifier: GPL-2.0-or-later
/* Takes scenarios from the console, runs them, says how they went. */
#include "test/kernel/states/states.h"

#define COM1	 0x3f8
#define LINE_MAX 128
#define SAID_MAX 24

static const struct scenario *const groups[] = {
	halt_scenarios,	 nmi_scenarios,	  instruction_scenarios, interrupt_scenarios,
	timer_scenarios, board_scenarios, cpu2_scenarios,
};

uint64_t was_here;
static char line[LINE_MAX];
static bool failed;
static struct {
	const char *key;
	uint64_t value;
} said[SAID_MAX];
static unsigned n_said;

void fail(const char *f, ...)
{
	va_list ap;

	if (failed)
		return;
	failed = true;
	print("states %s FAIL ", line);
	va_start(ap, f);
	vprint(f, ap);
	va_end(ap);
	print("\n");
}

void say(const char *key, uint64_t value)
{
	if (n_said < SAID_MAX)
		said[n_said].key = key, said[n_said++].value = value;
}

/* The rest of `s` if it begins with the word `name` and then `end`. */
static const char *after(const char *s, const char *name, char end)
{
	while (*name && *s == *name)
		s++, name++;
	return *name || *s != end ? NULL : s + 1;
}

uint64_t argument(const char *key, uint64_t otherwise)
{
	for (const char *p = line; *p; p++) {
		const char *digits = p[0] == ' ' ? after(p + 1, key, '=') : NULL;
		uint64_t v = 0;

		if (!digits)
			continue;
		for (; *digits >= '0' && *digits <= '9'; digits++)
			v = v * 10 + (uint64_t)(*digits - '0');
		return v;
	}
	return otherwise;
}

static void read_line(void)
{
	unsigned n = 0;

	for (;;) {
		char c;

		while (!(inb(COM1 + 5) & 1))
			asm volatile("pause");
		c = (char)inb(COM1);
		if (c == '\r' || c == '\n')
			break;
		if (!c) /* Bochs 2.7 puts one in when its read of the line fails */
			continue;
		if (n < LINE_MAX - 1)
			line[n++] = c;
	}
	line[n] = 0;
}

static const struct scenario *find(void)
{
	for (unsigned g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct scenario *s = groups[g]; s->name; s++)
			if (after(line, s->name, ' ') || after(line, s->name, 0))
				return s;
	return NULL;
}

static void disable_x2apic(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) & ~(uint64_t)(BASE_EN | BASE_EXTD);

	wrmsr(MSR_APIC_BASE, base);
	wrmsr(MSR_APIC_BASE, base | BASE_EN);
}

static void leave_x2apic(void)
{
	if (cpus > 1)
		EXPECT(cpu2_start() && cpu2_run(disable_x2apic), "CPU 2 does not leave x2APIC");
	disable_x2apic();
	x2apic = false;
	apic_setup();
}

static void quiet(void)
{
	bool x2 = argument("x2", 0);

	tsc_hz = argument("hz", tsc_hz);
	board_quiet();
	if (x2 && !x2apic)
		apic_enter_x2apic();
	else if (!x2 && x2apic)
		leave_x2apic();
	else
		apic_setup();
}

static void run_scenario(void *run)
{
	((void (*)(void))run)();
}

static void run_line(void)
{
	const struct scenario *s = find();
	int exception;

	failed = false;
	n_said = 0;
	was_here = 0;
	if (!s) {
		fail("no such scenario");
		return;
	}
	if (!argument("as_is", 0))
		quiet();
	irq_reset();
	exception = guarded(run_scenario, (void *)s->run);
	if (exception)
		fail("exception %u", (unsigned)exception - 1);
	asm volatile("cli");
	if (failed)
		return;
	if (was_here)
		say("here", was_here);
	print("states %s ok", line);
	for (unsigned i = 0; i < n_said; i++)
		print(" %s=%lx", said[i].key, said[i].value);
	print("\n");
}

/* --- what scenarios have in common --- */

void ipi_self(uint8_t vector)
{
	ipi(apic_id(), ICR_ASSERT | vector);
}

void nmi_self(void)
{
	ipi(apic_id(), ICR_ASSERT | NMI);
}

bool apic_idle(void)
{
	uint32_t any = 0;

	for (unsigned w = 0; w < 8; w++)
		any |= apic_read(APIC_ISR + w * 16) | apic_read(APIC_IRR + w * 16);
	return any == 0;
}

void let_in(void)
{
	for (unsigned i = 0; i < 8; i++)
		irq_moment();
}

uint64_t start_timer(uint8_t vector, uint64_t us)
{
	uint64_t due;

	apic_write(APIC_LVT_TIMER, vector);
	due = rdtsc() + ticks(us);
	apic_write(APIC_TMICT, (uint32_t)(us * 1000));
	return due;
}

/* When the first interrupt of `vector` came; 0: never. */
static uint64_t taken_at(uint8_t vector)
{
	const struct irq_log *l = my_log();

	for (unsigned i = 0; i < l->total && i < TAKEN_MAX; i++)
		if (l->first[i].vector == vector)
			return l->first[i].tsc;
	return 0;
}

void check_due(uint8_t vector, uint64_t due)
{
	uint64_t at = taken_at(vector);

	EXPECT(taken(vector) == 1, "vector %x came %u times", vector, taken(vector));
	EXPECT(at >= due, "vector %x came %lu ticks early", vector, due - at);
	say("due", due);
	say("late", at - due);
}

void test_main(void)
{
	cpus = (unsigned)option_number("cpus", 1);
	jitter = option_number("jitter", 0);
	irq_init();
	pic_init();
	clock_init();
	board_quiet();
	apic_setup();
	print("states ready\n");
	for (;;) {
		read_line();
		run_line();
	}
}
