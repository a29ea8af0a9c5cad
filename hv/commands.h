/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files hv/commands*.c share. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef unsigned long long ull;

#define HEAD "{\"version\":1,"

uint64_t host_ticks_to_ns(uint64_t ticks);
const char *node_state_name(void);
/* A string into JSON: quotes, backslashes and control characters escaped. */
void out_json_string(const char *s);
/* The command could not be carried out: a line, or an object with the member `error`. Returns 0. */
__attribute__((format(printf, 2, 3))) int command_failed(bool json, const char *why, ...);

/* Members, with a comma before; lines (hv/commands_experiment.c). */
void experiment_json(void);
void experiment_text(void);
void shared_time_json(void);
void shared_time_text(void);

int cmd_status(int argc, char **argv, bool json);
int cmd_time(int argc, char **argv, bool json);
int cmd_freeze(int argc, char **argv, bool json);
int cmd_thaw(int argc, char **argv, bool json);
int cmd_freezes(int argc, char **argv, bool json);
int cmd_exits(int argc, char **argv, bool json);
int cmd_trace(int argc, char **argv, bool json);
int cmd_net(int argc, char **argv, bool json);
int cmd_nic(int argc, char **argv, bool json);
int cmd_disk(int argc, char **argv, bool json);
