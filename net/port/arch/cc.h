/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lwIP's <lwip/arch.h> asks of the platform beyond what a compiler knows. Included by lwIP
 * only. */
#pragma once
#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#define LWIP_NO_UNISTD_H 1
#ifndef SSIZE_MAX /* newlib has ssize_t, but not this */
#define SSIZE_MAX LONG_MAX
#endif

/* net/stack.c */
uint32_t stack_random(void);
__attribute__((noreturn)) void stack_broken(const char *what);

#define LWIP_RAND()		stack_random()
#define LWIP_PLATFORM_DIAG(x)	((void)0)
#define LWIP_PLATFORM_ASSERT(x) stack_broken(x)
