# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's network cards carry at full speed, bare and under Stasis: TCP from one card to the other in deterministic time."""

import hub
from benches import bench
from node import Node, check
from paths import INITRD_NETWORK

SECONDS = 3
LEAST = 0.9  # of bare


def measure(bare):
    """Bits per second; and the share of the time in which Stasis kept a guest that wanted to run from running."""
    with Node(icount=True, append="quiet", initrd=INITRD_NETWORK, timeout=1500, extra=hub.CARDS, bare=bare) as n:
        n.boot()
        hub.serve(n, hub.join(n))
        if not bare:
            n.stasis("exits reset")
        n.run(f"iperf3 -c 10.7.0.2 -t {SECONDS} -J >/tmp/client", timeout=1500)
        stolen = 0
        if not bare:
            stolen = sum(c["ticks"] for c in n.ask("exits")["stolen"])
            stolen /= SECONDS * n.ask("time")["tsc_hz"]
        bits = float(n.run("sed -n '/sum_received/,/}/s/.*bits_per_second[^0-9]*\\([0-9.e+]*\\).*/\\1/p' /tmp/client"))
        n.power_off(600)
    check(bits > 0, "nothing was received")
    return bits, stolen


@bench()
def throughput():
    bare, _ = measure(True)
    under, stolen = measure(False)
    print(f"bare {bare / 1e6:.0f} Mbit/s, under Stasis {under / 1e6:.0f} Mbit/s: {under / bare:.3f} of it, at least {LEAST}; {stolen:.1%} of the CPU's time stolen")
    return ["throughput"] if under < LEAST * bare else []
