/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clients of the control server ask for (docs/control.md): commands, the log, the guest's
 * serial console, the freeze protocol (hv/experiment.h). Boot CPU.
 */
#pragma once
#include "net/control.h"

extern const struct control_handler remote_handler;
