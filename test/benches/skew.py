# SPDX-License-Identifier: GPL-2.0-or-later
"""How far apart two nodes of this host freeze, by the host's clock: each writes to its COM2's scratch register when it stands, and QEMU notes when.

The nodes' time is the host's here, so the figure depends on how busy that is: it is reported, and no limit is set.
"""
import csv
import re
import statistics

from benches import bench, output
from experiment import NODES, Experiment
from node import check

FREEZES = 100
HOLD = "200ms"
EVERY = "1500ms"
MARK = "0x2ff"  # COM2's scratch register; register 7 of its kind
WRITTEN = re.compile(r"@(\d+\.\d+):serial_write .*0x0?7 .*0x0?1\b")


def times(path):
    """Of the marks, in seconds; QEMU's own COM1 has no write like these."""
    with open(path) as f:
        return [float(m[1]) for m in map(WRITTEN.search, f) if m]


@bench()
def skew_of_two_nodes():
    logs = [output(f"skew-node{i}.trace") for i in range(NODES)]

    def tracing(i):
        return ["-serial", "null", "-trace", "serial_write", "-msg", "timestamp=on", "-D", logs[i]]

    with Experiment(append="quiet", config=[f"freeze_mark={MARK}"], emulator=tracing) as e:
        e.boot()
        e.wait_for_clocks()
        earlier = [len(times(log)) for log in logs]
        epochs = e.ctl("freeze", "--for", HOLD, "--every", EVERY, "--count", str(FREEZES), "--keep-going", status=(0, 1, 3, 4), timeout=1200)
        clock = e.ctl("time")[0]
    marks = [times(log)[n:] for log, n in zip(logs, earlier)]
    frozen = [x for x in epochs if x["outcome"] in ("clean", "late")]
    check(len(marks[0]) == len(marks[1]) == len(frozen), f"{len(frozen)} epochs, but {[len(m) for m in marks]} marks")
    skews = [(b - a) * 1e6 for a, b in zip(*marks)]
    with open(output("skew.csv"), "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["freeze", "skew_us", "late_ns"])
        w.writerows((i, f"{s:.1f}", x["late_ns"]) for i, (s, x) in enumerate(zip(skews, frozen)))
    sizes = sorted(abs(s) for s in skews)
    print(f"{len(frozen)} of {FREEZES} epochs: skew p50 {statistics.median(sizes):.0f} us, p90 {sizes[len(sizes) * 9 // 10]:.0f} us, max {sizes[-1]:.0f} us; mean {statistics.mean(skews):.0f} us")
    late = sorted(x["late_ns"] / 1000 for x in frozen)
    print(f"the latest node of each epoch, after T: p50 {statistics.median(late):.0f} us, p90 {late[len(late) * 9 // 10]:.0f} us; clocks: {clock['nodes'][1]['bound_ns']} ns is the second one's bound")
    return []
