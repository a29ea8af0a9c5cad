# SPDX-License-Identifier: GPL-2.0-or-later
"""The loops of test/guest/evalloops.c, frozen while they run: which iterations span a freeze, and what those are like."""
import base64
import itertools
import os
import re
import statistics
import zlib

from node import ESCAPE, GUEST_PROMPT, STASIS_PROMPT, Failure, check
from paths import BUILD

# Additions that take 236.6 ms on the bare emulator, as the original's loop took on its nodes.
CPU_ROUNDS = {"qemu": 39403000, "bochs": 1939200}
PASSES = {"qemu": 25000000, "bochs": 1250000}  # of the test kernel's loop: 100 ms
SLEEP_US = 10000  # no iteration of the sleep loop may be shorter
# By how much, in us, an iteration that spans a freeze may differ from the others.
SLEEP_LIMIT = {"qemu": 5, "bochs": 50}
CPU_LIMIT = {"qemu": 50, "bochs": 100}
TICKS_LIMIT = {"qemu": 5, "bochs": 50}
GUEST_FILE = "/tmp/loop"


class Freezes:
    """A series of freezes: the first `first` seconds after it is armed, `between` seconds of the guest's time apart."""

    def __init__(self, length, count, between=5, first=2):
        self.length, self.count, self.between, self.first = length, count, between, first

    def command(self, count=None):
        # --every counts the host's time, from one freeze to the next.
        every = f"{round(self.between * 1000 + to_ms(self.length))}ms"
        return f"freeze --in {self.first}s --for {self.length} --every {every} --count {count or self.count} --json"


def to_ms(length):
    """1ms, 60s, 1h"""
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m|h)", length).groups()
    return float(number) * {"ms": 1, "s": 1000, "m": 60000, "h": 3600000}[unit]


class Run:
    """us[i] and ticks[i]: length of iteration i by gettimeofday and by the TSC; start[i]: the TSC at which it began; span[i]: number of the
    freeze inside it, or None."""

    def __init__(self, start, us, ticks, freezes, hz):
        self.start, self.us, self.ticks, self.hz = start, us, ticks, hz
        self.span = [None] * len(us)
        self.freezes = []  # those that fell into the run
        for f in freezes:
            for i in self._around(f["virtual_ticks"]):
                self.span[i] = f["n"]
                self.freezes.append(f)

    def _around(self, tick):
        """The iteration in which the clock stood at this tick: none, or one."""
        return [i for i, s in enumerate(self.start) if s <= tick <= s + self.ticks[i]][:1]

    def seconds(self, tick):
        """From the run's beginning."""
        return (tick - self.start[0]) / self.hz

    def spanning(self):
        return [u for u, s in zip(self.us, self.span) if s is not None]

    def others(self):
        return [u for u, s in zip(self.us, self.span) if s is None]

    def write_csv(self, path):
        with open(path, "w") as f:
            f.write("iteration,start_s,us,ticks,freeze\n")
            for i, us in enumerate(self.us):
                f.write(f"{i},{self.seconds(self.start[i]):.6f},{us},{self.ticks[i]},{self.span[i] or ''}\n")


def parse(text):
    """What a loop printed: the tick at which each iteration began, its length in us, in ticks."""
    lines = text.splitlines()
    head = re.fullmatch(r"evalloops (?:sleep|cpu) (\d+)", lines[0]) if lines else None
    if not head:
        raise Failure(f"this is not what a loop prints: {text[:200]!r}")
    us, ticks = zip(*(map(int, line.split()) for line in lines[1:]))
    return list(itertools.accumulate(ticks[:-1], initial=int(head[1]))), us, ticks


# --- running them ---
def guest_file(n, path):
    """The contents of a file in the guest, unharmed by the console, and in pieces that pexpect takes lightly."""
    n.run(f"gzip -c {path} | base64 >{path}.b64", timeout=600)
    lines, at, step = int(n.run(f"wc -l <{path}.b64")), 1, 40
    packed = ""
    while at <= lines:
        packed += n.run(f"sed -n {at},{at + step - 1}p {path}.b64", timeout=600)
        at += step
    return zlib.decompress(base64.b64decode(packed), 31).decode()


def frozen_by(n, known):
    """The freezes since there were `known` of them."""
    records = n.ask("freezes")["freezes"]
    return [f for f in records if f["n"] > known]


def known_freezes(n):
    return n.ask("status")["freezes"]


