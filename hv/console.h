/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The physical serial port, shared: the guest's console, or the prompt `stasis> ` (Ctrl-]
 * switches), or, before the guest runs, the boot log. While the prompt is open the guest's output
 * is kept (64 KiB, then the oldest goes) and shown when the prompt is left.
 *
 * Context: console_poll, out and console_flush on the boot CPU's loop; console_log from any CPU;
 * guest calls (hv/platform.h) with platform_lock held.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_ESCAPE 0x1d /* Ctrl-] */

void console_init(void);       /* boot: takes the UART's interrupt */
void console_guest_mode(void); /* the boot log ends, the guest's console begins */
void console_poll(void);
bool console_waiting(void); /* console_poll would have something to do */
void console_log(const char *line, bool always);
void console_flush(void); /* show what is kept of the guest's output */
/* A command's output; waits for room on the line (boot CPU, bounded by the port's speed). */
__attribute__((format(printf, 1, 2))) void out(const char *f, ...);
