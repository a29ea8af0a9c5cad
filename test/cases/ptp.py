# SPDX-License-Identifier: GPL-2.0-or-later
"""net/ptp_clock.c against linuxptp's ptp4l, each in a network namespace of its own, with software time stamps; and a whole node against it.

ptp4l gives out, and measures against, the host's CLOCK_REALTIME, and never sets it (free_running). Ours has a local clock that is wrong on purpose, so that the truth is known."""
import contextlib
import itertools
import json
import os
import re
import statistics
import subprocess
import threading
import time

import tap
from cases import case
from ctlclient import KEY, Client
from node import Failure, Node, check
from paths import BUILD
from tap import Tap

PTP = os.path.join(BUILD, "test", "ptp")
LOCK_SECONDS = 30  # from the grandmaster's first message
WATCH_SECONDS = 20


def sh(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Wire:
    """Two namespaces joined by a pair of virtual cards."""

    count = itertools.count()

    def __init__(self):
        which = f"{os.getpid()}-{next(self.count)}"
        self.names = [f"stasis-{which}{i}" for i in "ab"]
        self.cards = [f"p{which}{i}" for i in "ab"]

    def __enter__(self):
        try:
            for name in self.names:
                self.ip("netns", "add", name)
            self.ip("link", "add", self.cards[0], "type", "veth", "peer", "name", self.cards[1])
            for i, (name, card) in enumerate(zip(self.names, self.cards)):
                self.ip("link", "set", card, "netns", name)
                self.ip("-n", name, "addr", "add", f"10.88.0.{i + 1}/24", "dev", card)
                self.ip("-n", name, "link", "set", card, "up")
        except Failure:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in self.names:
            sh("ip", "netns", "del", name)
        return False

    @staticmethod
    def ip(*words):
        r = sh("ip", *words)
        if r.returncode != 0:
            raise Failure(f"ip {' '.join(words)}: {r.stdout.strip()}")

    def command(self, side, *words):
        return ["ip", "netns", "exec", self.names[side], *words]

    def ptp4l(self, *words):
        return self.command(0, "ptp4l", "-i", self.cards[0], "-S", "-m", "-q", "--free_running", "1", *words)

    def ours(self, *words):
        return self.command(1, PTP, *words, self.cards[1])


def possible():
    """Can namespaces be made here?"""
    return sh("unshare", "--net", "--", "true").returncode == 0 and os.geteuid() == 0


@contextlib.contextmanager
def running(command, log, name):
    """A program, and its lines as they come; ended with the block."""
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    watchdog = threading.Timer(180, p.kill)
    watchdog.start()

    def lines():
        for line in p.stdout:
            log.write(f"{name}: {line}")
            yield line

    try:
        yield lines()
    finally:
        watchdog.cancel()
        p.terminate()
        p.wait()
        log.write(p.stdout.read())


def reports(lines):
    return (json.loads(line) for line in lines if line.startswith("{"))


def until(reports, condition):
    """The first report of which that holds."""
    for r in reports:
        if condition(r):
            return r
    raise Failure("our clock's program has ended, or says nothing any more")


def drained(lines):
    """Read in the background, so that the program never waits for its reader."""
    threading.Thread(target=lambda: list(lines), daemon=True).start()


def skipped(log):
    if possible():
        return False
    log.write("SKIPPED: network namespaces need root\n")
    print("     ptp: SKIPPED, network namespaces can't be made here (they need root)", flush=True)
    return True


@case()
def slave_of_ptp4l(log):
    """Ours, 30 ppm fast and 5 ms off, locks to ptp4l within 30 s, and then its bound contains the truth; when the grandmaster vanishes it holds over."""
    if skipped(log):
        return
    with Wire() as wire, running(wire.ours("--slave-only", "--ppb", "30000", "--offset", "5000000"), log, "ours") as lines:
        ours = reports(lines)
        with running(wire.ptp4l("--priority1", "10"), log, "ptp4l") as others:
            drained(others)
            slave = until(ours, lambda r: r["state"] == "slave")
            locked = until(ours, lambda r: r["locked"])
            took = locked["t"] - slave["t"]
            watched = [next(ours) for _ in range(WATCH_SECONDS)]
        held = [next(ours) for _ in range(15)]
    log.write(f"locked {took:.0f} s after the first Announce\n")
    check(took <= LOCK_SECONDS, f"locked after {took:.0f} s only")
    check(locked["steps"] == 1 and watched[-1]["steps"] == 1, "the clock was not stepped once")
    for what, samples in ("locked", watched), ("without a grandmaster", held):
        outside = [r for r in samples if abs(r["error_ns"]) > r["bound_ns"]]
        log.write(f"{what}: error p50 {statistics.median(abs(r['error_ns']) for r in samples)} ns, max {max(abs(r['error_ns']) for r in samples)} ns, "
                  f"bound p50 {statistics.median(r['bound_ns'] for r in samples)} ns, outside {len(outside)}\n")
        check(len(outside) * 100 <= len(samples), f"{what}: {len(outside)} of {len(samples)} true errors are beyond the bound, {outside[:1]}")
    check(sum(r["locked"] for r in watched) >= len(watched) * 3 // 4, "the lock does not last")
    check(held[-1]["state"] == "listening" and held[-1]["bound_ns"] > held[0]["bound_ns"], "the bound does not grow without a grandmaster")


@case()
def grandmaster_of_ptp4l(log):
    """ptp4l takes ours as its grandmaster, and measures no offset from the time that ours gives out."""
    if skipped(log):
        return
    offsets = []
    with Wire() as wire, running(wire.ours("--priority", "5", "--ppb", "-20000", "--true-time"), log, "ours") as lines:
        drained(lines)
        with running(wire.ptp4l("-s"), log, "ptp4l") as others:
            for line in others:
                m = re.search(r"master offset\s+(-?\d+) .*path delay\s+(-?\d+)", line)
                if m:
                    offsets.append(abs(int(m[1])))
                if len(offsets) == 10:
                    break
    check(len(offsets) == 10, "ptp4l does not follow")
    log.write(f"ptp4l: offset p50 {statistics.median(offsets)} ns\n")
    check(statistics.median(offsets) < 100000, f"ptp4l is {statistics.median(offsets)} ns off")


@case()
def better_master_wins(log):
    """Ours is master while it is alone, gives way to a better ptp4l, and takes over when that is gone."""
    if skipped(log):
        return
    with Wire() as wire, running(wire.ours("--priority", "100"), log, "ours") as lines:
        ours = reports(lines)
        until(ours, lambda r: r["state"] == "master")
        with running(wire.ptp4l("--priority1", "10"), log, "ptp4l") as others:
            drained(others)
            until(ours, lambda r: r["state"] == "slave")
        until(ours, lambda r: r["state"] == "master")


def whole(log, wire, *config):
    return Node(log=log, append="quiet", control=wire.netdev, config=[f"control_key={KEY}", *wire.config, *config])


def shared_time(c, condition, what, patience=120):
    end = time.monotonic() + patience
    while True:
        s = c.json("time")["shared"]
        if condition(s):
            return s
        check(time.monotonic() < end, f"{what}: not within {patience} s; {s}")


@case(alone=True)
def node_follows_ptp4l(log):
    """A whole node, slave of ptp4l on this host: it locks, and its shared time is this host's, within its bound and the time that asking takes."""
    if tap.skipped(log, "ptp.node_follows_ptp4l"):
        return
    with Tap() as wire, whole(log, wire, "ptp=slave") as n, running(wire.ptp4l("--priority1", "10"), log, "ptp4l") as others:
        drained(others)
        n.boot()
        with Client(4789, host=wire.node) as c:
            s = shared_time(c, lambda s: s["locked"], "locked")
            check(s["ptp"] == "slave" and s["master"] and s["steps"] >= 1, f"shared time is {s}")
            outside = 0
            for _ in range(20):
                before = time.time_ns()
                s = c.json("time")["shared"]
                after = time.time_ns()
                bound = s["bound_ns"] or 0
                log.write(f"off by {s['shared_ns'] - before} to {s['shared_ns'] - after} ns; {s}\n")
                outside += not before - bound <= s["shared_ns"] <= after + bound
            check(outside <= 1, f"{outside} of 20 readings are beyond the bound")
            c.run("freeze")
            s = shared_time(c, lambda s: s["locked"], "locked while the guest is frozen")
            check(s["ptp"] == "slave", f"while the guest is frozen: {s}")
            c.run("thaw")
        n.power_off()


@case(alone=True)
def ptp4l_follows_node(log):
    """ptp4l on this host takes a node as its master, and gets Sync, Follow_Up and Delay_Resp that make sense."""
    if tap.skipped(log, "ptp.ptp4l_follows_node"):
        return
    rounds = []
    with Tap() as wire, whole(log, wire, "ptp=master") as n:
        n.boot()
        with running(wire.ptp4l("-s"), log, "ptp4l") as others:
            for line in others:
                m = re.search(r"master offset\s+(-?\d+) .*path delay\s+(-?\d+)", line)
                if m:
                    rounds.append((int(m[1]), int(m[2])))
                if len(rounds) == 12:
                    break
        check(len(rounds) == 12, "ptp4l does not follow")
        offsets, delays = zip(*rounds[2:])
        log.write(f"offsets {offsets}, delays {delays}\n")
        middle = statistics.median(offsets)
        check(all(0 < d < 20000000 for d in delays), f"the path's delay is {delays}")
        check(statistics.median(abs(o - middle) for o in offsets) < 5000000, f"the offsets are {offsets}")
        n.power_off()
