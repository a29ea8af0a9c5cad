/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a hypervisor that found itself broken. Output is polled and takes no lock. The report
 * is a list of stages; a fault inside one is reported in one line, and the next stage goes on.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "arch/x86_64/internal.h"
#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/trap.h"
#include "hv/log.h"

#define LINE_MAX     512
#define FRAMES_MAX   32
#define NOBODY	     UINT32_MAX
#define STOP_WAITS   1000
#define STOP_WAIT_US 100

static const char *const exception_names[32] = {
	"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9",   "#TS",
	"#NP", "#SS", "#GP", "#PF", "15",  "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
	"22",  "23",  "24",  "25",  "26",  "27",  "#HV", "#VC", "#SX", "31",
};

bool panic_active;
void (*panic_hook)(void);

static uint32_t owner = NOBODY;
static uint32_t stopped;
static struct trap_frame frame;
static unsigned stage;

/* newlib ends lines with \n; a terminal wants \r\n */
static void put(const char *s)
{
	char pair[2] = {0, 0};

	for (; *s; s++) {
		if (*s == '\n')
			uart_put_polled("\r");
		pair[0] = *s;
		uart_put_polled(pair);
	}
}

static void vprintf_polled(const char *fmt, va_list ap)
{
	char line[LINE_MAX];

	vsniprintf(line, sizeof(line), fmt, ap);
	put(line);
}

void panic_printf(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf_polled(fmt, ap);
	va_end(ap);
}

/* VMXOFF or EFER.SVME off (GIF on), whichever applies; harmless otherwise; any context. */
static void cpu_virt_off(void)
{
	if (read_cr4() & CR4_VMXE) {
		/* #UD if VMXON hasn't been executed */
		asm volatile("1:\tvmxoff\n"
			     "2:\n\t"
			     ".pushsection .extable, \"a\"\n\t"
			     ".quad 1b, 2b\n\t"
			     ".popsection"
			     :
			     :
			     : "cc", "memory");
		write_cr4(read_cr4() & ~CR4_VMXE);
	}
	if (rdmsr(MSR_EFER) & EFER_SVME) {
		asm volatile("stgi" : : : "memory");
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	}
}

void cpu_stop(void)
{
	cpu_virt_off();
	__atomic_fetch_add(&stopped, 1, __ATOMIC_RELEASE);
	for (;;)
		asm volatile("cli; hlt" : : : "memory");
}

static void stop_others(void)
{
	unsigned others = 0;

	if (!lapic_ready())
		return;
	for (unsigned i = 0; i < cpu_count(); i++) {
		struct cpu *c = cpu_get(i);

		if (c == this_cpu() || !c->online)
			continue;
		__atomic_fetch_or(&c->nmi_ours, NMI_PANIC, __ATOMIC_RELEASE);
		lapic_send_nmi(c->apic_id);
		others++;
	}
	for (unsigned i = 0; i < STOP_WAITS && __atomic_load_n(&stopped, __ATOMIC_ACQUIRE) < others;
	     i++)
		tsc_delay_us(STOP_WAIT_US);
}

static void show_symbol(void (*out)(const char *fmt, ...), uint64_t addr)
{
	uint64_t offset;
	const char *name = symbol_name(addr, &offset);

	out("  %016llx %s+0x%llx\n", (unsigned long long)addr, name, (unsigned long long)offset);
}

