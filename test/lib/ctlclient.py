# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the control server (docs/control.md): records over `openssl s_client`, the freeze protocol's messages (docs/protocol.md)."""
import contextlib
import json
import struct
import subprocess
import threading
import time

from node import Failure, check

KEY = "00112233445566778899aabbccddeeff" * 2
HELLO, COMMAND, OUTPUT, DONE, FREEZE, CONSOLE, LOG, ERROR, PING, PONG = range(1, 11)
CONSOLE_CHANNEL = 0xFFFF
CHACHA, AES = "PSK-CHACHA20-POLY1305", "PSK-AES128-GCM-SHA256"
CLIENT_HELLO = b'{"version":1,"client":"test"}'


def forwarded(port, node_port=4789):
    """QEMU's -netdev, less its id, that brings a port of this host to the node's."""
    return f"user,hostfwd=tcp:127.0.0.1:{port}-:{node_port}"


class Closed(Failure):
    """The node has closed the connection."""


class Client:
    """Use as a context manager. Records that come are kept, in order; a test waits for those it wants."""

    def __init__(self, port, host="127.0.0.1", key=KEY, identity="test@host", suite=CHACHA, greet=True, log=None, patience=60):
        self.log, self.patience = log, patience
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-cipher", suite, "-psk", key, "-psk_identity", identity,
                   "-maxfraglen", "1024", "-quiet", "-nocommands", "-no_ticket"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.records, self.ended, self.errors = [], False, b""
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._read, self._read_errors)]
        for t in self._threads:
            t.start()
        self.hello = None
        if greet:
            self.hello = json.loads(self.take(HELLO)[1])
            self.send(HELLO, 0, CLIENT_HELLO)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        for t in self._threads:
            t.join()
        for f in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                f.close()

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors += line

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.process.stdout.read1(n - len(data))
            if not more:
                return None
            data += more
        return data

    def _read(self):
        while True:
            head = self._exactly(8)
            size, kind, zero, channel = struct.unpack("<IBBH", head) if head else (0, 0, 0, 0)
            payload = self._exactly(size) if head else None
            with self._news:
                if payload is None:
                    self.ended = True
                elif kind == PING:
                    self.send(PONG, channel, payload)
                else:
                    if self.log:
                        self.log.write(f"control: {kind} {channel} {payload[:200]!r}\n")
                    self.records.append((kind, channel, payload, zero))
                self._news.notify_all()
                if self.ended:
                    return

    # --- records ---
    def send_bytes(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except OSError:
            pass  # closed: whoever waits for an answer is told

    def send(self, kind, channel, payload=b""):
        self.send_bytes(struct.pack("<IBBH", len(payload), kind, 0, channel) + payload)

    def take(self, *kinds, channel=None, timeout=None):
        """The first record of these kinds, (channel, payload), which is then no longer kept."""
        def find():
            return next((r for r in self.records if r[0] in kinds and channel in (None, r[1])), None)

        with self._news:
            self._news.wait_for(lambda: find() or self.ended, timeout or self.patience)
            r = find()
            if not r and self.ended:
                raise Closed(f"the connection was closed before a record {kinds}; {self.errors.decode(errors='replace')[-500:]}")
            if not r:
                raise Failure(f"no record {kinds} within {timeout or self.patience} s; there are {[r[:3] for r in self.records]}")
            self.records.remove(r)
            return r[0], r[2]

    def closed(self, timeout=None):
        with self._news:
            return self._news.wait_for(lambda: self.ended, timeout or self.patience)

    # --- commands ---
    def start(self, channel, line):
        self.send(COMMAND, channel, line.encode())

    def finish(self, channel, timeout=None):
        """(output, ok)"""
        output = b""
        while True:
            kind, payload = self.take(OUTPUT, DONE, ERROR, channel=channel, timeout=timeout)
            if kind == ERROR:
                raise Failure(f"ERROR: {payload.decode()}")
            if kind == DONE:
                return output.decode(), struct.unpack("<I", payload)[0] == 0
            output += payload

    def run(self, line, channel=7, ok=True, timeout=None):
        self.start(channel, line)
        output, was_ok = self.finish(channel, timeout)
        check(was_ok == ok, f"{line!r} has ended {'well' if was_ok else 'badly'}: {output}")
        return output

    def json(self, line):
        return json.loads(self.run(line + " --json"))


# --- the freeze protocol ---
QUERY, ATTACH, SEEN, ARM, COMMIT, ABORT, THAW_ARM, THAW_COMMIT, REPORT = range(1, 10)
NEVER = (1 << 64) - 1
IDLE, ARMED, COMMITTED, FROZEN = range(4)
HEAD = struct.Struct("<4sBBHQQQQIIQ")


class Coordinator:
    """The least that a coordinator of one node is: it sends commands and looks at the reports."""

    def __init__(self, client, incarnation=None):
        self.client = client
        self.boot, self.node, self.experiment = client.hello["boot"], client.hello["node"], client.hello["experiment"]
        self.incarnation = incarnation or int(time.time() * 1e6)
        self.epoch, self.seq = self.incarnation, 0

    def send(self, kind, at=0, until=NEVER, limit=0, bound=0, round=0, seen=0, boot=None, epoch=None):
        self.seq += 1
        body = struct.pack("<QQQQQ", seen, at, until, limit, bound)
        head = HEAD.pack(b"SFRZ", 1, kind, HEAD.size + len(body), self.experiment, self.incarnation, self.epoch if epoch is None else epoch,
                         self.boot if boot is None else boot, self.node, round, self.seq)
        self.client.send(FREEZE, 0, head + body)
        return self.seq

    def report(self, condition, what, timeout=60):
        """The first report of which that holds."""
        end = time.monotonic() + timeout
        last = None
        while time.monotonic() < end:
            _, payload = self.client.take(FREEZE, timeout=timeout)
            last = decode(payload)
            if condition(last):
                return last
        raise Failure(f"no report {what}; the last is {last}")

    def ask(self, kind, **options):
        seq = self.send(kind, **options)
        return self.report(lambda r: r["seq"] == seq, f"that answers {kind}")


REPORT_BODY = struct.Struct("<QQBBBBB3xQQQQQQQQQQQ")
REPORT_FIELDS = ("number", "obeys", "state", "thaw", "result", "refusal", "flags", "at", "until", "late_limit", "now", "bound", "margin", "late", "frozen",
                 "thaw_late", "freeze_bound", "thaw_bound")


def decode(message):
    magic, version, kind, length, experiment, incarnation, epoch, boot, node, round, seq = HEAD.unpack_from(message)
    check(magic == b"SFRZ" and version == 1 and kind == REPORT and length == len(message) == 168, f"no report: {message!r}")
    r = dict(zip(REPORT_FIELDS, REPORT_BODY.unpack_from(message, HEAD.size)))
    return {**r, "experiment": experiment, "incarnation": incarnation, "epoch": epoch, "boot": boot, "node": node, "round": round, "seq": seq}
