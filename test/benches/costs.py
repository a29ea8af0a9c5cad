# SPDX-License-Identifier: GPL-2.0-or-later
"""What Stasis costs a guest that runs undisturbed: the same programs bare and under Stasis, as ratios."""
import os
import re

import idle
from benches import bench
from emulators import BOCHS_IPS
from node import Failure, Node
from paths import BUILD

KERNEL = os.path.join(BUILD, "guest", "vmlinuz-cloud")
TICKS_PER_SECOND = {"qemu": 1000000000, "bochs": BOCHS_IPS}
# What a figure may be at most; a tuple: times the bare one. KVM's figures for the same work are in the last column.
LIMITS = {
    "qemu": {"cpuid_ticks": 1200, "usleep_us": 10070, "exits_per_timer_interrupt": idle.LIMIT["qemu"]},
    "bochs": {"cpuid_ticks": 300, "loop_ticks": (1.02,), "usleep_us": 10250, "exits_per_timer_interrupt": idle.LIMIT["bochs"], "boot_ticks": 200e6},
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
        interrupts, reasons = idle.idle_exits(n)
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
    return over + idle.not_its_own(emu, interrupts, reasons)


@bench("qemu", "bochs")
def guest(emu):
    return report(emu, *measure_both(emu))
