# SPDX-License-Identifier: GPL-2.0-or-later
"""The control server (docs/control.md): who gets in, what a connection can do, what a stranger can't."""
import concurrent.futures
import contextlib
import socket
import struct
import threading
import time

import tap
from cases import case
from ctlclient import (ABORT, AES, ARM, ARMED, ATTACH, CHACHA, COMMIT, COMMITTED, CONSOLE, CONSOLE_CHANNEL, ERROR, FREEZE, FROZEN, IDLE, KEY, LOG, NEVER, OUTPUT, PING,
                       PONG, QUERY, SEEN, THAW_ARM, THAW_COMMIT, Client, Coordinator, forwarded)
from node import GUEST_PROMPT, Node, check
from ports import free_port
from tap import Tap

KEYS = [f"control_key={KEY}", "experiment=7", "node=3", "ptp=master"]


def node(log, port, **options):
    return Node(log=log, append="quiet", control=forwarded(port), config=KEYS, **options)


@case()
def commands(log):
    commands_over(log, CHACHA)


@case(long=True)
def commands_over_aes(log):
    commands_over(log, AES)


def commands_over(log, suite):
    """A client with the key runs commands, four at a time; what it reads is what the prompt says; the key is nowhere to be read."""
    port = free_port()
    with node(log, port) as n:
        n.boot()
        with Client(port, suite=suite, log=log) as c:
            hello = c.hello
            check(hello["version"] == 1 and hello["experiment"] == 7 and hello["node"] == 3 and hello["state"] == "running" and hello["boot"] > 0, f"HELLO is {hello}")
            check(c.json("status")["state"] == "running", "status --json")
            check(n.stasis("version") == c.run("version").strip(), "version is another here")
            for channel, line in enumerate(("help", "log", "exits --json", "status"), 1):
                c.start(channel, line)
            c.start(5, "version")
            check(b"too many" in c.take(ERROR, channel=5)[1], "a fifth command is taken")
            answers = [c.finish(channel) for channel in range(1, 5)]
            check(all(ok for _, ok in answers) and "Every command takes --json" in answers[0][0], f"the answers are {answers}")
            check("unknown command" in c.run("frobnicate", ok=False), "a wrong command")
            c.run("freeze")
            check(c.json("status")["state"] == "frozen", "freeze")
            c.run("thaw")
            check(n.run("echo alive") == "alive", "the guest does not go on")
            everything = c.run("log") + c.run("status --json") + c.run("status")
            check("test@host: connected" in everything and "control_key=(hidden)" in everything, f"the log does not name the client: {everything}")
            check(KEY not in everything, "the key can be read")
        n.power_off()
    check(KEY not in n.transcript, "the key was shown on the console")


@case()
def console_and_log(log):
    """The guest's serial console through the connection, for one client at a time; the log as it comes; a client that goes away leaves nothing behind."""
    port = free_port()
    with node(log, port) as n:
        n.boot()
        with Client(port, identity="second", log=log) as other, contextlib.ExitStack() as stack:
            c = stack.enter_context(Client(port, identity="first", log=log))
            c.send(LOG, 9)
            lines = b""
            while b"first: connected" not in lines:
                lines += c.take(LOG, channel=9)[1]
            check(lines.count(b"the guest starts") == 1, f"the log is {lines}")
            c.send(CONSOLE, CONSOLE_CHANNEL)
            c.run("version")  # it is open now
            other.send(CONSOLE, CONSOLE_CHANNEL)
            check(b"another client" in other.take(ERROR, channel=CONSOLE_CHANNEL)[1], "two have the console")
            c.send(CONSOLE, CONSOLE_CHANNEL, b"echo one''two\r")
            seen = b""
            while b"onetwo" not in seen:
                seen += c.take(CONSOLE)[1]
            c.start(3, "selftest roundtrip 50")
            c.close()
            other.run("version")
            while other.json("net status")["clients"] > 1:
                pass
            other.send(CONSOLE, CONSOLE_CHANNEL)
            other.send(CONSOLE, CONSOLE_CHANNEL, b"echo three''four\r")
            seen = b""
            while b"threefour" not in seen:
                seen += other.take(CONSOLE)[1]
        n.expect("threefour")
        n.expect(GUEST_PROMPT)
        check(n.run("echo alive") == "alive", "the guest does not answer")
        n.power_off()


