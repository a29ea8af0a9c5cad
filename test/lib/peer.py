# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of a node's control network: Ethernet frames as datagrams, ARP, DHCP, ping, UDP, in a thread of its own.

Every frame that came is looked at once, and what it was is kept: syslog lines, answers to pings, ports. A test waits for one of these.
"""
import os
import socket
import struct
import tempfile
import threading
import time

from node import Failure

PEER_MAC = bytes.fromhex("525400000001")
PEER_IP = socket.inet_aton("10.9.0.1")
NODE_IP = socket.inet_aton("10.9.0.77")
MASK = socket.inet_aton("255.255.255.0")
BROADCAST = b"\xff" * 6
ARP, IPV4 = 0x0806, 0x0800
ICMP, UDP = 1, 17
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
COOKIE = bytes.fromhex("63825363")
SYSLOG_PORT = 514


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, kind, payload):
    return destination + PEER_MAC + struct.pack("!H", kind) + payload.ljust(46, b"\0")


def ip(protocol, source, destination, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, source, destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source_port, port, data):
    return struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data


def echo(identifier, sequence, data):
    head = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence)
    return head[:2] + struct.pack("!H", checksum(head + data)) + head[4:] + data


class Peer:
    """Use as a context manager; `netdev` is what QEMU's -netdev takes, less its id."""

    def __init__(self, lease_seconds=3600):
        self._directory = tempfile.TemporaryDirectory(prefix="peer-")
        self._here, self._there = (os.path.join(self._directory.name, n) for n in ("peer", "node"))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._here)
        self._socket.settimeout(0.2)  # only to look at _end
        self.netdev = f"dgram,local.type=unix,local.path={self._there},remote.type=unix,remote.path={self._here}"
        self.lease_seconds = lease_seconds
        self.node_mac = None
        self.syslog, self.replies, self.arps, self.requests = [], set(), 0, 0
        self._news = threading.Condition()
        self._end = False
        self._thread = threading.Thread(target=self._receive, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end = True
        self._thread.join()
        self._socket.close()
        self._directory.cleanup()

    # --- what a test does ---
    def send(self, frame):
        try:
            self._socket.sendto(frame, self._there)
        except OSError:
            pass  # the node is not there yet, or its queue is full: lost, like on a wire

    def send_ip(self, protocol, payload, source=PEER_IP, destination=NODE_IP):
        self.send(ethernet(self.node_mac or BROADCAST, IPV4, ip(protocol, source, destination, payload)))

    def wait(self, what, condition, timeout=120):
        with self._news:
            if not self._news.wait_for(condition, timeout):
                raise Failure(f"the peer has waited {timeout} s for {what}; {len(self.syslog)} lines of syslog, {self.requests} requests for an address")

    def ping(self, sequence, size=56, timeout=120, every=0.5):
        """Until it is answered; again and again, since a datagram socket may lose some."""
        data = bytes(i & 0xFF for i in range(size))
        end = time.monotonic() + timeout
        while (sequence, data) not in self.replies:
            if time.monotonic() > end:
                raise Failure(f"no answer to ping {sequence} of {size} bytes")
            self.send_ip(ICMP, echo(77, sequence, data))
            with self._news:
                self._news.wait_for(lambda: (sequence, data) in self.replies, every)

    # --- what it answers ---
    def _receive(self):
        while not self._end:
            try:
                frame = self._socket.recv(65536)
            except socket.timeout:
                continue
            with self._news:
                self._look(frame)
                self._news.notify_all()

    def _look(self, frame):
        kind = struct.unpack_from("!H", frame, 12)[0]
        self.node_mac = frame[6:12]
        if kind == ARP:
            self._arp(frame[14:42])
        elif kind == IPV4:
            packet = frame[14 : 14 + struct.unpack_from("!H", frame, 16)[0]]
            payload = packet[(packet[0] & 15) * 4 :]
            if packet[9] == UDP:
                self._udp(payload)
            elif packet[9] == ICMP and payload[0] == 0:
                self.replies.add((struct.unpack_from("!H", payload, 6)[0], payload[8:]))

    def _arp(self, request):
        operation, mac, address, _, wanted = struct.unpack("!H6s4s6s4s", request[6:])
        self.arps += 1
        if operation == 1 and wanted == PEER_IP:
            self.send(ethernet(mac, ARP, request[:6] + struct.pack("!H6s4s6s4s", 2, PEER_MAC, PEER_IP, mac, address)))

    def _udp(self, datagram):
        port = struct.unpack_from("!H", datagram, 2)[0]
        if port == 67:
            self._dhcp(datagram[8:])
        elif port == SYSLOG_PORT:
            self.syslog.append(datagram[8:].decode())

    def _dhcp(self, request):
        options, kind = request[240:], 0
        while options and options[0] != 255:
            if options[0] == 0:
                options = options[1:]
                continue
            if options[0] == 53:
                kind = options[2]
            options = options[2 + options[1] :]
        self.requests += 1
        answer = {DISCOVER: OFFER, REQUEST: ACK}.get(kind)
        if answer:
            self.send_dhcp(request[4:8], request[28:44], answer)

    def send_dhcp(self, transaction, hardware, kind, more=b""):
        head = struct.pack("!BBBB4sHH4s4s4s4s16s192x4s", 2, 1, 6, 0, transaction, 0, 0, bytes(4), NODE_IP, PEER_IP, bytes(4), hardware, COOKIE)
        lease = struct.pack("!I", self.lease_seconds)
        options = bytes((53, 1, kind, 54, 4)) + PEER_IP + b"\x33\x04" + lease + b"\x01\x04" + MASK + b"\x03\x04" + PEER_IP + more + b"\xff"
        packet = ip(UDP, PEER_IP, b"\xff" * 4, udp(67, 68, head + options))
        self.send(ethernet(BROADCAST, IPV4, packet))
