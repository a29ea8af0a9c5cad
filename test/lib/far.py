# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes' cards on test/wire: a wire between two cards, or between a card and a host of this test (peer.Peer)."""
import os
import socket
import tempfile
import threading
import time

from flow import payload
from peer import ICMP, IPV4, NODE_IP, PEER_IP, UDP, Peer, checksum, udp
from ports import free_ports
from wireprocess import WireProcess

PORT = 7000
# For test/node: Bochs goes no faster than the host's time, in which a wire delays; two guests' seconds are about as long.
BOCHS_CLOCK = "--emu-arg=clock: sync=slowdown, time0=1700000000"
ADDRESS, NODE_ADDRESS = socket.inet_ntoa(PEER_IP), socket.inet_ntoa(NODE_IP)


class Wire(WireProcess):
    """Ends for two programs; `netdevs` are what QEMU's -netdev takes, less its id. An end that is `udp` is for Bochs: `ethmods`."""

    def __init__(self, *options, ends=("unix", "unix")):
        self._directory = tempfile.TemporaryDirectory(prefix="wire-")
        self.netdevs, self.ethmods, arguments = [], [], []
        for i, kind in enumerate(ends):
            if kind == "unix":
                here, there = (os.path.join(self._directory.name, f"{n}{i}") for n in ("wire", "node"))
                self.netdevs.append(f"dgram,local.type=unix,local.path={there},remote.type=unix,remote.path={here}")
            elif kind == "udp":  # the card listens on a port and sends to the next one
                there = free_ports()
                here = there + 1
                self.ethmods.append(f"socket,ethdev={there}")
            else:
                here, there = kind
            arguments.append(f"{'udp' if kind == 'udp' else 'unix'}:{here}:{there}")
        super().__init__(arguments, *options)

    def statistics(self):
        return self.tell("stats")

    def __exit__(self, *what):
        super().__exit__(*what)
        self._directory.cleanup()


class Far(Peer):
    """A host behind a wire; `netdev` or `ethmod` is the node's end. The guest's address is NODE_ADDRESS, its own ADDRESS."""

    def __init__(self, *options, kind="unix"):
        super().__init__()
        self.wire = Wire(*options, ends=((self._there, self._here), kind))
        self.netdev = (self.wire.netdevs or self.wire.ethmods)[0]
        self._streams = 0

    def __exit__(self, *what):
        self.wire.__exit__(*what)
        super().__exit__(*what)

    def _look(self, frame):
        super()._look(frame)
        if frame[12:14] == IPV4.to_bytes(2, "big") and frame[23] == ICMP and frame[34] == 8:
            packet = frame[14 : 14 + int.from_bytes(frame[16:18], "big")]
            reply = b"\0\0\0\0" + packet[24:]
            self.send_ip(ICMP, reply[:2] + checksum(reply).to_bytes(2, "big") + reply[4:])

    def stream(self, count, interval, size=64):
        """Sends one, `interval` seconds from datagram to datagram, from a thread that it returns with the stream's number."""
        self._streams += 1
        number = self._streams

        def send():
            start = time.monotonic()
            for i in range(count):
                time.sleep(max(0, start + i * interval - time.monotonic()))
                self.send_ip(UDP, udp(PORT, PORT, payload(number, i, size)))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread, number