def run_loop(n, kind, iterations, freezes=None, timeout=3600):
    """In the guest's shell; a Run."""
    arguments = f"{kind} {iterations}" + (f" {CPU_ROUNDS[n.emu]}" if kind == "cpu" else "")
    known = known_freezes(n)
    hz = n.ask("time")["tsc_hz"]
    n.run(f"echo '/tests/evalloops {arguments} >{GUEST_FILE}; echo \"\"loop-ends=$?' >/tmp/go")
    # All typed at once: an idle guest's time may run much faster than this program answers.
    go = ". /tmp/go\r"
    n.send(ESCAPE + freezes.command() + "\r" + ESCAPE + go if freezes else go)
    if freezes:
        n.expect(STASIS_PROMPT)
        n.expect(STASIS_PROMPT)
        check('"armed"' in n.before, f"freeze answers {n.before!r}")
    n.expect(r"loop-ends=(\d+)\r?\n", timeout=timeout)
    check(n.child.match.group(1) == "0", f"the loop ends with status {n.child.match.group(1)}")
    n.expect(re.escape(GUEST_PROMPT))
    start, us, ticks = parse(guest_file(n, GUEST_FILE))
    check(len(us) == iterations, f"{len(us)} iterations, not {iterations}")
    run = Run(start, us, ticks, frozen_by(n, known), hz)
    if freezes:
        check_freezes(run, freezes)
    return run


def check_freezes(run, freezes):
    got = len(run.freezes)
    check(got >= freezes.count, f"{got} freezes fell into the loop, not {freezes.count}")
    want = to_ms(freezes.length) * 1e6
    for f in run.freezes:
        check(f["frozen_ns"] is not None and abs(f["frozen_ns"] - want) <= 1e5, f"freeze {f['n']} lasted {f['frozen_ns']} ns, not {want:.0f}")


# --- a kernel without interrupts instead (test/kernel/ticks.c) ---
TICKS_KERNEL = os.path.join(BUILD, "test", "ticks.bzimage")


def ticks_append(emu, rounds):
    """The command line of so many rounds."""
    return f"rounds={rounds} passes={PASSES[emu]}"


def run_ticks(n, rounds, freezes, timeout=3600):
    """From power-on to power-off; a Run, whose us are the TSC's."""
    n.expect("ticks: starts")
    hz = n.ask("time")["tsc_hz"]
    # One is armed until the end: with a deadline ahead Bochs's looks at a guest with interrupts off take longer.
    check('"armed"' in n.stasis(freezes.command(rounds)), "the freezes are not armed")
    n.expect("ticks: ends", timeout=timeout)
    records = frozen_by(n, 0)
    n.send("\r")
    n.expect("ticks: done", timeout=600)
    rows = [tuple(map(int, r)) for r in re.findall(r"ticks: round (\d+) (\d+)", n.before)]
    check(n.wait(120) == 0, "the test kernel's power-off does not switch the machine off")
    check(len(rows) == rounds, f"{len(rows)} rounds, not {rounds}")
    run = Run([r[0] for r in rows], [round(r[1] * 1e6 / hz, 3) for r in rows], [r[1] for r in rows], records, hz)
    check_freezes(run, freezes)
    return run


# --- judging them ---
def errors(run):
    """us by which the iterations that span a freeze differ from the median of the others."""
    usual = statistics.median(run.others())
    return [u - usual for u in run.spanning()]


def sleep_misses(run, emu):
    limit, misses = SLEEP_LIMIT[emu], []
    error = statistics.median(map(abs, errors(run)))
    if error > limit:
        misses.append(f"sleep loop: median error {error:g} us at freezes, not at most {limit}")
    if max(run.spanning()) > max(run.others()) + limit:
        misses.append(f"sleep loop: {max(run.spanning())} us at a freeze; the longest without is {max(run.others())}")
    if min(run.us) < SLEEP_US:
        misses.append(f"sleep loop: a sleep of {SLEEP_US} us ended after {min(run.us)}")
    return misses


def growth_misses(short, long, emu):
    """The error must not depend on how long the freezes were."""
    a, b = (statistics.median(errors(r)) for r in (short, long))
    return [f"sleep loop: the error grows with the freezes' length: {a:g} us, {b:g} us"] if abs(b - a) > SLEEP_LIMIT[emu] else []


def cpu_misses(run, emu):
    limit = CPU_LIMIT[emu]
    low, high = min(run.others()) - limit, max(run.others()) + limit
    return [f"CPU loop: {u} us at a freeze, not within {low} to {high}" for u in run.spanning() if not low <= u <= high]


def ticks_misses(run, emu):
    """A loop that nothing interrupts takes the same time always, so each error counts."""
    return [f"without interrupts: error {e:g} us at a freeze, not at most {TICKS_LIMIT[emu]}" for e in errors(run) if abs(e) > TICKS_LIMIT[emu]]
