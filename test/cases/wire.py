# SPDX-License-Identifier: GPL-2.0-or-later
"""test/wire itself: delay, rate, order, losses, a link that is down, its figures. No emulator runs."""
import contextlib
import os
import socket
import struct
import subprocess
import tempfile
import time

from cases import case
from flow import payload
from node import check
from peer import UDP, IPV4, ethernet, ip, udp
from ports import free_ports
from wireprocess import WIRE, WireProcess

def frame(number, size=64):
    return ethernet(b"\x52\x54\0\0\0\2", IPV4, ip(UDP, b"\x0a\0\0\1", b"\x0a\0\0\2", udp(7, 7, payload(1, number, size))))


class Ends(WireProcess):
    """A wire, and a socket at each of its ends."""

    def __init__(self, *options):
        self._directory = tempfile.TemporaryDirectory(prefix="wire-")
        paths = [os.path.join(self._directory.name, n) for n in ("a", "wire-a", "b", "wire-b")]
        self.a, self.b = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
        for s, path in ((self.a, paths[0]), (self.b, paths[2])):
            s.bind(path)
            s.settimeout(20)
        super().__init__([f"unix:{paths[1]}:{paths[0]}", f"unix:{paths[3]}:{paths[2]}"], *options)
        self.a.connect(paths[1])
        self.b.connect(paths[3])

    def __exit__(self, *what):
        super().__exit__(*what)
        self.a.close()
        self.b.close()
        self._directory.cleanup()


@case()
def carries(log):
    """Both ways, byte by byte, in order, each `delay` later; the figures and the pcap file tell of all of it."""
    count, delay = 300, 0.05
    with tempfile.NamedTemporaryFile() as pcap, Ends("--delay", str(delay * 1000), "--pcap", pcap.name) as e:
        sent = [frame(i, 64 + i) for i in range(count)]
        start = time.monotonic()
        for f in sent:
            e.a.send(f)
        first = e.b.recv(65536)
        check(time.monotonic() - start >= delay, "the first frame came before its time")
        check([first] + [e.b.recv(65536) for _ in range(count - 1)] == sent, "what arrives is not what was sent, in its order")
        e.b.send(sent[0])
        check(e.a.recv(65536) == sent[0], "nothing comes back")
        a, b = e.end()["ends"]
        check(a["received"] == count == b["sent"] and b["received"] == 1 == a["sent"], f"counts: {a} {b}")
        check(b["flows"]["1"]["frames"] == count and b["flows"]["1"]["missing"] == b["flows"]["1"]["reordered"] == 0, f"the judge: {b}")
        data = pcap.read()
        check(len(data) == 24 + sum(16 + len(f) for f in sent) + 16 + len(sent[0]), f"pcap has {len(data)} bytes")
        check(struct.unpack_from("<I", data)[0] == 0xA1B23C4D, "pcap: magic")


@case()
def rate_spaces_frames(log):
    """1 Mbit/s: 20 frames of 1000 bytes take 20 times their time on the wire."""
    size, count = 1000, 20
    with Ends("--rate", "1") as e:
        f = [frame(i, size) for i in range(count)]
        least = count * (len(f[0]) + 24) * 8 / 1e6
        start = time.monotonic()
        for x in f:
            e.a.send(x)
        for _ in f:
            e.b.recv(65536)
        took = time.monotonic() - start
        check(took >= least, f"{count} frames in {took:.3f} s: they need {least:.3f} s")


@case()
def losses_by_the_seed(log):
    """The same frames are lost in every run with the same seed, about as many as asked for; the judge misses them."""
    runs = []
    for _ in range(2):
        with Ends("--loss", "0.3", "--seed", "7") as e:
            for i in range(200):
                e.a.send(frame(i))
            while e.tell("stats")["ends"][0]["received"] < 200:
                pass
            left = 200 - e.tell("stats")["ends"][0]["lost"]
            got = [e.b.recv(65536) for _ in range(left)]
            figures = e.end()
            runs.append(got)
            check(30 <= 200 - left <= 90, f"{200 - left} of 200 are lost")
            flow = figures["ends"][1]["flows"]["1"]
            check(flow["frames"] == left and flow["missing"] > 0, f"the judge: {flow}")
    check(runs[0] == runs[1], "another run loses others")


@case()
def link_down(log):
    """Nothing passes while it is down; what was under way arrives."""
    with Ends("--delay", "100") as e:
        e.a.send(frame(0))
        while e.tell("stats")["ends"][0]["received"] == 0:
            pass
        check(not e.tell("down")["up"], "it is not down")
        e.a.send(frame(1))
        while e.tell("stats")["ends"][0]["down"] == 0:
            pass
        check(e.tell("up")["up"], "it is not up")
        e.a.send(frame(2))
        check([e.b.recv(65536) for _ in range(2)] == [frame(0), frame(2)], "others arrive")


@case()
def wrong_options(log):
    """One line says what is wrong, status 2."""
    for arguments, words in (
        (["unix:/nowhere/a:/nowhere/b", "udp:1:2"], "/nowhere/a"),
        (["unix:a", "udp:1:2"], "an end is"),
        (["udp:x:2", "udp:1:2"], "an end is"),
        (["--loss", "2", "udp:1:2", "udp:3:4"], "--loss is 0 to 1"),
    ):
        r = subprocess.run([WIRE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=20)
        check(r.returncode == 2 and words in r.stderr, f"{arguments}: status {r.returncode}, {r.stderr!r}")


@case()
def udp_ends(log):
    """As Bochs has them: a card listens at a port and sends to the next one."""
    with contextlib.ExitStack() as stack:
        ports = [free_ports(), free_ports()]
        cards = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in ports]
        for card, port in zip(cards, ports):
            card.bind(("127.0.0.1", port))
            card.settimeout(20)
        wire = stack.enter_context(WireProcess([f"udp:{port + 1}:{port}" for port in ports]))
        for i, (card, other, port) in enumerate(zip(cards, reversed(cards), ports)):
            card.sendto(frame(i), ("127.0.0.1", port + 1))
            check(other.recv(65536) == frame(i), f"nothing comes from end {i}")
        check(all(e["sent"] == e["received"] == 1 for e in wire.end()["ends"]), "the figures are wrong")
