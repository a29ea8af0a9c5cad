/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line on stderr that says how far things are; only if that is a terminal, or --progress. */
#pragma once

__attribute__((format(printf, 1, 2))) void progress(const char *f, ...); /* replaces the line */
void progress_hide(void); /* before anything else is printed */
