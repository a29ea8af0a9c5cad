/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to the node as a whole: reset, power-off, a guest that is finished. Requests come
 * from any CPU and only set a mark; the boot CPU carries them out in its loop.
 */
#pragma once
#include <stdbool.h>

enum node_action { NODE_NOTHING, NODE_RESET, NODE_POWEROFF };

void node_request(enum node_action a,
		  const char *why); /* any CPU; `why` is a literal; the first request wins */
void node_act(void);		    /* boot CPU's loop; does not return if anything is asked */
__attribute__((noreturn)) void
node_cpu_stop(void);		    /* this CPU leaves virtualization and halts for good */
const char *node_guest_ended(void); /* why the guest stopped for good, NULL while it lives */
