/* build: hv/console.c hv/execute.c hv/lineedit.c storage/fiber.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands and a second console that come over the network, beside the prompt. */
#include "test/unit/check.h"
#include "test/unit/console_rig.h"

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
	static char heard[2 * 16384], thousand[1000];
	uint64_t lost;
	size_t n;

	memset(thousand, 'x', sizeof(thousand));
	restart();
	console_tap(true);
	guest_prints("hello", 5);
	CHECK(t.requested);
	loop();
	CHECK_EQ(t.kicks, 1);
	n = console_tapped(heard, sizeof(heard), &lost);
	CHECK(n == 5 && memcmp(heard, "hello", 5) == 0 && !lost);
	for (unsigned i = 0; i < 17; i++)
		guest_prints(thousand, sizeof(thousand));
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

int main(void)
{
	RUN(commands_from_elsewhere_take_turns_with_the_prompt);
	RUN(a_second_listener_hears_the_guest_and_types);
	return check_result();
}
