# SPDX-License-Identifier: GPL-2.0-or-later
"""The evaluation of the original system, on one node: its two loops with and without freezes (docs/evaluation.md)."""
import os
import statistics

import evalloops
import plots
from benches import bench, output
from evalloops import TICKS_KERNEL, Freezes, run_loop, run_ticks, ticks_append
from node import Node
from paths import BUILD, INITRD

KERNEL = os.path.join(BUILD, "guest", "vmlinuz-cloud")
COUNT = 24
SHORT = "1ms"
# As many iterations as cover COUNT freezes, 5 s of the guest's time apart.
ITERATIONS = {"sleep": 12400, "cpu": 530}
# Emulator, vCPUs; and the longer of the two lengths of freezes.
MACHINES = [("qemu", 1), ("bochs", 1), ("bochs", 2)]
LONG = {"qemu": "1h", "bochs": "60s"}
ROUNDS = 300  # of the test kernel, 100 ms each: they cover the freezes, one a second


def machine(emu, cpus):
    return {"emu": emu, "cpus": cpus, "memory": 1024, "icount": emu == "qemu", "timeout": 1500}


def save(run, name):
    run.write_csv(output(f"{name}.csv"))
    with open(output(f"{name}-freezes.csv"), "w") as f:
        f.write("freeze,at_s,frozen_ns,late_ns,latency_ticks,thaw_latency_ticks\n")
        for r in run.freezes:
            figures = [r[k] for k in ("frozen_ns", "late_ns", "latency_ticks", "thaw_latency_ticks")]
            f.write(",".join(map(str, [r["n"], f"{run.seconds(r['virtual_ticks']):.6f}", *figures])) + "\n")


def row(name, run):
    others, spans = run.others(), run.spanning()
    usual = statistics.median(others)
    line = f"{name:24} {len(run.us):6} {min(others):10} {usual:10} {max(others):10}"
    if spans:
        errors = [u - usual for u in spans]
        line += f" {len(spans):5} {statistics.median(map(abs, errors)):8.3f} {min(errors):+9.3f} {max(errors):+9.3f}"
    print(line, flush=True)


def heading(title):
    print(f"{title:24} {'number':>6} {'min us':>10} {'median':>10} {'max':>10} {'spans':>5} {'error':>8} {'from':>9} {'to':>9}")


def name_of(kind, emu, cpus, length):
    return f"{kind}-{emu}{cpus}-{length or 'none'}"


def loops(n, kind, emu, cpus):
    """The loop unfrozen, with short and with long freezes; the runs by the freezes' length."""
    runs = {}
    for length in (None, SHORT, LONG[emu]):
        freezes = Freezes(length, COUNT) if length else None
        runs[length] = run_loop(n, kind, ITERATIONS[kind], freezes, timeout=7200)
        save(runs[length], name_of(kind, emu, cpus, length))
        row(f"{kind}, {f'freezes of {length}' if length else 'no freezes'}", runs[length])
    plots.loops(kind, emu, cpus, lambda length: name_of(kind, emu, cpus, length), runs)
    return runs


@bench(*((*m, kind) for m in MACHINES for kind in ITERATIONS))
def loops_frozen(m):
    """The sleep loop, or the CPU loop."""
    emu, cpus, kind = m
    heading(f"{emu}, {cpus} vCPU{'s' * (cpus > 1)}")
    with Node(kernel=KERNEL, append="quiet", **machine(emu, cpus)) as n:
        n.boot()
        runs = loops(n, kind, emu, cpus)
        n.power_off(600)
    of_run = {"sleep": evalloops.sleep_misses, "cpu": evalloops.cpu_misses}[kind]
    misses = of_run(runs[SHORT], emu) + of_run(runs[LONG[emu]], emu)
    if kind == "sleep":
        misses += evalloops.growth_misses(runs[SHORT], runs[LONG[emu]], emu)
    return [f"{emu}, {cpus} vCPU: {miss}" for miss in misses]


@bench(*MACHINES)
def test_kernel(m):
    """A loop without interrupts."""
    emu, cpus = m
    with Node(kernel=TICKS_KERNEL, initrd=INITRD, append=ticks_append(emu, ROUNDS), **machine(emu, cpus)) as n:
        run = run_ticks(n, ROUNDS, Freezes(SHORT, COUNT, between=1, first=1))
    save(run, name_of("ticks", emu, cpus, SHORT))
    heading(f"{emu}, {cpus} vCPU{'s' * (cpus > 1)}")
    row(f"no interrupts, {SHORT}", run)
    return [f"{emu}, {cpus} vCPU: {miss}" for miss in evalloops.ticks_misses(run, emu)]
