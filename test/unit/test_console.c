/* build: hv/console.c hv/execute.c hv/lineedit.c storage/fiber.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console against a UART and a guest that the test plays. */
#include <stdarg.h>
#include <stdlib.h>
#include "arch/x86_64/arch.h"
#include "arch/x86_64/spinlock.h"
#include "hv/command.h"
#include "hv/console.h"
#include "hv/execute.h"
#include "hv/freeze.h"
#include "hv/lineedit.h"
#include "hv/log.h"
#include "hv/platform.h"
#include "hv/vcpu.h"
#include "net/control.h"
#include "storage/fiber.h"
#include "test/unit/check.h"

#define UART_RING  262144u
#define GUEST_FIFO 16
#define HZ	   1000000000ull
#define US	   1000ull /* host ticks */

struct spinlock platform_lock;

static struct {
	/* the line */
	char out[1 << 20];
	size_t out_len, sent; /* in the ring: sent..out_len */
	bool rx_off, sender_waits;
	/* the guest */
	char typed[1 << 19];
	size_t typed_len, fifo_room;
	unsigned tx_room;
	/* the rest */
	enum freeze_state state;
	bool requested;
	unsigned commands, errors, kicks;
	bool running;
	char command[LINE_SIZE];
	uint64_t now;
	unsigned lines; /* that the next command prints, each in LINE_US */
	unsigned slices;
	uint64_t longest_slice;
	unsigned news; /* lines of the log that come in the middle of the next command's output */
} t;

#define LINE_US 5

static bool (*rx)(uint8_t byte);
static void (*drained)(void);

void uart_irq_enable(bool (*rx_hook)(uint8_t byte), void (*drained_hook)(void))
{
	rx = rx_hook;
	drained = drained_hook;
}

void uart_rx_on(void)
{
	t.rx_off = false;
}

void uart_sender_waits(bool wait)
{
	t.sender_waits = wait;
}

uint64_t uart_overruns(void)
{
	return 7;
}

size_t uart_waiting(void)
{
	return t.out_len - t.sent;
}

size_t uart_write(const void *buf, size_t n)
{
	size_t room = UART_RING - uart_waiting();

	n = n < room ? n : room;
	memcpy(t.out + t.out_len, buf, n);
	t.out_len += n;
	return n;
}

/* The line sends all that is in its ring, and what comes after. */
static void line_sends(void)
{
	while (uart_waiting()) {
		t.sent = t.out_len;
		drained();
	}
}

void irq_window(void)
{
	line_sends();
}

struct vcpu *vcpu_get(unsigned index)
{
	(void)index;
	return NULL;
}

void vcpu_request(struct vcpu *v, uint32_t req)
{
	(void)v;
	CHECK_EQ(req, VCPU_REQ_CONSOLE);
	t.requested = true;
}

void panic(const char *f, ...)
{
	(void)f;
	abort();
}

uint64_t tsc_hz(void)
{
	return HZ;
}

uint64_t node_host_ticks(void)
{
	return t.now;
}

void *heap_alloc(size_t bytes)
{
	return malloc(bytes);
}

void fiber_overflow(void)
{
	abort();
}

enum freeze_state freeze_state(void)
{
	return t.state;
}

bool freeze_open(void)
{
	return t.state == NODE_FROZEN;
}

bool vuart_receive(uint8_t c)
{
	if (!t.fifo_room)
		return false;
	t.fifo_room--;
	t.typed[t.typed_len++] = (char)c;
	return true;
}

void vuart_tx_room(void)
{
	t.tx_room++;
}

bool command_wants_json(const char *line)
{
	return strstr(line, "--json");
}

/* Half a line, and what the log says then; more lines of both. */
static void interrupted_output(void)
{
	char text[100];

	for (int half = 0; half < 2; half++) {
		out("half ");
		for (unsigned i = 0; i < t.news; i++) {
			(void)snprintf(text, sizeof(text), "news %d.%u", half, i);
			console_log(text, false);
		}
		out("a line\n");
	}
}