static void to_log(const char *fmt, ...)
{
	char line[LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsniprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	line[strcspn(line, "\n")] = '\0';
	log_at(LOG_ERROR, "%s", line);
}

/* To the log, or to the panic's screen. */
static void stack_trace(uint64_t rip, uint64_t rbp)
{
	void (*out)(const char *fmt, ...) = panic_active ? panic_printf : to_log;

	show_symbol(out, rip);
	for (unsigned i = 0; i < FRAMES_MAX; i++) {
		const uint64_t *link = (const uint64_t *)rbp;

		/* frames lie upwards, aligned, and in mapped memory; 0 ends the chain */
		if (rbp % 8 != 0 || !paging_is_mapped(rbp) || !paging_is_mapped(rbp + 15) ||
		    link[1] < (uint64_t)__text_start || link[1] >= (uint64_t)__text_end)
			break;
		show_symbol(out, link[1]);
		if (link[0] <= rbp)
			break;
		rbp = link[0];
	}
}

static void show_registers(void)
{
	const struct trap_frame *f = &frame;
	uint64_t offset;
	const char *name = symbol_name(f->rip, &offset);

#define Q(x) ((unsigned long long)(x))
	panic_printf("RIP %016llx %s+0x%llx\n", Q(f->rip), name, Q(offset));
	panic_printf("RAX %016llx RBX %016llx RCX %016llx RDX %016llx\n", Q(f->rax), Q(f->rbx),
		     Q(f->rcx), Q(f->rdx));
	panic_printf("RSI %016llx RDI %016llx RBP %016llx RSP %016llx\n", Q(f->rsi), Q(f->rdi),
		     Q(f->rbp), Q(f->rsp));
	panic_printf("R8  %016llx R9  %016llx R10 %016llx R11 %016llx\n", Q(f->r8), Q(f->r9),
		     Q(f->r10), Q(f->r11));
	panic_printf("R12 %016llx R13 %016llx R14 %016llx R15 %016llx\n", Q(f->r12), Q(f->r13),
		     Q(f->r14), Q(f->r15));
	panic_printf("RFLAGS %08llx CS %04llx SS %04llx vector %llu error %llx\n", Q(f->rflags),
		     Q(f->cs), Q(f->ss), Q(f->vector), Q(f->error));
}

static void show_control(void)
{
	panic_printf("CR0 %08llx CR2 %016llx CR3 %012llx CR4 %08llx EFER %04llx\n", Q(read_cr0()),
		     Q(read_cr2()), Q(read_cr3()), Q(read_cr4()), Q(rdmsr(MSR_EFER)));
	panic_printf("GS %016llx TSC %llu (%llu Hz)\n", Q(rdmsr(MSR_GS_BASE)), Q(rdtsc()),
		     Q(tsc_hz()));
#undef Q
}

static void show_trace(void)
{
	panic_printf("stack:\n");
	stack_trace(frame.rip, frame.rbp);
}

static bool with_banks;

void panic_shows_banks(void)
{
	with_banks = true;
}

static void show_machine_check(void)
{
	if (frame.vector == VEC_MC || with_banks)
		mce_report();
}

static void call_hook(void)
{
	if (panic_hook)
		panic_hook();
}

static void (*const stages[])(void) = {
	show_registers, show_control, show_machine_check, show_trace, call_hook,
};

__attribute__((noreturn)) static void report(const struct trap_frame *f, const char *fmt,
					     va_list ap)
{
	uint32_t me, free_owner = NOBODY;

	cli();
	me = this_cpu()->index;
	if (!__atomic_compare_exchange_n(&owner, &free_owner, me, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		if (free_owner != me)
			cpu_stop();
		panic_printf("\nfault inside the panic, at %016llx: ", (unsigned long long)f->rip);
		vprintf_polled(fmt, ap);
		panic_printf("\n");
	} else {
		panic_active = true;
		frame = *f;
		stop_others();
		uart_flush_polled();
		panic_printf("\nstasis: PANIC: ");
		vprintf_polled(fmt, ap);
		panic_printf(" (CPU %u)\n", me);
	}
	while (stage < sizeof(stages) / sizeof(stages[0]))
		stages[stage++]();
	panic_printf("stasis: halted\n");
	uart_flush_polled();
	cpu_stop();
}

__attribute__((noreturn, format(printf, 2, 3))) static void panic_at(const struct trap_frame *f,
								     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(f, fmt, ap);
}

void panic_trap(const struct trap_frame *f)
{
	if (f->vector == VEC_PF)
		panic_at(f, "#PF (error 0x%llx) on 0x%llx", (unsigned long long)f->error,
			 (unsigned long long)read_cr2());
	panic_at(f, "%s (error 0x%llx)", exception_names[f->vector & 31],
		 (unsigned long long)f->error);
}

void panic(const char *fmt, ...)
{
	struct trap_frame f = {0};
	va_list ap;

	asm volatile(
		"movq %%rbx, %0; movq %%r12, %1; movq %%r13, %2; movq %%r14, %3; movq %%r15, %4"
		: "=m"(f.rbx), "=m"(f.r12), "=m"(f.r13), "=m"(f.r14), "=m"(f.r15));
	asm volatile("pushfq; popq %0; movl %%cs, %k1; movl %%ss, %k2"
		     : "=r"(f.rflags), "=r"(f.cs), "=r"(f.ss));
	f.rip = (uint64_t)__builtin_return_address(0);
	f.rbp = *(const uint64_t *)__builtin_frame_address(0);
	f.rsp = (uint64_t)__builtin_frame_address(0) + 16;
	va_start(ap, fmt);
	report(&f, fmt, ap);
}
