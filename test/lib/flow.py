# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbered streams: UDP datagrams that say their place (test/guest/flow.c sends and judges the same), and what became of them.

A datagram's data: the magic number, the stream's number, the datagram's number from 0, big-endian, 32 bits each; filled up to any length.
"""
import struct

MAGIC = 0x53746653
HEAD = struct.Struct("!III")
IPV4, UDP = 0x0800, 17
ETHERNET, IP_AT, UDP_HEAD = 14, 23, 8


def payload(stream, number, size=64):
    return HEAD.pack(MAGIC, stream, number).ljust(size, b"\0")


def place(frame):
    """(stream, number) of a frame that belongs to one, else None."""
    if len(frame) < ETHERNET + 20 + UDP_HEAD + HEAD.size or frame[12:14] != struct.pack("!H", IPV4) or frame[IP_AT] != UDP:
        return None
    at = ETHERNET + (frame[ETHERNET] & 15) * 4 + UDP_HEAD
    if len(frame) < at + HEAD.size:
        return None
    magic, stream, number = HEAD.unpack_from(frame, at)
    return (stream, number) if magic == MAGIC else None


class Verdict:
    """Of one stream."""

    def __init__(self):
        self.seen, self.next, self.reordered, self.again, self.last, self.gaps = set(), 0, 0, 0, None, []

    def look(self, number, now):
        if number in self.seen:
            self.again += 1
        elif number < self.next:
            self.reordered += 1
        self.seen.add(number)
        self.next = max(self.next, number + 1)
        if self.last is not None:
            self.gaps.append(now - self.last)
        self.last = now

    def result(self):
        return {
            "frames": len(self.seen),
            "missing": self.next - len(self.seen),  # of those up to the last one
            "reordered": self.reordered,
            "duplicate": self.again,
            "gap_max_ns": max(self.gaps, default=0),
            "gap_p50_ns": sorted(self.gaps)[len(self.gaps) // 2] if self.gaps else 0,
        }


class Judge:
    def __init__(self):
        self._streams = {}

    def look(self, frame, now):
        found = place(frame)
        if found:
            self._streams.setdefault(found[0], Verdict()).look(found[1], now)

    def verdicts(self):
        return {str(stream): v.result() for stream, v in sorted(self._streams.items())}