bool command_run(char *line)
{
	t.running = true;
	t.commands++;
	(void)snprintf(t.command, sizeof(t.command), "%s", line);
	for (unsigned i = 0, n = t.lines; i < n; i++) {
		t.now += LINE_US * US;
		out("line %u\n", i);
	}
	if (t.news)
		interrupted_output();
	t.running = false;
	return true;
}

void control_kick(void)
{
	t.kicks++;
}

const char *command_complete(const char *line, size_t len)
{
	(void)line, (void)len;
	return NULL;
}

void log_at(enum log_level level, const char *f, ...)
{
	char line[200];
	va_list ap;

	va_start(ap, f);
	(void)vsnprintf(line, sizeof(line), f, ap);
	va_end(ap);
	t.errors++;
	console_log(line, level == LOG_ERROR);
}

static void loop(void)
{
	while (t.requested) {
		t.requested = false;
		console_poll();
	}
}

/* The boot CPU's loop until no command runs. */
static void finish_command(void)
{
	while (console_due() != HOST_NEVER) {
		uint64_t begin;

		t.now = begin = console_due();
		console_poll();
		t.slices++;
		if (t.now - begin > t.longest_slice)
			t.longest_slice = t.now - begin;
	}
}

/* As long as the port reads; the rest stays with the sender. */
static size_t type_n(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && !t.rx_off)
		t.rx_off = !rx((uint8_t)s[i++]);
	return i;
}

static void type(const char *s)
{
	CHECK_EQ(type_n(s, strlen(s)), strlen(s));
	loop();
}

static void guest_prints(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(console_guest_putc((uint8_t)s[i])); /* it has not to wait */
}

static bool shown(const char *s)
{
	line_sends();
	t.out[t.out_len] = 0;
	return strstr(t.out, s);
}

/* Both FIFOs empty, the guest reads what it gets, the guest's console is on. */
static void restart(void)
{
	if (!rx)
		console_init();
	t.state = NODE_RUNNING;
	t.fifo_room = sizeof(t.typed);
	console_guest_mode();
	t.requested = true;
	loop();
	line_sends();
	memset(t.out, 0, sizeof(t.out));
	t.out_len = t.sent = t.typed_len = 0;
	t.commands = t.tx_room = t.errors = t.lines = t.slices = t.news = 0;
	t.longest_slice = 0;
	t.requested = false;
}

static struct console_counts counts(void)
{
	struct console_counts c;

	console_counts(&c);
	return c;
}

static char pattern[300000];

static void every_byte_but_the_escape_reaches_the_guest(void)
{
	restart();
	for (int c = 0; c < 256; c++) {
		char b = (char)c;

		if (c != CONSOLE_ESCAPE)
			CHECK_EQ(type_n(&b, 1), 1);
	}
	loop();
	CHECK_EQ(t.typed_len, 255);
	for (int i = 0; i < 255; i++)
		CHECK_EQ((uint8_t)t.typed[i], i < CONSOLE_ESCAPE ? i : i + 1);
	CHECK_EQ(t.out_len, 0);
}

static void the_escape_switches_within_a_paste(void)
{
	restart();
	type("for the guest\x1dstatus\rtime\r\x1d"
	     "for the guest again");
	CHECK_EQ(t.commands, 2);
	CHECK_STR(t.command, "time");
	CHECK(!memcmp(t.typed, "for the guestfor the guest again", t.typed_len));
	CHECK_EQ(t.typed_len, 32);
	CHECK(shown("stasis> \x1b[Kstatus\r\n"));
}

static void a_slow_guest_gets_all_of_a_long_paste(void)
{
	size_t n = 65536, sent = 0;

	restart();
	t.fifo_room = GUEST_FIFO;
	for (unsigned turn = 0; t.typed_len < n && turn < 100000; turn++) {
		sent += type_n(pattern + sent, n - sent);
		loop();
		t.fifo_room = GUEST_FIFO;
		console_guest_rx_room();
		loop();
	}
	CHECK_EQ(t.typed_len, n);
	CHECK(!memcmp(t.typed, pattern, n));
	CHECK_EQ(counts().input_lost, 0);
	CHECK_EQ(counts().input_waiting, 0);
}

