# SPDX-License-Identifier: GPL-2.0-or-later
"""Two cards of one guest, joined by a hub, in deterministic time: what freezes do to round trips and to the packets of a TCP stream.

The times between packets are the original system's figure (EuroSys 2009): iperf between two nodes, as tcpdump sees it where it arrives."""
import bisect
import re

import far
import hub
import plots
from benches import bench, output
from evalloops import guest_file
from node import Node, check
from paths import INITRD_NETWORK, KERNEL
from watch import Watch

FREEZES = 20
FREEZE = f"freeze --in %s --for 200ms --every 653ms --count {FREEZES}"  # of 453 ms each for the guest
CALM = "freeze --cancel"  # typing at the console costs the guest something, too
PINGS, PING_INTERVAL = 1000, 0.01
TCP = "--fq-rate 10M -t 13"  # paced by the kernel: iperf3 itself stops for tens of milliseconds
WORSE = 0.05  # of a round trip's time without freezes, at most
WORSE_US = 20  # between two packets, at most
NEAR = 5  # packets before and after a freeze
STEP_US = 10  # of a clock from one reading to the next
CLOCKS = ("tsc", "realtime", "monotonic", "gettimeofday")  # those that don't go by ticks
WATCHED_S = 15
FIRST = 1500  # packets: the stream has not settled


def node():
    return Node(icount=True, append="quiet", initrd=INITRD_NETWORK, timeout=1500, extra=hub.CARDS)


def background(n, command, during):
    """Runs it while something else is done; nothing else runs in the guest."""
    n.run(f"({command}; echo $? >/tmp/status) & job=$!")
    during()
    n.run("wait $job", timeout=1500)
    check(n.run("cat /tmp/status") == "0", f"{command} has failed")


def round_trips(n, during, pings=PINGS, interval=PING_INTERVAL):
    """In microseconds, sorted."""
    background(n, f"/sbin/ping -n -i {interval} -c {pings} 10.7.0.2 >/tmp/ping", during)
    found = sorted(float(t) * 1000 for t in re.findall(r"time=([\d.]+) ms", n.run("cat /tmp/ping", timeout=600)))
    check(len(found) == pings, f"{len(found)} replies to {pings} pings")
    return found


def step(n, during):
    """Of any clock that is read again and again (us): the largest."""
    watch = Watch(n, ["clocks"], real_time=False)
    during()
    n.run(f"sleep {WATCHED_S}", timeout=900)
    found = watch.stop()
    return max(found["clocks", name]["step_ns"] for name in CLOCKS) / 1000


