/* build: hv/console.c hv/execute.c hv/lineedit.c storage/fiber.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console against a UART and a guest that the test plays. */
#include "test/unit/check.h"
#include "test/unit/console_rig.h"

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
	RUN(the_end_shows_what_is_left);
	return check_result();
}