static void input_waits_for_the_thaw(void)
{
	restart();
	t.state = NODE_FROZEN;
	CHECK_EQ(type_n(pattern, 1000), 1000);
	loop();
	CHECK_EQ(t.typed_len, 0);
	CHECK(console_waiting());
	type("\x1d");
	CHECK(shown("stasis> "));
	type("\x1d");
	CHECK(shown("the guest is frozen"));
	t.state = NODE_RUNNING;
	console_poll();
	CHECK_EQ(t.typed_len, 1000);
	CHECK(!memcmp(t.typed, pattern, 1000));
	CHECK(!console_waiting());
}

static void input_that_nobody_takes_is_bounded_and_counted(void)
{
	size_t sent = 0;

	restart();
	t.fifo_room = 0;
	while (sent < 65536) {
		sent += type_n(pattern + sent, 65536 - sent);
		loop();
	}
	CHECK(!t.sender_waits);
	while (sent < 200000) { /* a sender that doesn't look at RTS */
		sent += type_n(pattern + sent, 200000 - sent);
		loop();
	}
	CHECK(t.sender_waits);
	CHECK_EQ(counts().input_waiting, 131072);
	CHECK_EQ(counts().input_lost, 200000 - 131072);
	CHECK(shown("does not take its input"));
	type("\x1d"); /* there is always a way to the prompt */
	CHECK(shown("stasis> "));
	type("\x1d");
	t.fifo_room = sizeof(t.typed);
	console_guest_rx_room();
	loop();
	CHECK_EQ(t.typed_len, 131072);
	CHECK(!memcmp(t.typed, pattern, 131072));
	CHECK(!t.sender_waits);
	CHECK(shown("console: 68928 bytes typed for the guest were dropped"));
	CHECK_EQ(t.errors, 2);
}

static void the_port_is_not_read_while_a_command_runs_too_long(void)
{
	restart();
	CHECK_EQ(type_n(pattern, 50000), 16384); /* no loop meanwhile */
	CHECK(t.rx_off);
	loop();
	CHECK(!t.rx_off);
	CHECK_EQ(t.typed_len, 16384);
}

static void output_keeps_its_order_around_the_prompt(void)
{
	restart();
	guest_prints("before,", 7);
	type("\x1d");
	line_sends();
	guest_prints("meanwhile,", 10);
	CHECK(!shown("meanwhile"));
	CHECK_EQ(counts().output_waiting, 10);
	type("x\r\x1d");
	guest_prints("after", 5);
	CHECK(shown("before,"));
	CHECK(shown("\r\nmeanwhile,after"));
	CHECK_EQ(counts().output_lost, 0);
}

static void too_much_output_costs_the_oldest(void)
{
	uint64_t lost = counts().output_lost;

	restart();
	type("\x1d");
	guest_prints(pattern, 65536 + 1000);
	CHECK_EQ(counts().output_lost - lost, 1000);
	line_sends();
	type("\x1d");
	CHECK(shown("[stasis: 1000 bytes of the guest's output were dropped]\r\n"));
	CHECK_EQ(t.out_len - (strstr(t.out, "dropped]\r\n") + 10 - t.out), 65536);
	CHECK(!memcmp(t.out + t.out_len - 65536, pattern + 1000, 65536));
	type("\x1d\x1d");
	CHECK(!strstr(strstr(t.out, "dropped]") + 8, "dropped]")); /* said once */
}

/* The guest's UART waits, and few bytes are between the guest and the line. */
static void a_slow_line_holds_the_guest_up(void)
{
	size_t n = 0;

	restart();
	while (n < sizeof(pattern) && console_guest_putc((uint8_t)pattern[n]))
		n++;
	CHECK(n >= 65536 && n < 65536 + 1024);
	CHECK(uart_waiting() < 1024);
	CHECK_EQ(t.tx_room, 0);
	line_sends();
	loop();
	CHECK_EQ(t.tx_room, 1);
	CHECK_EQ(counts().output_waiting, 0);
	while (n < sizeof(pattern) && console_guest_putc((uint8_t)pattern[n]))
		n++;
	type("\x1d");
	CHECK(uart_waiting() < 1024); /* the prompt is not behind 64 KiB */
	CHECK_EQ(t.tx_room, 2);	      /* and the guest doesn't wait for it */
	line_sends();
	CHECK_EQ(counts().output_waiting, 65536);
	type("\x1d");
	line_sends();
	loop();
	CHECK_EQ(t.tx_room, 2);
	guest_prints(pattern + n, 1000);
	line_sends();
	CHECK(!memcmp(t.out + t.out_len - 1000, pattern + n, 1000));
	CHECK_EQ(counts().output_waiting, 0);
}