def wrong(n, port, why, log, **options):
    """A client that the node turns away, and the log says why."""
    with Client(port, greet=False, log=log, **options) as c:
        check(c.closed(), f"{why}: the connection lives")
        check(not c.records, f"{why}: the node has spoken: {c.records}")


def raw(port, data, timeout=30):
    """What a stranger gets for some bytes, until the node closes the connection."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout)) as s:
        got = b""
        try:
            s.sendall(data)
            while True:
                more = s.recv(65536)
                if not more:
                    return got
                got += more
        except ConnectionError:
            return got


def spaced():
    """The node takes four connections a second in the mean, and logs one complaint a second."""
    time.sleep(1.1)


@case()
def strangers(log):
    """Without the key there is no way in: a wrong key, another suite, garbage, a handshake that takes its time; each is logged with its address, once a second at most."""
    port = free_port()
    with node(log, port) as n:
        n.boot()
        for why, said, options in (
            ("wrong key", "wrong key", {"key": "ff" * 32}),
            ("short key", "wrong key", {"key": KEY[:-2]}),
            ("bad identity", "bad PSK identity", {"identity": "two words"}),
            ("long identity", "bad PSK identity", {"identity": "x" * 65}),
            ("another suite", "none of its suites is served", {"suite": "PSK-AES256-GCM-SHA384"}),
        ):
            wrong(n, port, why, log, **options)
            check(said in n.stasis("log").splitlines()[-1], f"{why}: the log ends with {n.stasis('log').splitlines()[-3:]}")
            spaced()
        for data in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x40\x00" + b"x" * 5000, b"\x16\x03\x01\x00\x04\x01\x00\xff\xff", bytes(3000), b"\x80\x2e\x01\x03\x01" + bytes(60)):
            raw(port, data)
            spaced()
        begin = time.monotonic()
        raw(port, b"\x16\x03\x01", timeout=60)
        check(8 < time.monotonic() - begin < 40, f"a handshake that stands still was ended after {time.monotonic() - begin:.0f} s")
        text = n.stasis("log")
        check("is this TLS?" in text and "handshake takes too long" in text, f"the log is {text}")
        with Client(port, log=log) as c:
            s = c.json("net status")
            check(s["clients"] == 1 and s["refused"] >= 11, f"net status is {s}")
        n.power_off()


@case()
def bad_records(log):
    """With the key, but not by the protocol: told why, and closed; others and the guest don't notice."""
    port = free_port()
    rest = struct.Struct("<IBBH")
    with node(log, port) as n, contextlib.ExitStack() as stack:
        n.boot()
        good = stack.enter_context(Client(port, identity="good", log=log))
        for why, data in (
            ("over 1024 bytes", rest.pack(1025, 2, 0, 1)),
            ("over 1024 bytes", rest.pack(0xFFFFFFFF, 2, 0, 1)),
            ("that no client sends", rest.pack(0, OUTPUT, 0, 1)),
            ("that no client sends", rest.pack(0, 77, 0, 1)),
            ("that no client sends", rest.pack(0, 2, 1, 1)),
            ("second HELLO", rest.pack(2, 1, 0, 0) + b"{}"),
            ("64 bytes at most", rest.pack(65, PING, 0, 0) + bytes(65)),
            ("channel of its own", rest.pack(7, 2, 0, 0) + b"version"),
        ):
            with Client(port, log=log) as c:
                c.send_bytes(data)
                check(why in c.take(ERROR, channel=0)[1].decode(), f"{why}: not said")
                check(c.closed(), f"{why}: not closed")
            check(good.run("version"), "the other connection suffers")
            spaced()
        with Client(port, greet=False, log=log) as c:
            c.take(1)
            c.send(2, 1, b"version")
            check(b"HELLO" in c.take(ERROR)[1] and c.closed(), "a client without a HELLO")
        spaced()
        with Client(port, log=log) as c:
            c.send_bytes(rest.pack(10, 2, 0, 1) + b"ver")
            check(b"does not come" in c.take(ERROR, timeout=60)[1] and c.closed(), "half a record")
        good.send(2, 3, b"a\0b")
        check(b"one line" in good.take(ERROR, channel=3)[1], "a NUL in a command")
        good.send(FREEZE, 0, b"garbage")
        good.send(PING, 5, b"still there?")
        check(good.take(PONG, channel=5)[1] == b"still there?", "no PONG")
        check(n.run("echo alive") == "alive", "the guest does not answer")
        n.power_off()


