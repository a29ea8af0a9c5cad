# SPDX-License-Identifier: GPL-2.0-or-later
"""An idle guest with one CPU in deterministic time: its exits, which all have to be its own doing."""
import collections
import re

from node import check

MARK = 0x80 << 16  # a port in what the trace says of an I/O exit
# What the guest's own timer causes, at most once for each of its interrupts; and what comes from outside.
TIMER_EXITS = {"qemu": {"INTR"}, "bochs": {"PREEMPTION_TIMER"}}
OUTSIDE_EXITS = {"qemu": {"NMI", "SMI", "INIT"}, "bochs": {"EXTERNAL_INTERRUPT", "EXCEPTION_OR_NMI", "INIT_SIGNAL"}}
LIMIT = {"qemu": 7, "bochs": 3.5}  # exits per timer interrupt


def idle_exits(n):
    """Timer interrupts of a guest that sleeps for ten seconds, and all exits meanwhile by reason."""
    out = n.run("/tests/bench idle", timeout=900)
    found = re.search(r"idle_interrupts (\d+)", out)
    check(found, f"the bench program says nothing about timer interrupts:\n{out}")
    trace = n.ask("trace dump 1024")["trace"]
    marks = [i for i, e in enumerate(trace) if "IO" in e["reason"] and e["info"] & 0xFFFF0000 == MARK]
    check(len(marks) >= 2, "the ten seconds are not in the trace of exits")
    window = trace[marks[-2] + 1 : marks[-1]]
    return int(found[1]), collections.Counter(e["reason"] for e in window)


def not_its_own(emu, interrupts, reasons):
    """Exits that the guest did not cause, each kind as a line."""
    strangers = [f"{emu} idle: {reasons[r]} exits {r}" for r in OUTSIDE_EXITS[emu] if reasons[r]]
    timers = sum(reasons[r] for r in TIMER_EXITS[emu])
    # One may fall between a mark and the program's look at /proc/interrupts.
    if timers > interrupts + 1:
        strangers.append(f"{emu} idle: {timers} exits for {interrupts} timer interrupts")
    return strangers


def check_idle(n):
    interrupts, reasons = idle_exits(n)
    strangers = not_its_own(n.emu, interrupts, reasons)
    check(not strangers, "\n".join(strangers))
    per_interrupt = sum(reasons.values()) / max(interrupts, 1)
    check(per_interrupt <= LIMIT[n.emu], f"{per_interrupt:.2f} exits per timer interrupt of an idle guest: {dict(reasons)}, {interrupts} interrupts")
