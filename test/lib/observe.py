# SPDX-License-Identifier: GPL-2.0-or-later
"""What two guests see of their network and clocks while something is done to their nodes: TCP, ping, and two paced streams."""
import json
import re
import statistics

from node import check

ADDRESS = ("10.1.0.1", "10.1.0.2")
RATE = 100  # datagrams a second of each stream
# What the time from one freeze to the next has beyond a multiple of the streams' period: else all of them meet the same
# moment of it, perhaps one with nothing on the wire.
OUT_OF_STEP_S = 0.003
BITRATE = "1M"
PORTS = (7001, 7002)  # of the stream from node 0, from node 1
TCP = {"Tcp": ("RetransSegs",), "TcpExt": ("TCPTimeouts", "TCPLossProbes", "TCPSpuriousRTOs", "TCPDSACKRecv", "TCPLostRetransmit", "TCPSACKReorder", "TCPOFOQueue")}
CARD = ("rx_dropped", "rx_errors", "rx_missed_errors", "rx_over_errors", "tx_dropped", "tx_errors")


def counters(n):
    """Of the guest's TCP and of its card."""
    got = {}
    lines = n.run("cat /proc/net/snmp /proc/net/netstat").splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        kind, *names = names.split()
        for name, value in zip(names, values.split()[1:]):
            if name in TCP.get(kind[:-1], ()):
                got[name] = int(value)
    values = n.run("cd /sys/class/net/eth0/statistics; cat " + " ".join(CARD) + "; cd /").split()
    got.update(zip(CARD, map(int, values)))
    return got


def fields(text):
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", text)}


class Stream:
    """From one guest to the other, by the seconds of the sender's clock: arrival there minus departure here, which contains the clocks' distance."""

    def __init__(self, sent, received, lines):
        self.sent, self.received = fields(sent), fields(received)
        self.missing = list(map(int, re.findall(r"missing number=(\d+)", received)))
        self.seconds = [tuple(map(int, line.split())) for line in lines.splitlines() if re.fullmatch(r"\d+( -?\d+){5}", line.strip())]

    def lost(self):
        return self.sent["sent"] - self.received["received"]

    def gaps(self):
        """How many did not come before the last one that did. (What is refused at the end, since the other has ended its receiver, is behind it.)"""
        return self.received["lost"]

    def quickest(self):
        """By second."""
        return {s[0]: s[3] for s in self.seconds}


def check_cards(cards):
    """Of `nic status`: whatever arrived while a node was frozen has been delivered."""
    for c in cards:
        check(c["frames_caught"] == c["frames_delivered"] and c["frames_missed"] == c["damaged"] == c["left_alone"] == 0, f"frames were lost at a card: {c}")


class Observed:
    """One run: `act(seconds)` is called when all is under way, and does what is to be observed. `rate` is each stream's (datagrams a second), `bitrate` TCP's."""

    def __init__(self, nodes, wire, seconds, act, rate=RATE, bitrate=BITRATE):
        before = [counters(n) for n in nodes]
        wire_before = wire.tell("stats")
        self._start(nodes, seconds, rate, bitrate)
        self.result = act(seconds)
        self.patience = 120 + 10 * seconds  # the host's seconds
        self._collect(nodes)
        wire_after = wire.tell("stats")
        self.seconds = seconds
        self.counters = [{k: v - old[k] for k, v in counters(n).items()} for n, old in zip(nodes, before)]
        self.wire = [{k: v - old[k] for k, v in new.items() if isinstance(v, int) and k != "in_flight"} for new, old in zip(wire_after["ends"], wire_before["ends"])]

    @staticmethod
    def _start(nodes, seconds, rate, bitrate):
        """In each guest all at once; its shell waits for all but the receiver, which it ends then."""
        a, b = nodes
        for n in nodes:
            n.run("rm -f /tmp/*; for f in ping iperf; do : >/tmp/$f; done")
        more = (
            f"iperf3 -c {ADDRESS[1]} -t {seconds} -b {bitrate} -i 1 --json >/tmp/iperf 2>&1 & /sbin/ping -D -i 0.1 -w {seconds} {ADDRESS[1]} >/tmp/ping 2>&1 & ",
            "iperf3 -s -1 >/tmp/server 2>&1 & ",
        )
        for n, to, out, into, what in reversed(list(zip(nodes, reversed(ADDRESS), PORTS, reversed(PORTS), more))):
            streams = f"stream receive {into} /tmp/stream.txt >/tmp/received 2>&1 & r=$!; sleep 1; stream send {to} {out} {rate} {seconds} >/tmp/sent 2>&1 & s=$!; "
            n.start(f"{streams}{what}wait $s; sleep 3; kill -INT $r; wait $r; killall -q iperf3; wait")

    def _collect(self, nodes):
        a, _ = nodes
        for n in nodes:
            n.finish(timeout=self.patience, status=None)
        texts = [[n.run(f"cat /tmp/{f}") for f in ("sent", "received", "stream.txt")] for n in nodes]
        self.streams = [Stream(texts[0][0], texts[1][1], texts[1][2]), Stream(texts[1][0], texts[0][1], texts[0][2])]
        self.pings = [(float(t), float(ms)) for t, ms in re.findall(r"\[([\d.]+)\] .* time=([\d.]+) ms", a.run("cat /tmp/ping", timeout=300))]
        report = a.run("tr -d '\\n\\t ' </tmp/iperf", timeout=300)
        self.iperf = json.loads(report) if report.startswith("{") else {}
        check("end" in self.iperf, f"iperf3 has no report: {report[:300]}")

    # --- figures ---
    def retransmits(self):
        return sum(c["RetransSegs"] for c in self.counters)

    def log(self, log):
        """What a failure is explained by."""
        log.write(f"\nof the guests {self.counters}\nof the wire {self.wire}\n")
        for s in self.streams:
            log.write(f"sent {s.sent}, received {s.received}, missing {s.missing}\n")

    def lost(self):
        return sum(s.lost() for s in self.streams)

    def gaps(self):
        return sum(s.gaps() for s in self.streams)

    def disordered(self):
        return sum(s.received["disordered"] + s.received["twice"] for s in self.streams)

    def distances(self):
        """How far the second guest's clock is ahead of the first one's, by second: half of the difference between the two ways (ns)."""
        there, back = (s.quickest() for s in self.streams)
        seconds = sorted(set(there) & set(back))
        return [(s, (there[s] - back[s]) / 2) for s in seconds]

    def moved(self):
        """By how much that has changed from the first to the last seconds (ns): the median of five each."""
        d = [x for _, x in self.distances()]
        check(len(d) >= 10, f"only {len(d)} seconds of both streams")
        return statistics.median(d[-5:]) - statistics.median(d[:5])

    def timer_late(self):
        return max(s.sent["late_max_ns"] for s in self.streams)

    def ping_times(self):
        times = sorted(ms for _, ms in self.pings)
        check(times, "no ping came back")
        return {"min_ms": times[0], "p50_ms": times[len(times) // 2], "p99_ms": times[len(times) * 99 // 100], "max_ms": times[-1]}