class Wiretap(threading.Thread):
    """Passes one connection on, and keeps what the client sent; `again` sends its latest bytes a second time."""

    def __init__(self, to):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.to, self.sent = to, []
        self.start()

    def run(self):
        near, _ = self.listener.accept()
        self.far = socket.create_connection(("127.0.0.1", self.to))
        back = threading.Thread(target=self.copy, args=(self.far, near, None), daemon=True)
        back.start()
        self.copy(near, self.far, self.sent)

    @staticmethod
    def copy(source, to, keep):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keep is not None:
                    keep.append(data)
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def again(self):
        self.far.sendall(self.sent[-1])


@case()
def replay(log):
    """What was heard on the wire opens nothing: a whole session sent again, and a single record within its own session."""
    port = free_port()
    with node(log, port) as n:
        n.boot()
        tap = Wiretap(port)
        with Client(tap.port, log=log) as c:
            c.run("version")
            before = len(tap.sent)
            c.run("freeze")
            check(c.run("thaw"), "thaw")
            check(len(tap.sent) > before, "nothing was heard")
            tap.again()
            check(c.closed(), "a record sent twice is taken")
        spaced()
        raw(port, b"".join(tap.sent))
        spaced()
        with Client(port, log=log) as c:
            text = c.run("log")
            check("a record was damaged or replayed" in text and "wrong key" in text, f"the log is {text}")
            check(c.json("freezes")["total"] == 1, "the replay has frozen the node")
        n.power_off()


