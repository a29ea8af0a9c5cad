/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How an epoch went, told to the operator. */
#pragma once
#include "tools/ctl/ctl.h"
#include "tools/ctl/epoch.h"

/* One line on stdout (JSON or text), and the nodes that spoiled it. `frozen`: it is not over, all
 * stand. Returns the exit status that it deserves. */
int verdict_put(struct epoch *e, const char *command, bool frozen);
/* Whether the node keeps the others from thawing in the round that failed. */
bool verdict_blocks_thaw(const struct epoch *e, uint32_t node);
/* How many nodes are in which state, for the progress line. */
void verdict_progress(struct epoch *e);
