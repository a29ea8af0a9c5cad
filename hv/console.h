/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The physical serial port, shared: the guest's console, or the prompt `stasis> ` (Ctrl-]
 * switches), or, before the guest runs, the boot log.
 *
 * The guest's output goes through a buffer of 64 KiB. While the prompt is open it stays there (when
 * it is full, the oldest goes, counted); when the prompt is left it is shown, in order, at the
 * line's speed, and a guest that writes faster waits for its UART. What is typed for the guest
 * waits in a buffer of 128 KiB until the guest's UART takes it, also through a freeze. When that is
 * half full, the sender is asked to wait by RTS; when it is full, more is dropped and counted, for
 * Ctrl-] must always get through.
 *
 * A command's output goes where it was given (hv/execute.h). What is typed at the prompt while one
 * runs that was given there waits. Lines of the log that would come into the middle of its output
 * (of a line; of all it says, with --json) are shown after it.
 *
 * Context: console_poll, out and console_flush on the boot CPU's loop; console_log from any CPU;
 * guest calls (hv/platform.h) with platform_lock held.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_ESCAPE 0x1d /* Ctrl-] */

void console_init(void);       /* boot: takes the UART's interrupt */
void console_guest_mode(void); /* the boot log ends, the guest's console begins */
void console_poll(void);
bool console_waiting(void); /* console_poll would have something to do */
/* Host tick at which console_poll has to be called for the next slice; HOST_NEVER. Boot CPU. */
uint64_t console_due(void);
void console_log(const char *line, bool always);
void console_flush(void); /* the end: show what is kept of the guest's output */
struct console_counts {
	uint64_t input_waiting, input_lost;   /* bytes typed for the guest */
	uint64_t output_waiting, output_lost; /* bytes that the guest wrote */
	uint64_t overruns;		      /* of the physical port */
};
void console_counts(struct console_counts *c);
/* A second listener to the guest's output, and a second keyboard: boot CPU's loop. What it does not
 * fetch soon enough is dropped, the oldest first. */
void console_tap(bool on);
size_t console_tapped(char *buf, size_t n, uint64_t *lost); /* bytes; lost: in all since `on` */
void console_type(const char *s, size_t n);
/* A command's output, at whose end it may let the guest go on; waits for room on the line (boot
 * CPU, bounded by the port's speed). No lock held. */
__attribute__((format(printf, 1, 2))) void out(const char *f, ...);
