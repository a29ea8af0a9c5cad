/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of stasisctl. Each returns the exit status. */
#pragma once

int command_status(void);
int command_freeze(void);
int command_thaw(void);
int command_time(void);
int command_log(void);
int command_console(void);
int command_run(void);
