/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ticket lock. The hypervisor runs with interrupts off, so there is no irqsave variant. NMI context
 * takes no lock. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct spinlock {
	uint16_t next, owner;
};

#define SPINLOCK_INIT ((struct spinlock){0, 0})

static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}

static inline void spin_lock(struct spinlock *l)
{
	uint16_t me = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) != me)
		cpu_relax();
}

static inline bool spin_trylock(struct spinlock *l)
{
	uint16_t me = __atomic_load_n(&l->owner, __ATOMIC_ACQUIRE);
	uint16_t expected = me;

	return __atomic_compare_exchange_n(&l->next, &expected, (uint16_t)(me + 1), false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void spin_unlock(struct spinlock *l)
{
	__atomic_store_n(&l->owner, (uint16_t)(l->owner + 1), __ATOMIC_RELEASE);
}
