/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HPET legacy replacement routing: who drives ISA IRQ 0 and IRQ 8. platform_lock held. */
#pragma once
#include <stdbool.h>

/* True: the HPET's timers 0 and 1 own IRQ 0 and IRQ 8; the PIT and the RTC leave the wires alone. */
bool hpet_legacy_routing(void);

/* The routing changed: PIT and RTC take their wire again, or stop driving it. */
void pit_route_changed(void);
void rtc_route_changed(void);