static void log_lines_leave_the_guest_alone_unless_they_must(void)
{
	restart();
	console_log("a remark", false);
	CHECK_EQ(t.out_len, 0);
	console_log("trouble", true);
	CHECK(shown("\r\nstasis: trouble\r\n"));
	type("\x1dsta");
	console_log("a remark", false);
	loop();
	CHECK(shown("stasis: a remark\r\n\rstasis> sta\x1b[K")); /* the line is drawn again */
	type("\x1d");
}

#define NEWS(n) "\r\nstasis: news " n "\r\n"

static void log_lines_wait_for_the_end_of_a_commands_line(void)
{
	restart();
	t.news = 2;
	type("\x1dx\r");
	CHECK(shown("half a line\r\n" NEWS("0.0") NEWS("0.1") "half a line\r\n" NEWS("1.0")
			    NEWS("1.1") "\rstasis> "));
	type("\x1d");
}

static void log_lines_wait_for_the_end_of_json(void)
{
	restart();
	t.news = 2;
	type("\x1dx --json\r");
	CHECK(shown("x --json\r\nhalf a line\r\nhalf a line\r\n" NEWS("0.0") NEWS("0.1") NEWS("1.0")
			    NEWS("1.1") "\rstasis> "));
	console_log("after that", false);
	loop();
	CHECK(shown("\r\nstasis: after that\r\n\rstasis> "));
	t.news = 1000; /* more than are kept */
	type("x --json\r");
	CHECK(shown("half a line\r\nhalf a line\r\n" NEWS("0.0")));
	CHECK(shown(" more lines are in the log]\r\n\rstasis> "));
	CHECK(!shown(NEWS("1.999")));
	type("\x1d");
}

static void a_long_command_leaves_the_guest_its_cpu(void)
{
	restart();
	t.lines = 1000;
	type("\x1dlong\r");
	CHECK_EQ(console_due(), t.now + 1000 * US);
	type("next\r"); /* waits */
	console_poll(); /* it is not time for a slice */
	CHECK_EQ(t.commands, 1);
	CHECK(t.running && !shown("line 10\r\n"));
	t.lines = 0;
	t.slices = 0;
	finish_command();
	CHECK_EQ(t.commands, 2);
	CHECK_STR(t.command, "next");
	CHECK(shown("line 999\r\n\rstasis> \x1b[Knext"));
	CHECK_EQ(t.longest_slice, 20 * US);
	CHECK_EQ(t.slices, 1000 * LINE_US / 20); /* the first was begun by Enter */
	type("\x1d");
}

/* More than fits into the UART's ring. */
static void a_command_waits_for_the_line(void)
{
	restart();
	t.lines = 30000;
	t.state = NODE_FROZEN; /* nobody needs the CPU */
	type("\x1dlong\r");
	CHECK_EQ(console_due(), t.now + 20 * US);
	for (unsigned i = 0; i < 30000 && console_due() != HOST_NEVER; i++) {
		t.now = console_due();
		console_poll();
	}
	CHECK_EQ(uart_waiting(), UART_RING);
	CHECK(t.running);
	line_sends();
	finish_command();
	CHECK(!t.running && shown("line 29999\r\n\rstasis> "));
	t.state = NODE_RUNNING;
	type("\x1d");
}

/* --- commands and a console from elsewhere --- */

static struct {
	char out[4096];
	size_t n, room;
	unsigned done;
	bool flushed;
} far;

static size_t far_write(struct execution *e, const char *s, size_t n)
{
	(void)e;
	n = n < far.room ? n : far.room;
	memcpy(far.out + far.n, s, n);
	far.n += n;
	far.room -= n;
	return n;
}

static bool far_flush(struct execution *e)
{
	(void)e;
	far.flushed = far.room > 0;
	return far.flushed;
}

