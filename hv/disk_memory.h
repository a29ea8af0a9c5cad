/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heap that storage/'s malloc takes from: a part of the hypervisor's memory. Boot CPU. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

bool disk_memory_init(size_t bytes); /* boot; false: there is not so much */
