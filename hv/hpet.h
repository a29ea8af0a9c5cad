/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The HPET's identity, and its legacy replacement routing: who drives ISA IRQ 0 and IRQ 8.
 * platform_lock held. */
#pragma once
#include <stdbool.h>

/* Low half of the capabilities register: vendor, LEG_RT_CAP, 64 bits, number of the last timer,
 * revision. */
#define HPET_TIMERS   3u
#define HPET_BLOCK_ID (0x8086u << 16 | 1u << 15 | 1u << 13 | (HPET_TIMERS - 1) << 8 | 1u)

/* True: the HPET's timers 0 and 1 own IRQ 0 and IRQ 8; the PIT and the RTC leave the wires alone.
 */
bool hpet_legacy_routing(void);

/* The routing changed: PIT and RTC take their wire again, or stop driving it. */
void pit_route_changed(void);
void rtc_route_changed(void);