def besiege(address, times):
    """So many connections as fast as they go, each with some garbage; how many there were, turned away or not."""
    def some(k):
        done = 0
        for i in range(times // 8):
            try:
                with contextlib.closing(socket.create_connection(address, 5)) as s:
                    done += 1
                    if (i + k) % 3:
                        s.sendall(b"\x16\x03\x01\x02\x00" if i % 2 else b"garbage" * 50)
            except OSError:
                pass  # a reset; or the SYN was dropped, since too many were half open
        return done

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sum(pool.map(some, range(8)))


@case()
def limits(log):
    """Eight connections, two handshakes, four new ones a second; 10,000 attempts later the node serves as before, and a client that was there has not noticed."""
    if tap.skipped(log, "control.limits"):
        return
    with Tap() as wire, Node(log=log, append="quiet", control=wire.netdev, config=KEYS + wire.config) as n, contextlib.ExitStack() as stack:
        n.boot()
        def client(**options):
            return Client(4789, host=wire.node, log=log, **options)

        clients = []
        for i in range(8):
            clients.append(stack.enter_context(client(identity=f"client{i}")))
            time.sleep(0.3)  # the limit of new connections
        s = clients[0].json("net status")
        check(s["clients"] == 8 and s["turned_away"] == 0, f"eight clients: {s}")
        with client(greet=False) as ninth:
            check(ninth.closed() and not ninth.records, "a ninth is let in")
        for c in clients[1:]:
            c.close()
        free = clients[0].json("status")["hypervisor_free"]
        begin = time.monotonic()
        done = besiege((wire.node, 4789), 10000)
        log.write(f"{done} connections in {time.monotonic() - begin:.0f} s\n")
        s = clients[0].json("net status")
        check(done > 5000 and s["turned_away"] + s["refused"] > 5000 and s["clients"] == 1, f"after the siege of {done}: {s}")
        check(clients[0].json("status")["hypervisor_free"] == free, "memory is gone")
        lines = clients[0].run("log").count("closed")
        check(lines <= time.monotonic() - begin + 10, f"{lines} lines of the log are about it")
        time.sleep(3)  # the burst is allowed again
        with client() as c:
            check(c.run("version"), "a new client")
        check(n.run("echo alive") == "alive", "the guest does not answer")
        n.power_off()


MS = 1000000


def armed(co, delay_ms, until_ms=None):
    """An epoch that the node is armed and committed for: its T and T'."""
    co.epoch += 1
    now = co.ask(QUERY)["now"]
    at = now + delay_ms * MS
    until = NEVER if until_ms is None else at + until_ms * MS
    r = co.ask(ARM, at=at, until=until, limit=5000 * MS, bound=1 * MS)
    check(r["refusal"] == 0 and r["state"] == ARMED, f"ARM: {r}")
    r = co.ask(COMMIT, at=at, until=until, limit=5000 * MS, bound=1 * MS)
    check(r["refusal"] == 0 and r["state"] in (COMMITTED, FROZEN), f"COMMIT: {r}")
    return at, until


def attached(c, **options):
    co = Coordinator(c, **options)
    r = co.ask(ATTACH, boot=0, epoch=0)
    check(r["refusal"] == 0 and r["obeys"] == co.incarnation and r["boot"] == c.hello["boot"], f"ATTACH: {r}")
    return co


@case(machine=[("qemu", 1), ("qemu", 2)], long=[("qemu", 1)])
def freezes(log, machine):
    """By the protocol: frozen at T for exactly T' - T; called off; open, and thawed by another coordinator after the first one's connection was cut."""
    _, cpus = machine
    port = free_port()
    with node(log, port, cpus=cpus) as n, contextlib.ExitStack() as stack:
        n.boot()
        first = stack.enter_context(Client(port, identity="first", log=log))
        while not first.json("time")["shared"]["locked"]:  # alone, it becomes master after some seconds
            pass
        co = attached(first)

        at, until = armed(co, 1500, 700)
        check("has a freeze of its own" in first.run("freeze --in 1s", ok=False) and "of its own" in first.run("freeze --cancel", ok=False), "the plan can be taken away")
        r = co.report(lambda r: r["state"] == FROZEN, "of the freeze")
        check(r["at"] == at and r["late"] < 100 * MS and r["flags"] == 0, f"frozen: {r}")
        check(first.json("time")["shared"]["held"], "the servo is not held")
        co.send(SEEN, seen=r["number"])
        r = co.report(lambda r: r["state"] == IDLE, "of the thaw")
        log.write(f"late {r['late']} ns, thaw late {r['thaw_late']} ns\n")
        more = r["frozen"] - (until - at)
        check(r["result"] == 1 and min(abs(more), abs(more - r["thaw_late"])) < 1000, f"thawed: {r}")
        s = first.json("status")
        check(s["freezes"] == 1 and s["experiment"]["result"] == "done" and s["state"] == "running", f"status: {s}")

        co.epoch += 1
        at = co.ask(QUERY)["now"] + 600 * MS
        check(co.ask(ARM, at=at, limit=MS, bound=MS)["state"] == ARMED, "ARM")
        r = co.ask(ABORT)
        check(r["state"] == IDLE and r["result"] == 2, f"ABORT: {r}")
        co.epoch += 1
        r = co.ask(ARM, at=co.ask(QUERY)["now"] + MS // 10, limit=MS, bound=MS)
        check(r["refusal"] == 6, f"an ARM that is too late: {r}")
        r = co.ask(ARM, at=co.ask(QUERY)["now"] + 1000 * MS, limit=MS, bound=MS, boot=co.boot ^ 1)
        check(r["refusal"] == 2, f"an ARM for another boot: {r}")

        armed(co, 1000)
        co.report(lambda r: r["state"] == FROZEN, "of the open freeze")
        first.close()
        check(n.ask("status")["state"] == "frozen", "the node does not stay frozen")
        second = stack.enter_context(Client(port, identity="second", log=log))
        check(second.hello["state"] == "frozen" and second.hello["boot"] == co.boot, f"HELLO: {second.hello}")
        epoch, co = co.epoch, attached(second, incarnation=co.incarnation + 1000)
        co.epoch = epoch
        until = co.ask(QUERY)["now"] + 500 * MS
        check(co.ask(THAW_ARM, until=until, round=1)["thaw"] == 1, "THAW_ARM")
        check(co.ask(THAW_COMMIT, until=until, round=1)["thaw"] in (0, 2), "THAW_COMMIT")
        r = co.report(lambda r: r["state"] == IDLE, "of the thaw")
        check(r["result"] == 1 and r["until"] == until, f"thawed: {r}")

        second.run("freeze")
        co.epoch += 1
        check(co.ask(ARM, at=co.ask(QUERY)["now"] + 1000 * MS, limit=MS, bound=MS)["refusal"] == 5, "a node frozen by hand takes part")
        second.run("thaw")
        check(n.ask("freezes")["total"] == 3 and n.run("echo alive") == "alive", "the guest does not go on")
        n.power_off()
