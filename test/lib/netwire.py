# SPDX-License-Identifier: GPL-2.0-or-later
"""A wire between two nodes: Ethernet frames as datagrams, with a delay, a rate, losses by a seed, a link that can be down, a pcap file, and figures.

An end is `unix:HERE:THERE` or `udp:HERE:THERE`: the socket or port (of 127.0.0.1) that the wire has, and the node's. A frame that enters at one end leaves
at the other `delay` after its last bit came at `rate`, in order. What a numbered stream (flow.py) has suffered is judged at the end where it leaves.
"""
import collections
import json
import os
import random
import selectors
import socket
import struct
import sys
import time

from flow import Judge

FRAME_MAX = 16384
QUEUE_BYTES = 16 << 20  # of a direction; more is lost, and counted
OVERHEAD = 24  # preamble, frame check sequence and gap, in bytes: what a frame takes on the wire beyond itself
NS = 1000000000


class Pcap:
    """Both directions with the host's times in ns; the interface's place is in the frame's own addresses."""

    def __init__(self, path):
        self._file = open(path, "wb")
        self._file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, FRAME_MAX, 1))

    def write(self, frame):
        now = time.time_ns()
        self._file.write(struct.pack("<IIII", now // NS, now % NS, len(frame), len(frame)) + frame)

    def close(self):
        self._file.close()


class WrongEnd(Exception):
    """An end that can't be understood or had."""


class End:
    """A datagram socket, and what went through it."""

    def __init__(self, text):
        kind, *places = text.split(":")
        if kind not in ("unix", "udp") or len(places) != 2 or not all(places) or (kind == "udp" and not all(p.isdigit() for p in places)):
            raise WrongEnd(f"{text}: an end is unix:HERE:THERE or udp:HERE:THERE")
        here, there = places
        if kind == "unix":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        else:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            here, there = ("127.0.0.1", int(here)), ("127.0.0.1", int(there))
        self.here, self.there, self._unix = here, there, kind == "unix"
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._socket.setblocking(False)
        try:
            self._socket.bind(here)
        except OSError as e:
            self._socket.close()
            raise WrongEnd(f"{text}: {e.strerror}") from None
        self.counts = collections.Counter(received=0, sent=0, received_bytes=0, sent_bytes=0, lost=0, down=0, dropped=0, unreachable=0)
        self.judge = Judge()

    def fileno(self):
        return self._socket.fileno()

    def receive(self):
        try:
            frame = self._socket.recv(65536)
        except BlockingIOError:
            return None
        except ConnectionRefusedError:  # nobody had the port for an earlier frame
            return None
        self.counts["received"] += 1
        self.counts["received_bytes"] += len(frame)
        return frame

    def send(self, frame):
        """False: the node takes no more for now."""
        try:
            self._socket.sendto(frame, self.there)
        except BlockingIOError:
            return False
        except OSError:  # it isn't there (yet, or any more)
            self.counts["unreachable"] += 1
            return True
        self.counts["sent"] += 1
        self.counts["sent_bytes"] += len(frame)
        self.judge.look(frame, time.monotonic_ns())
        return True

    def close(self):
        self._socket.close()
        if self._unix:
            os.unlink(self.here)


class Direction:
    """From one end to the other: what is under way, and when it arrives (monotonic ns)."""

    def __init__(self, wire, source, sink):
        self.wire, self.source, self.sink = wire, source, sink
        self.queue, self.bytes, self.free_at = collections.deque(), 0, 0

    def enter(self, frame, now):
        w, counts = self.wire, self.source.counts
        if not w.up:
            counts["down"] += 1
        elif w.loss and w.random.random() < w.loss:
            counts["lost"] += 1
        elif self.bytes + len(frame) > QUEUE_BYTES or not 14 <= len(frame) <= FRAME_MAX:
            counts["dropped"] += 1
        else:
            at = max(now, self.free_at)
            if w.rate:
                at += (len(frame) + OVERHEAD) * 8 * NS // w.rate
            self.free_at = at
            self.queue.append((at + w.delay, frame))
            self.bytes += len(frame)

    def leave(self, now):
        """Sends what has arrived; ns until the next, None: nothing is under way."""
        while self.queue:
            at, frame = self.queue[0]
            if at > now:
                return at - now
            if not self.sink.send(frame):
                return NS // 1000
            self.queue.popleft()
            self.bytes -= len(frame)
            if self.wire.pcap:
                self.wire.pcap.write(frame)
        return None


class Wire:
    """delay in ns, rate in bit/s (0: as fast as the host), loss as a probability."""

    def __init__(self, ends, delay=0, rate=0, loss=0.0, seed=1, pcap=None):
        self.ends = []
        for text in ends:
            self.ends.append(End(text))
        self.delay, self.rate, self.loss, self.up = delay, rate, loss, True
        self.random = random.Random(seed)
        self.pcap = Pcap(pcap) if pcap else None
        self.directions = [Direction(self, *self.ends), Direction(self, *reversed(self.ends))]

    def statistics(self):
        return {
            "version": 1,
            "up": self.up,
            "delay_ns": self.delay,
            "ends": [{**e.counts, "in_flight": len(d.queue), "flows": e.judge.verdicts()} for e, d in zip(self.ends, self.directions)],
        }

    def command(self, line):
        """One line of what the operator wants; the answer, or None."""
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "delay":
                self.delay = int(float(rest) * 1e6)
            elif word == "loss":
                self.loss = float(rest)
            elif word == "rate":
                self.rate = int(float(rest) * 1e6)
            elif word in ("up", "down"):
                self.up = word == "up"
            elif word != "stats":
                return {"version": 1, "error": "delay MS, loss P, rate MBIT, up, down or stats is wanted"}
        except ValueError:
            return {"version": 1, "error": f"{word}: {rest!r} is not a number"}
        return self.statistics()

    def run(self, commands=None):
        """Until `commands`, a file, ends."""
        with selectors.DefaultSelector() as s:
            for d in self.directions:
                s.register(d.source, selectors.EVENT_READ, d)
            if commands:
                s.register(commands, selectors.EVENT_READ, None)
            while True:
                waits = [w for w in (d.leave(time.monotonic_ns()) for d in self.directions) if w is not None]
                for key, _ in s.select(min(waits) / NS if waits else None):
                    if key.data:
                        self._take(key.data)
                    elif not self._answer(commands):
                        return

    @staticmethod
    def _take(direction):
        while True:
            frame = direction.source.receive()
            if frame is None:
                return
            direction.enter(frame, time.monotonic_ns())
            direction.leave(time.monotonic_ns())

    def _answer(self, commands):
        line = commands.readline()
        if line:
            print(json.dumps(self.command(line)), flush=True)
        return line

    def close(self):
        for e in self.ends:
            e.close()
        if self.pcap:
            self.pcap.close()


def main(options):
    try:
        wire = Wire(options.ends, int(options.delay * 1e6), int(options.rate * 1e6), options.loss, options.seed, options.pcap)
    except (WrongEnd, OSError) as e:
        print(f"wire: {e}", file=sys.stderr)
        return 2
    try:
        print(json.dumps(wire.statistics()), flush=True)  # ready
        wire.run(sys.stdin)
    except KeyboardInterrupt:
        pass
    finally:
        wire.close()
    print(json.dumps(wire.statistics()), flush=True)
    return 0
