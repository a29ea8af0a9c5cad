# SPDX-License-Identifier: GPL-2.0-or-later
"""Two cards of one guest, joined by a hub, in deterministic time: what freezes do to round trips and to the packets of a TCP stream."""
import json
import re

import hub
from benches import bench
from node import Node, check
from paths import INITRD_NETWORK

FREEZES = 20
FREEZE = f"freeze --in 200ms --for 200ms --every 653ms --count {FREEZES}"  # of 453 ms each for the guest
CALM = "freeze --cancel"  # typing at the console costs the guest something, too
PINGS, PING_INTERVAL = 1000, 0.01
TCP = "--fq-rate 10M -t 12"  # paced by the kernel: iperf3 itself stops for tens of milliseconds
WORSE = 0.05  # of a round trip's time without freezes, at most
WORSE_US = 20  # between two packets, at most
FIRST = 1500  # packets: the stream has not settled


def node():
    return Node(icount=True, append="quiet", initrd=INITRD_NETWORK, timeout=1500, extra=hub.CARDS)


def background(n, command, during):
    """Runs it while something else is done; nothing else runs in the guest."""
    n.run(f"({command}; echo $? >/tmp/status) & job=$!")
    during()
    n.run("wait $job", timeout=1500)
    check(n.run("cat /tmp/status") == "0", f"{command} has failed")


def round_trips(n, during):
    """In microseconds, sorted."""
    background(n, f"/sbin/ping -n -i {PING_INTERVAL} -c {PINGS} 10.7.0.2 >/tmp/ping", during)
    found = sorted(float(t) * 1000 for t in re.findall(r"time=([\d.]+) ms", n.run("cat /tmp/ping", timeout=600)))
    check(len(found) == PINGS, f"{len(found)} replies to {PINGS} pings")
    return found


def gaps(n, other, during):
    """The times between packets of a TCP stream where they arrive, longest first: the first 100, in us."""
    capture = "--time-stamp-precision=nano -n tcp and dst port 5201 and greater 1000"
    n.run("cd /proc/sys/net/ipv4; echo 0 >tcp_tso_rtt_log; echo 1 >tcp_min_tso_segs; cd /")  # no bursts, as round trips so short have
    hub.serve(n, other)
    n.run(f"({other} tcpdump -i eth1 -s 80 -w /tmp/capture {capture} 2>/tmp/tcpdump &)")
    n.run("until grep -q listening /tmp/tcpdump; do usleep 100000; done", timeout=300)
    background(n, f"iperf3 -c 10.7.0.2 {TCP} >/tmp/client", during)
    n.interrupt("tcpdump")
    n.run("grep -q '^0 packets dropped' /tmp/tcpdump")
    # "1": busybox's awk takes what begins with a zero for octal
    between = "{ split($1, t, \".\"); now = \"1\" t[2]; if (NR > %d) print (t[1] - s) * 1000000000 + now - ns; s = t[1]; ns = now }" % FIRST
    lines = n.run(f"tcpdump -r /tmp/capture -tt {capture} 2>/dev/null | awk '{between}' | sort -rn >/tmp/gaps; wc -l </tmp/gaps; head -n 100 /tmp/gaps", timeout=900).split()
    check(int(lines[0]) > 5000, f"a stream of but {lines[0]} packets")
    return [int(x) / 1000 for x in lines[1:]]


@bench()
def frozen_in_between():
    with node() as n:
        n.boot()
        other = hub.join(n)
        calm = round_trips(n, lambda: n.stasis(CALM))
        frozen = round_trips(n, lambda: n.stasis(FREEZE))
        calm_gaps = gaps(n, other, lambda: n.stasis(CALM))
        frozen_gaps = gaps(n, other, lambda: n.stasis(FREEZE))
        total = json.loads(n.stasis("freezes --json"))["total"]
        check(total == 2 * FREEZES, f"{total} freezes, not {2 * FREEZES}")
        n.power_off(600)
    figures = [  # name, with freezes, without, what it may be at most
        ("round trip p50", frozen[PINGS // 2], calm[PINGS // 2], calm[PINGS // 2] * (1 + WORSE)),
        ("round trip p99", frozen[PINGS * 99 // 100], calm[PINGS * 99 // 100], calm[PINGS * 99 // 100] * (1 + WORSE)),
        ("round trip, longest", frozen[-1], calm[-1], float("inf")),
        ("between two packets, longest", frozen_gaps[0], calm_gaps[0], calm_gaps[0] + WORSE_US),
        (f"{FREEZES}th longest", frozen_gaps[FREEZES - 1], calm_gaps[FREEZES - 1], calm_gaps[FREEZES - 1] + WORSE_US),
    ]
    for name, value, without, limit in figures:
        print(f"{name:28} {value:8.1f} us, {without:.1f} without freezes   at most {limit:.1f}", flush=True)
    return [name for name, value, _, limit in figures if value > limit]