static void far_done(struct execution *e, bool ok)
{
	(void)e;
	CHECK(ok && far.flushed);
	far.done++;
}

static void slices(unsigned n)
{
	while (n-- && console_due() != HOST_NEVER) {
		t.now = console_due();
		console_poll();
	}
}

static void commands_from_elsewhere_take_turns_with_the_prompt(void)
{
	char a[] = "first", b[] = "second", c[] = "third";
	struct execution first = {
		.line = a, .write = far_write, .flush = far_flush, .done = far_done};
	struct execution second = first, third = first;

	restart();
	memset(&far, 0, sizeof(far));
	second.line = b;
	third.line = c;
	t.lines = 3;
	execute_submit(&first);
	execute_submit(&second);
	execute_submit(&third);
	type("\x1dlocal\r");
	slices(50);
	CHECK_STR(t.command, "first"); /* nobody reads: it waits, and so do the others */
	CHECK(!execute_withdraw(&first) && execute_withdraw(&second) && !execute_withdraw(&second));
	far.room = 10;
	slices(50);
	CHECK_EQ(far.n, 10);
	CHECK_EQ(far.done, 0);
	far.room = sizeof(far.out) - far.n;
	finish_command();
	CHECK_EQ(far.done, 2);
	CHECK_STR(far.out, "line 0\nline 1\nline 2\nline 0\nline 1\nline 2\n");
	CHECK_STR(t.command, "local");
	CHECK(shown("line 2\r\n\rstasis> "));
	type("\x1d");
}

static void a_second_listener_hears_the_guest_and_types(void)
{
	static char heard[2 * 16384];
	uint64_t lost;
	size_t n;

	restart();
	console_tap(true);
	guest_prints("hello", 5);
	CHECK(t.requested);
	loop();
	CHECK_EQ(t.kicks, 1);
	n = console_tapped(heard, sizeof(heard), &lost);
	CHECK(n == 5 && memcmp(heard, "hello", 5) == 0 && !lost);
	for (unsigned i = 0; i < 17; i++)
		guest_prints(pattern, 1000);
	n = console_tapped(heard, sizeof(heard), &lost);
	CHECK_EQ(n, 16384);
	CHECK_EQ(lost, 17000 - 16384);
	t.fifo_room = 3;
	console_type("typed", 5);
	loop();
	CHECK_EQ(t.typed_len, 3);
	t.fifo_room = 16;
	console_guest_rx_room();
	loop();
	CHECK(t.typed_len == 5 && memcmp(t.typed, "typed", 5) == 0);
	console_tap(false);
	guest_prints("unheard", 7);
	CHECK_EQ(console_tapped(heard, sizeof(heard), &lost), 0);
}

static void the_end_shows_what_is_left(void)
{
	restart();
	type("\x1d");
	guest_prints("last words", 10);
	console_flush();
	CHECK(shown("last words"));
	CHECK_EQ(counts().output_waiting, 0);
	CHECK_EQ(counts().overruns, 7);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)('!' + i * i % 89);
	RUN(every_byte_but_the_escape_reaches_the_guest);
	RUN(the_escape_switches_within_a_paste);
	RUN(a_slow_guest_gets_all_of_a_long_paste);
	RUN(input_waits_for_the_thaw);
	RUN(input_that_nobody_takes_is_bounded_and_counted);
	RUN(the_port_is_not_read_while_a_command_runs_too_long);
	RUN(output_keeps_its_order_around_the_prompt);
	RUN(too_much_output_costs_the_oldest);
	RUN(a_slow_line_holds_the_guest_up);
	RUN(log_lines_leave_the_guest_alone_unless_they_must);
	RUN(log_lines_wait_for_the_end_of_a_commands_line);
	RUN(log_lines_wait_for_the_end_of_json);
	RUN(a_long_command_leaves_the_guest_its_cpu);
	RUN(a_command_waits_for_the_line);
	RUN(commands_from_elsewhere_take_turns_with_the_prompt);
	RUN(a_second_listener_hears_the_guest_and_types);
	RUN(the_end_shows_what_is_left);
	return check_result();
}
