# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a loaded node takes to freeze and to thaw, in ticks of the TSC (docs/evaluation.md)."""
import os

import plots
from benches import bench, output
from evalloops import Freezes, frozen_by
from node import Node, check
from paths import BUILD

KERNEL = os.path.join(BUILD, "guest", "vmlinuz-cloud")
COUNT = 250  # the node keeps records of 256
# An odd interval, so that freezes fall anywhere between the guest's ticks.
FREEZES = Freezes("20ms", COUNT, between=0.087, first=0.5)
LOAD_SECONDS = 30
# The 99th percentile of the time from the deadline until the last vCPU is parked, at most.
LIMIT_P99 = {("bochs", 2): 20000}
MACHINES = [("qemu", 1), ("bochs", 1), ("bochs", 2)]
# Members of a freeze's record, and what they are.
FIGURES = {
    "late_ticks": "freeze: deadline until the clock stands",
    "latency_ticks": "freeze: deadline until the last vCPU is parked",
    "thaw_late_ticks": "thaw: deadline until the clock goes on",
    "thaw_latency_ticks": "thaw: the clock goes on until the last vCPU is let go",
}
PLOTTED = {"thaw_latency_ticks": "thaw, last vCPU let go", "late_ticks": "freeze, clock stands", "latency_ticks": "freeze, last vCPU parked"}
PERCENTILES = {"min": 0, "median": 50, "p90": 90, "p99": 99, "max": 100}


def percentile(values, p):
    """Nearest rank: the smallest value that is no less than p % of them."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def now_ns(n):
    return n.ask("time")["virtual_ns"]


def measure(emu, cpus):
    """The records of COUNT freezes under load."""
    with Node(emu=emu, cpus=cpus, kernel=KERNEL, memory=1024, icount=emu == "qemu", append="quiet", timeout=1500) as n:
        n.boot()
        hz = n.ask("time")["tsc_hz"]
        end = now_ns(n) + LOAD_SECONDS * 10**9
        n.run(f"/tests/load {LOAD_SECONDS} >/tmp/load 2>&1 &")
        n.stasis(FREEZES.command())
        n.run("wait; true", timeout=3600)
        result = n.run("cat /tmp/load")
        check("load ok" in result, f"the load under freezes says {result}")
        records = frozen_by(n, 0)
        n.power_off(600)
    check(len(records) == COUNT, f"{len(records)} freezes, not {COUNT}")
    check(records[-1]["virtual_ns"] < end, "the load ended before the freezes did")
    for r in records:
        r["late_ticks"], r["thaw_late_ticks"] = (round(r[k] * hz / 1e9) for k in ("late_ns", "thaw_late_ns"))
    return records, hz


@bench(*MACHINES)
def freeze_and_thaw(m):
    emu, cpus = m
    records, hz = measure(emu, cpus)
    name = f"latency-{emu}{cpus}"
    with open(output(f"{name}.csv"), "w") as f:
        f.write(",".join(["freeze", *FIGURES]) + "\n")
        for r in records:
            f.write(",".join(str(r[k]) for k in ["n", *FIGURES]) + "\n")
    print(f"{emu}, {cpus} vCPU{'s' * (cpus > 1)}: ticks of {1e9 / hz:g} ns, {COUNT} freezes under load")
    print(" " * 56 + "".join(f"{p:>9}" for p in PERCENTILES))
    for figure, what in FIGURES.items():
        print(f"{what:56}" + "".join(f"{percentile([r[figure] for r in records], p):9}" for p in PERCENTILES.values()), flush=True)
    p99, limit = percentile([r["latency_ticks"] for r in records], 99), LIMIT_P99.get(m)
    plots.latency(
        name,
        emu,
        cpus,
        heading=f"{COUNT} freezes under load",
        note=f"A tick is {1e9 / hz:g} ns. The last vCPU is parked {p99:,} ticks after the deadline, or sooner, in 99 % of the freezes.",
        series={what: [r[figure] for r in records] for figure, what in PLOTTED.items()},
        limit=limit,
    )
    return [f"{emu}, {cpus} vCPUs: 99 % of the freezes take up to {p99} ticks, not {limit}"] if limit and p99 > limit else []
