/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What C and assembly of the test kernels agree on. */
#pragma once
#define CPUS_MAX    8
#define STACK_SHIFT 16
#define STACK_SIZE  (1 << STACK_SHIFT) /* of each CPU, aligned to it */
#define RESTART	    0x8000	       /* where a CPU starts after a start-up IPI */