def moments(n, known):
    """Of the freezes since there were `known`: the guest's CLOCK_REALTIME at which its time stood (ns)."""
    ns, tsc = map(int, re.search(r"bench now_ns (\d+) (\d+)", n.run("/tests/bench now")).groups())
    hz = n.ask("time")["tsc_hz"]
    records = n.ask("freezes")["freezes"]
    return [ns + (f["virtual_ticks"] - tsc) * 1_000_000_000 // hz for f in records if f["n"] > known]


class Stream:
    """A TCP stream, by the packets that arrive once it has settled (ns), and the freezes in it."""

    def __init__(self, n, other, during):
        known = n.ask("freezes")["total"]
        capture = "--time-stamp-precision=nano -n tcp and dst port 5201 and greater 1000"
        n.run("cd /proc/sys/net/ipv4; echo 0 >tcp_tso_rtt_log; echo 1 >tcp_min_tso_segs; cd /")  # no bursts, as round trips so short have
        hub.serve(n, other)
        hub.begin(n, f"{other} tcpdump -i eth1 -s 80 -w /tmp/capture {capture}", "/tmp/tcpdump", "listening")
        background(n, f"iperf3 -c 10.7.0.2 {TCP} >/tmp/client", during)
        n.interrupt("tcpdump")
        n.run("grep -q '^0 packets dropped' /tmp/tcpdump")
        n.run("tcpdump -r /tmp/capture -tt --time-stamp-precision=nano -n 2>/dev/null | cut -d' ' -f1 | tr -d . >/tmp/arrivals", timeout=900)
        self.at = [int(line) for line in guest_file(n, "/tmp/arrivals").split()][FIRST:]
        check(len(self.at) > 5000, f"a stream of but {len(self.at)} packets")
        self.freezes = moments(n, known)

    def spanned(self):
        """How many freezes were in it."""
        return sum(self.at[0] < t < self.at[-1] for t in self.freezes)

    def between(self):
        """The times from packet to packet (us), longest first."""
        return sorted(((b - a) / 1000 for a, b in zip(self.at, self.at[1:])), reverse=True)

    def near_freezes(self):
        """Those of the packets around a freeze, longest first."""
        first = (bisect.bisect(self.at, t) - NEAR for t in self.freezes)
        near = (self.at[max(0, i) : i + 2 * NEAR] for i in first)
        return sorted(((b - a) / 1000 for at in near for a, b in zip(at, at[1:])), reverse=True)

    def write_csv(self, name):
        """`freeze`: its number in the stream, if one lies between this packet and the one before."""
        with open(output(f"{name}.csv"), "w") as f:
            f.write("arrived_s,us_after_the_one_before,freeze\n")
            for a, b in zip(self.at, self.at[1:]):
                spanned = [i for i, t in enumerate(self.freezes, 1) if a <= t < b]
                f.write(f"{(b - self.at[0]) / 1e9:.9f},{(b - a) / 1000:.3f},{spanned[0] if spanned else ''}\n")


def over(figures):
    """Prints them (name, with freezes, without, what it may be at most); the names of those that are more."""
    for name, value, without, limit in figures:
        print(f"{name:42} {value:8.1f} us, {without:.1f} without freezes   at most {limit:.1f}", flush=True)
    return [name for name, value, _, limit in figures if value > limit]


@bench()
def frozen_in_between():
    with node() as n:
        n.boot()
        other = hub.join(n)
        calm_step, frozen_step = (step(n, lambda: n.stasis(command)) for command in (CALM, FREEZE % "200ms"))
        calm = round_trips(n, lambda: n.stasis(CALM))
        frozen = round_trips(n, lambda: n.stasis(FREEZE % "200ms"))
        streams = {"packets-none": Stream(n, other, lambda: n.stasis(CALM)), "packets-frozen": Stream(n, other, lambda: n.stasis(FREEZE % "2500ms"))}
        total = n.ask("freezes")["total"]
        spanned = streams["packets-frozen"].spanned()
        check(spanned == FREEZES, f"{spanned} freezes in the stream, not {FREEZES}")
        check(total == 3 * FREEZES, f"{total} freezes, not {3 * FREEZES}")
        n.power_off(600)
    for name, stream in streams.items():
        stream.write_csv(name)
    plots.packets("packets", list(streams), f"TCP at 10 Mbit/s from card to card; {FREEZES} freezes of 200 ms; AMD-V in QEMU")
    calm_gaps, frozen_gaps = (stream.between() for stream in streams.values())
    near = streams["packets-frozen"].near_freezes()
    check(len(near) == FREEZES * (2 * NEAR - 1), f"{len(near)} times near {FREEZES} freezes")
    return over([
        ("clock step", frozen_step, calm_step, calm_step + STEP_US),
        ("round trip p50", frozen[PINGS // 2], calm[PINGS // 2], calm[PINGS // 2] * (1 + WORSE)),
        ("round trip p99", frozen[PINGS * 99 // 100], calm[PINGS * 99 // 100], calm[PINGS * 99 // 100] * (1 + WORSE)),
        ("round trip, longest", frozen[-1], calm[-1], float("inf")),
        ("between two packets near a freeze, longest", near[0], calm_gaps[0], calm_gaps[0] + WORSE_US),
        # a packet that comes while the driver reads its statistics, every other second, waits for 60 us: in either run, by chance
        ("anywhere, longest", frozen_gaps[0], calm_gaps[0], float("inf")),
        (f"{FREEZES}th longest", frozen_gaps[FREEZES - 1], calm_gaps[FREEZES - 1], calm_gaps[FREEZES - 1] + WORSE_US),
    ])


# --- VT-x ---

VTX_LOOK_US = 1000  # Bochs's cards look for a frame once a millisecond
VTX_LEAK_US = 100000  # the longest are the host's doing, with freezes and without; a freeze that shows is 20 times as long
VTX_FREEZES = 5
VTX_FREEZE = f"freeze --in 1s --for 2s --every 4s --count {VTX_FREEZES}"
VTX_PINGS, VTX_PING_INTERVAL = 240, 0.05
VTX_STREAM, VTX_STREAM_US = 600, 20000


@bench()
def frozen_under_vtx():
    """One guest in Bochs, two of its 82540EM joined by test/wire: freezes lose no frame, and delay none by more than a card's look."""
    with far.Wire("--delay", "5", ends=("udp", "udp")) as wire:
        options = {"emu": "bochs", "kernel": KERNEL, "initrd": INITRD_NETWORK, "memory": 512, "append": "quiet", "timeout": 1500}
        with Node(extra=[far.BOCHS_CLOCK] + [f"--nic=e1000,{end}" for end in wire.ethmods], **options) as n:
            n.boot()
            other = hub.join(n, "e1000")
            # twice without: on a host that has other things to do half of them take a millisecond more or less, by chance
            before, frozen, after = (round_trips(n, lambda: n.stasis(command), VTX_PINGS, VTX_PING_INTERVAL) for command in (CALM, VTX_FREEZE, CALM))
            calm = [max(pair) for pair in zip(before, after)]
            verdicts = [hub.streamed(n, other, lambda: n.stasis(command), VTX_STREAM, VTX_STREAM_US) for command in (CALM, VTX_FREEZE)]
            total = n.ask("freezes")["total"]
            check(total == 2 * VTX_FREEZES, f"{total} freezes, not {2 * VTX_FREEZES}")
            caught = sum(card["frames_caught"] for card in n.ask("nic status")["cards"])
            n.power_off(600)
    print(f"frames caught in {total} freezes: {caught}")
    check(caught > 0, "no frame arrived while the node was frozen: nothing was shown")
    for name, v in zip(("calm", "frozen"), verdicts):
        print(f"{name}: {v}")
        hub.check_whole(v, VTX_STREAM)
    gaps = [[ns / 1000 for ns in v["gaps"]] for v in verdicts]
    return over([
        ("round trip p50", frozen[VTX_PINGS // 2], calm[VTX_PINGS // 2], calm[VTX_PINGS // 2] + VTX_LOOK_US),
        ("round trip p90", frozen[VTX_PINGS * 9 // 10], calm[VTX_PINGS * 9 // 10], calm[VTX_PINGS * 9 // 10] + VTX_LOOK_US),
        ("round trip, longest", frozen[-1], calm[-1], calm[-1] + VTX_LEAK_US),
        ("between two packets, longest", gaps[1][0], gaps[0][0], gaps[0][0] + VTX_LEAK_US),
        (f"{VTX_FREEZES}th longest", gaps[1][VTX_FREEZES - 1], gaps[0][VTX_FREEZES - 1], gaps[0][VTX_FREEZES - 1] + VTX_LOOK_US),
    ])
