# SPDX-License-Identifier: GPL-2.0-or-later
"""What Stasis costs a guest that runs undisturbed: the same programs bare and under Stasis, as ratios."""
import collections
import json
import os
import re

from benches import bench
from emulators import BOCHS_IPS
from node import Failure, Node
from paths import BUILD

KERNEL = os.path.join(BUILD, "guest", "vmlinuz-cloud")
TICKS_PER_SECOND = {"qemu": 1000000000, "bochs": BOCHS_IPS}
IDLE_MARK = 0x80 << 16  # a port in what the trace says of an I/O exit
# What the guest's own timer causes, at most once for each of its interrupts; and what comes from outside.
TIMER_EXITS = {"qemu": {"INTR"}, "bochs": {"PREEMPTION_TIMER"}}
OUTSIDE_EXITS = {"qemu": {"NMI", "SMI", "INIT"}, "bochs": {"EXTERNAL_INTERRUPT", "EXCEPTION_OR_NMI", "INIT_SIGNAL"}}
# What a figure may be at most; a tuple: times the bare one. KVM's figures for the same work are in the last column.
LIMITS = {
    "qemu": {"cpuid_ticks": 1200, "usleep_us": 10070, "exits_per_timer_interrupt": 7},
    "bochs": {"cpuid_ticks": 300, "loop_ticks": (1.02,), "usleep_us": 10250, "exits_per_timer_interrupt": 3.5, "boot_ticks": 200e6},
}
KVM = {
    "qemu": {"cpuid_ticks": 3198, "loop_ticks": 16140000, "usleep_us": 10095},
    "bochs": {"cpuid_ticks": 1077, "loop_ticks": 19700000, "usleep_us": 10983},
}


def measure(n):
    """Smallest CPUID round trip, loop, mean sleep."""
    out = n.run("/tests/bench", timeout=900)
    found = {m[1]: float(m[2]) for m in re.finditer(r"^bench (\w+) ([\d.]+)", out, re.M)}
    missing = {"cpuid_ticks", "loop_ticks", "usleep_us"} - set(found)
    if missing:
        raise Failure(f"the bench program says nothing about {', '.join(sorted(missing))}:\n{out}")
    return found


def idle(n):
    """Timer interrupts of a guest that sleeps for ten seconds, and all exits meanwhile by reason."""
    out = n.run("/tests/bench idle", timeout=900)
    interrupts = int(re.search(r"idle_interrupts (\d+)", out)[1])
    trace = json.loads(n.stasis("trace dump 1024 --json", timeout=300))["trace"]
    marks = [i for i, e in enumerate(trace) if "IO" in e["reason"] and e["info"] & 0xFFFF0000 == IDLE_MARK]
    if len(marks) < 2:
        raise Failure("the ten seconds are not in the trace of exits")
    window = trace[marks[-2] + 1 : marks[-1]]
    return interrupts, collections.Counter(e["reason"] for e in window)


def undisturbed(emu, interrupts, reasons):
    """Were all exits of the idle guest its own doing? What was not, as missed limits."""
    strangers = [f"{emu} idle: {reasons[r]} exits {r}" for r in OUTSIDE_EXITS[emu] if reasons[r]]
    timers = sum(reasons[r] for r in TIMER_EXITS[emu])
    # One may fall between a mark and the program's look at /proc/interrupts.
    if timers > interrupts + 1:
        strangers.append(f"{emu} idle: {timers} exits for {interrupts} timer interrupts")
    return strangers


def measure_both(emu):
    machine = {"emu": emu, "kernel": KERNEL, "memory": 1024, "icount": emu == "qemu", "append": "quiet", "timeout": 1500}
    with Node(bare=True, **machine) as n:
        n.boot()
        bare = measure(n)
        n.power_off(600)
    with Node(**machine) as n:
        console = n.boot()
        stasis = measure(n)
        # From the loader's first instruction to the guest's: what the log's time stamps count from. One tick is an instruction.
        stasis["boot_ticks"] = float(re.search(r"stasis: \[ *([\d.]+)\] .*: the guest starts", console)[1]) * TICKS_PER_SECOND[emu]
        interrupts, reasons = idle(n)
        stasis["exits_per_timer_interrupt"] = sum(reasons.values()) / max(interrupts, 1)
        n.power_off(600)
    return bare, stasis, interrupts, reasons


def report(emu, bare, stasis, interrupts, reasons):
    """Prints the table; the names of figures over their limits."""
    over = []
    print(f"{emu:26} {'bare':>12} {'Stasis':>12} {'ratio':>7} {'limit':>12} {'KVM':>12}")
    for name, value in stasis.items():
        limit = LIMITS[emu].get(name)
        if isinstance(limit, tuple):
            limit = limit[0] * bare[name]
        if limit is not None and value > limit:
            over.append(f"{emu} {name}")
        columns = [f"{bare[name]:12.1f}" if name in bare else " " * 12, f"{value:12.1f}"]
        columns += [f"{value / bare[name]:7.3f}" if name in bare else " " * 7]
        columns += [f"{limit:12.1f}" if limit is not None else " " * 12]
        columns += [f"{KVM[emu][name]:12.1f}" if name in KVM[emu] else " " * 12]
        print(f"{name:26} {' '.join(columns)}")
    listed = ", ".join(f"{r} {c}" for r, c in sorted(reasons.items(), key=lambda rc: -rc[1]))
    print(f"10 s idle: {interrupts} timer interrupts; exits: {listed}", flush=True)
    return over + undisturbed(emu, interrupts, reasons)


@bench("qemu", "bochs")
def guest(emu):
    return report(emu, *measure_both(emu))
