# SPDX-License-Identifier: GPL-2.0-or-later
"""What passing network cards through costs: exits of a guest with two cards, a stream from one to the other, no freezes."""
import collections
import os

import hub
from benches import bench
from node import Node
from paths import BUILD

# At most: exits for each interrupt (the physical one, what the guest does to its LAPIC, timers); accesses to the cards' registers that are trapped, but for the
# statistics, of the latest 1024 exits.
LIMITS = {"exits per interrupt": 8, "trapped accesses": 0}
STATISTICS = 4  # page


def interrupts(n):
    """Of the cards and of the local timer."""
    lines = n.run("grep -E 'eth|LOC' /proc/interrupts").splitlines()
    return sum(int(line.split()[1]) for line in lines)


def by_reason(n):
    return collections.Counter({e["reason"]: e["count"] for e in n.ask("exits")["exits"]})


def trapped(n):
    """While the stream runs."""
    starts = [int(line.split()[0], 16) for line in n.run("sleep 1; for c in /sys/bus/pci/drivers/e1000e/0*; do head -n 1 $c/resource; done").splitlines()]
    trace = n.ask("trace dump 1024")["trace"]
    pages = [(t["info"] - start) // 4096 for t in trace if t["reason"] == "NPF" for start in starts]
    return sum(0 <= page < 32 and page != STATISTICS for page in pages)


@bench()
def wire():
    found = []
    with Node(kernel=os.path.join(BUILD, "guest", "vmlinuz"), icount=True, append="quiet", timeout=1500, extra=hub.CARDS) as n:
        n.boot()
        other = hub.join(n)
        found.append(hub.streamed(n, other, lambda: found.append(trapped(n))))
        before, exits = interrupts(n), by_reason(n)
        hub.streamed(n, other, lambda: None)
        seen, reasons = interrupts(n) - before, by_reason(n)
        reasons.subtract(exits)
        n.power_off(600)
    figures = {"exits per interrupt": sum(reasons.values()) / seen, "trapped accesses": found[0]}
    print(f"{found[1]['frames']} frames, {seen} interrupts; exits: {', '.join(f'{r} {c}' for r, c in reasons.most_common() if c)}")
    for name, value in figures.items():
        print(f"{name:28} {value:8.3f}   at most {LIMITS[name]}", flush=True)
    return [name for name, value in figures.items() if value > LIMITS[name]]
