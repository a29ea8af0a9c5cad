# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that is frozen again and again can't tell: by no clock, no time-out, no message of its kernel."""
import bisect
import contextlib
import random
import re
from typing import NamedTuple

from bare import complaints
from cases import case
from evalloops import guest_file
from frozen import lasted
from node import Node, check
from paths import QEMU_MENDED
from watch import LOAD_LINE, Watch, parse

MS = 1000000  # ns
S = 1000 * MS
HOUR = 3600 * S
QUIET = ("clocks", "timeouts")
LOADED = ("clocks", "timeouts", "boardclocks", "load")
CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

# Gauges that move with the tick (4 ms), or depend on threads that others may hold up: held against themselves, with the
# tick's slack.
BY_TICKS = ("realtime_coarse", "monotonic_coarse", "times", "uptime", "timer_list", "rtc", "socket", "timer_thread")
FEW = 5  # of them at least are noticed right after freezes
CHANCES = 200
ENOUGH = 20  # for half of them to mean something
TICK = 10 * MS  # a program's clock tick
# How far a comparison with another clock may be off, since that one is read slowly or in large steps.
# The RTC's edges are a handful in a run, each noticed when its thread gets to run.
RESOLUTION = {"times": TICK, "uptime": TICK, "rtc_edge": TICK, "rtc_alarm": TICK}


# What is seen so soon after a freeze is its doing; what is seen elsewhere is the guest's own: its kernel does not preempt itself, and forks.
NEAR_NS = MS


class Machine:
    """One emulated machine, and by how much (ns) a run with freezes may exceed the unfrozen one before: chance differs."""

    def __init__(self, emu, cpus, step, late, own, usual, jump, away):
        self.options = {"emu": emu, "cpus": cpus, "icount": emu == "qemu" and cpus == 1}
        self.real_time = emu == "qemu" and cpus > 1
        if self.real_time:
            self.options["qemu"] = QEMU_MENDED  # see docs/testing.md: threads race for flags
        self.step = step  # the largest step of a clock
        self.late = late  # the latest time-out, and the latest interrupt of the board's
        self.own = own  # both, away from freezes
        self.usual = usual  # half of all time-outs of a kind, and nine tenths of those near freezes
        self.jump = jump  # two clocks against each other
        self.away = away  # how long Stasis keeps a CPU from its guest at once, frozen or not

    def __str__(self):
        return f"{self.options['emu']}-{self.options['cpus']}"


HRTIMER = re.compile(r"hrtimer: interrupt took (\d+) ns")
# The bare kernel says so, too, when that many time-outs meet: up to 123 us, nine times in 27 s in Bochs.
HRTIMER_NS = 200_000


# Deterministic time: a chance more of what happens anyway (interrupts that meet). Real time: what this host does to an
# emulator that it does not run for a while; a freeze of 5 s that a clock saw stands out, and one of 100 ms for every
# kind of time-out, every time, does in their 99 %.
# Who reads the RTC while it updates itself (2 ms of each second) waits for it in the kernel, in steps of 1 ms, and nobody else runs.
ICOUNT = Machine("qemu", 1, step=50_000, late=50_000, own=3 * MS, usual=10_000, jump=2_000, away=20_000)
BOCHS = [Machine("bochs", cpus, step=3 * MS, late=3 * MS, own=10 * MS, usual=200_000, jump=10_000, away=100_000) for cpus in (1, 2)]
REAL_TIME = [Machine("qemu", cpus, step=S, late=S, own=S, usual=20 * MS, jump=20 * MS, away=S) for cpus in (2, 4)]


def freezes(n):
    return n.ask("freezes")


class Set:
    """So many freezes, all as long (ns), with as much time of the guest (ns) between one and the next: chance chooses
    how much, and so the moments. Armed by one command: nothing is typed while the clocks are watched."""

    def __init__(self, length, count, rng):
        self.length, self.count = length, count
        self.delay, self.gap = rng.randrange(30 * MS), rng.randrange(5 * MS, 40 * MS)

    def command(self):
        return f"freeze --in {self.delay}ns --for {self.length}ns --every {self.length + self.gap}ns --count {self.count}"

    def last(self, n, in_vain):
        """Until it is over, or would be; a busy host may hold real time up."""
        n.run(f"usleep {(self.delay + self.count * self.gap) // 1000 + 20000}", timeout=600)
        while n.ask("status")["armed"] and not in_vain:
            n.run("usleep 100000", timeout=600)


def kernel_complains(n, machine):
    lines = n.run("dmesg -r", timeout=300).splitlines()
    usual = [line for line in lines if (m := HRTIMER.search(line)) and int(m[1]) <= HRTIMER_NS]
    return complaints("\n".join(line for line in lines if line not in usual), machine.real_time)


class Lap(NamedTuple):
    figures: dict  # what the programs measured
    each: list  # of each precise time-out, at which tick it was noticed, and how late (ns)
    away: int  # the longest time (ns) at once that Stasis kept a CPU from its guest


def lap(n, machine, programs, sets, hz, in_vain):
    watch = Watch(n, programs, machine.real_time)
    n.stasis("exits reset")
    for each in sets:
        command = "freeze --in 100h --for 1ms" if in_vain else each.command()
        answer = n.stasis(command)
        check(answer.startswith("armed"), f"{command!r} answers {answer!r}")
        each.last(n, in_vain)
    longest = n.ask("exits")["longest"]
    figures = watch.stop()
    n.stasis("freeze --cancel")
    each = [tuple(map(int, line.split())) for line in guest_file(n, Watch.EACH).splitlines()]
    return Lap(figures, each, max(cpu["ticks"] for cpu in longest) * S // hz)


def events(each, hz):
    """The lateness of these time-outs (tick, late). Those that waited for a CPU together count once: that is one event, the latest of them."""
    found, until = [], 0
    for tsc, late in sorted(each):
        if found and tsc - late * hz / S <= until:
            found[-1] = max(found[-1], late)
        else:
            found.append(late)
        until = tsc
    return found


class Near:
    """Is one of these ticks (the guest's) in what ended at `tsc` and lasted so many ns, or right before it?"""

    def __init__(self, ticks, hz):
        self.ticks = sorted(ticks)
        self.hz = hz

    def __call__(self, tsc, ns):
        latest = bisect.bisect_right(self.ticks, tsc) - 1
        return latest >= 0 and tsc - self.ticks[latest] <= (NEAR_NS + ns) * self.hz / S

    def of(self, each):
        """The lateness of those time-outs (tick, late) that are."""
        return events([(tsc, late) for tsc, late in each if self(tsc, late)], self.hz)

    def chance(self, each, rng):
        """As many ticks as these, anywhere in another run."""
        first, last = min(each)[0], max(each)[0]
        return Near([rng.randrange(first, last) for _ in self.ticks], self.hz)


def frozen_and_not(n, log, machine, programs, sets):
    """Unfrozen for as long and with as much typing, then with freezes."""
    hz = n.ask("time")["tsc_hz"]
    unfrozen = lap(n, machine, programs, sets, hz, in_vain=True)
    messages = kernel_complains(n, machine)
    before = freezes(n)["total"]
    frozen = lap(n, machine, programs, sets, hz, in_vain=False)
    lengths = [each.length for each in sets for _ in range(each.count)]
    records = freezes(n)
    check(records["total"] - before == len(lengths), f"{records['total'] - before} freezes, not {len(lengths)}")
    for record, length in zip(reversed(records["freezes"]), reversed(lengths)):
        check(lasted(record, length), f"a freeze for {length} ns: {record}")
    near = Near([r["virtual_ticks"] for r in records["freezes"]], hz)
    report(log, frozen.figures, unfrozen.figures)
    problems = compare(machine, frozen.figures, unfrozen.figures, near)
    problems += compare_each(log, machine, near, frozen.each, unfrozen.each)
    if machine.real_time:
        problems += compare_all(log, machine, *(events(run.each, hz) for run in (frozen, unfrozen)))
    log.write(f"Stasis kept a CPU from its guest for {frozen.away} ns at most, without freezes {unfrozen.away}\n")
    if frozen.away > unfrozen.away + machine.away:
        problems.append(f"Stasis kept a CPU from its guest for {frozen.away} ns at once, without freezes {unfrozen.away}")
    check(not problems, "with freezes:\n" + "\n".join(problems))
    new = kernel_complains(n, machine) - messages
    check(not new, "with freezes the kernel complains:\n" + "\n".join(sorted(new)))


def report(log, frozen, unfrozen):
    log.write("\n")
    for key, fields in frozen.items():
        pairs = (f"{name}={value:.0f} ({unfrozen[key][name]:.0f})" for name, value in fields.items() if key in unfrozen)
        log.write(f"with freezes (without): {' '.join(key)} {' '.join(pairs)}\n")


def compare(machine, frozen, unfrozen, near):
    """No clock stepped further, no time-out was later than without freezes, and no two clocks came apart: what is wrong."""
    problems = []

    def at_most(key, field, limit):
        if frozen[key].get(field, 0) > limit:
            problems.append(f"{' '.join(key)} {field}={frozen[key][field]:.0f}, wanted at most {limit:.0f}")

    def most(field):
        return max(g[field] for (_, name), g in unfrozen.items() if field in g and name not in BY_TICKS)

    def by_chance(key, what, tight):
        g = frozen[key]
        return tight if near(g.get(f"{what}_tsc", 0), g.get(f"{what}_ns", 0)) else machine.own

    for key, reference in unfrozen.items():
        by_ticks = key[1] in BY_TICKS
        step, late = by_chance(key, "step", machine.step), by_chance(key, "late", machine.late)
        if key[1] == "rtc":  # which moves by seconds, if at all; in real time its reader may miss one
            at_most(key, "step_ns", max(reference["step_ns"], S) + (machine.step if machine.real_time else 0))
        else:
            at_most(key, "step_ns", (reference.get("step_ns", 0) + TICK if by_ticks else most("step_ns")) + step)
        at_most(key, "late_ns", (reference.get("late_ns", 0) + TICK if by_ticks else most("late_ns")) + late)
        if not by_ticks and reference.get("n", 0) >= ENOUGH:
            at_most(key, "p50_ns", reference.get("p50_ns", 0) + machine.usual)
        # What a program waits for between the two clocks is as late as a time-out.
        off = max(MS, machine.own) if key[1] == "timer_list" else RESOLUTION.get(key[1], machine.jump)
        if machine.real_time and (by_ticks or key[1] in RESOLUTION):  # the CPU that counts is not always run
            off = machine.own
        if not machine.real_time:
            at_most(key, "missed", reference.get("missed", 0))
        for field in ("jump_ns", "wander_ns"):
            at_most(key, field, reference.get(field, 0) + off)
    return problems


def half(values):
    return sorted(values)[len(values) // 2]


def nine_tenths(values):
    return sorted(values)[len(values) * 9 // 10]


def compare_each(log, machine, near, each, each_unfrozen):
    """The lateness (ns) of the time-outs that are noticed right after freezes, against that of those right after moments
    that chance chooses in the run without: what is wrong. Either way, who is late is chosen more easily."""
    late, rng = near.of(each), random.Random(len(each))
    check(len(late) >= FEW, f"only {len(late)} time-outs were noticed right after a freeze")
    by_chance = [s for s in (near.chance(each_unfrozen, rng).of(each_unfrozen) for _ in range(CHANCES)) if len(s) >= FEW]
    check(by_chance, "no such moment has time-outs right after it in the run without freezes")
    problems = []
    for name, of, more in (("half", half, machine.usual), ("nine tenths", nine_tenths, machine.usual), ("at most", max, machine.late)):
        limit = max(map(of, by_chance)) + more
        log.write(f"{len(late)} time-outs right after freezes, {name}: {of(late)} ns late, limit {limit}\n")
        if of(late) > limit:
            problems.append(f"time-outs right after freezes, {name}: {of(late)} ns late, at most {limit} by chance")
    return problems


def compare_all(log, machine, frozen, unfrozen):
    """The 99 % of all time-outs, wherever they were (of a few hundred of one kind, chance chooses the few that make theirs)."""
    late, limit = (sorted(run)[len(run) * 99 // 100] for run in (frozen, unfrozen))
    limit += machine.usual
    log.write(f"of {len(frozen)} time-outs 99 %: {late} ns late, limit {limit}\n")
    return [f"time-outs, 99 %: {late} ns late, wanted at most {limit}"] if late > limit else []


def lines_in_order(n):
    """The load's numbered lines are all on the console. One that the prompt came in between of is not recognized."""
    last = prompts = lines = 0
    for m in re.finditer(LOAD_LINE + "|stasis> ", n.transcript):
        if not m[1]:
            prompts += 1
            continue
        number, lines = int(m[1]), lines + 1
        last = last if number > last else 0  # another lap
        check(number - last - 1 <= prompts, f"of the load's output the lines {last + 1} to {number - 1} are missing, at {prompts} prompts")
        last, prompts = number, 0
    check(lines, "the load has printed nothing")


def sound(n, machine):
    """What the kernel thinks of its clocks."""
    check(time_is_the_tscs(n, machine), "the clock source is the TSC no more")
    active = n.run("grep -cE 'hres_active +: 1' /proc/timer_list", timeout=300)
    check(active == str(machine.options["cpus"]), f"high-resolution timers on {active} CPUs")


GIVEN_UP = "Marking TSC unstable due to could not calculate TSC khz"
BOOTS = 12
REFINED_S = 20


def time_is_the_tscs(n, machine):
    """In real time the kernel may stay with the TSC as it has measured it first, if reading the HPET takes too long for something better."""
    return n.run(f"cat {CLOCKSOURCE}") in (("tsc", "tsc-early") if machine.real_time else ("tsc",))


def decided(n, machine):
    """Waits until the kernel has made up its mind; is its clock the TSC?"""
    n.run(f"for i in $(seq {REFINED_S}); do grep -qx tsc {CLOCKSOURCE} && break; dmesg | grep -q '{GIVEN_UP}' && break; sleep 1; done", timeout=600)
    return time_is_the_tscs(n, machine)


@contextlib.contextmanager
def booted(log, machine):
    """A node whose guest has the TSC as its clock. In real time the kernel gives the TSC up if it never reads the HPET
    within 50,000 ticks, and a slow host's TCG takes that long for the exit: so it may boot some times."""
    boots = BOOTS if machine.real_time else 1
    for _ in range(boots):
        with Node(**machine.options, log=log, append="quiet") as n:
            n.boot()
            if decided(n, machine):
                yield n
                return
    check(False, f"the guest's clock is not the TSC ({boots} boots)")


def unseen(n, log, machine, quiet, loaded):
    """Sets of freezes: without load, when they meet an idle guest, and under load."""
    # A kernel without preemption fills a huge page with zeros before it runs anybody else: 46 ms in Bochs.
    n.run("echo never >/sys/kernel/mm/transparent_hugepage/enabled")
    if not machine.real_time:  # else the kernel makes urgent threads wait for 50 ms now and then
        n.run("echo -1 >/proc/sys/kernel/sched_rt_runtime_us")
    frozen_and_not(n, log, machine, QUIET, quiet)
    frozen_and_not(n, log, machine, LOADED, loaded)
    sound(n, machine)
    lines_in_order(n)


def random_sets(sets, count, rng, long=()):
    """So many sets of so many freezes, from 1 to 200 ms, as many short ones as long ones; and sets (length, count) of
    long ones, somewhere among them."""
    all_of_them = [Set(round(MS * 200 ** rng.random()), count, rng) for _ in range(sets)]
    for length, times in long:
        all_of_them.insert(rng.randrange(len(all_of_them) + 1), Set(length, times, rng))
    return all_of_them


def boot_and_freeze(log, machine, quiet, loaded, afterwards=lambda n: None):
    """Quiet and loaded: the arguments of random_sets."""
    rng = random.Random(str(machine))
    with booted(log, machine) as n:
        unseen(n, log, machine, random_sets(*quiet[:2], rng, *quiet[2:]), random_sets(*loaded[:2], rng, *loaded[2:]))
        afterwards(n)
        n.power_off(timeout=300)


@case(long=True)
def some_on_one_cpu(log):
    """A portion of what follows, on one CPU."""
    boot_and_freeze(log, ICOUNT, (2, 10, [(HOUR, 1)]), (4, 10, [(5 * S, 1)]))


@case(long=True)
def some_on_two_cpus(log):
    """And on two."""

    def warped(n):
        frozen_warp(n, log, 50, ONE_COUNTER)

    boot_and_freeze(log, BOCHS[1], (4, 5), (4, 5), warped)


@case(alone=True, long=True)
def some_alone(log):
    """And on two in real time."""
    boot_and_freeze(log, REAL_TIME[0], (4, 10), (10, 10, [(5 * S, 1)]))


@case(machine=[ICOUNT, *BOCHS], long=True)
def all_lengths(log, machine):
    longest = HOUR if machine is ICOUNT else 60 * S
    boot_and_freeze(log, machine, (4, 5, [(longest, 1)]), (20, 10, [(5 * S, 5), (5 * S, 5), (longest, 1)]))


@case(machine=REAL_TIME, alone=True, long=True)
def all_lengths_alone(log, machine):
    boot_and_freeze(log, machine, (16, 5), (20, 10, [(5 * S, 5), (5 * S, 5)]))


# --- the TSC of one CPU against another's ---

EXACTLY = 1000  # ticks: how closely their difference has to be known to say anything
ONE_COUNTER = 0, 0, 0  # bare, as warp() would say it of Bochs, whose CPUs have one; a bare kernel finds one CPU only there (no ACPI tables)


def warp(n):
    """In ticks: the largest step back from CPU to CPU; how far their TSCs are apart; how exactly that can be said."""
    figures = parse(n.run("/tests/tscwarp 1", timeout=600))
    pairs = [g for (_, name), g in figures.items() if name != "all"]
    offset = max(abs(g["offset_ticks"]) for g in pairs)
    return figures["tscwarp", "all"]["back_ticks"], offset, max(g["there_ticks"] + g["back_ticks"] for g in pairs) / 2


def frozen_warp(n, log, times, bare):
    """Before, while and after the node is frozen so many times: no more than bare, as far as that can be told."""
    total = freezes(n)["total"]
    found = {"before": warp(n)}
    n.stasis(f"freeze --in 1ms --for 1ms --every 4ms --count {times}")
    found["meanwhile"] = warp(n)
    n.run(f"usleep {times * 4000}", timeout=600)
    found["afterwards"] = warp(n)
    check(freezes(n)["total"] == total + times, f"{freezes(n)['total'] - total} freezes, not {times}")
    for when, (back, offset, exactly) in found.items():
        log.write(f"\n{when}: {back} ticks back, {offset} apart, to {exactly}; bare {bare}\n")
        check(back <= bare[0], f"{when} a TSC is {back} ticks behind another; bare: {bare[0]}")
        check(exactly <= EXACTLY, f"{when} it can be said to {exactly} ticks only how far the TSCs are apart")
        check(offset - exactly <= max(0, bare[1] - bare[2]), f"{when} the TSCs are {offset} ticks apart, to {exactly}; bare: {bare[1]}, to {bare[2]}")


def bare_warp(log, emu):
    with Node(emu=emu, cpus=2, bare=True, log=log, append="quiet") as n:
        n.boot()
        figures = warp(n)
        n.power_off(timeout=300)
        return figures


def between_cpus(log, emu, bare):
    with Node(emu=emu, cpus=2, log=log, append="quiet") as n:
        n.boot()
        frozen_warp(n, log, 1000, bare)
        n.power_off(timeout=300)


@case(long=True)
def tsc_between_cpus(log):
    between_cpus(log, "bochs", ONE_COUNTER)


@case(alone=True, long=True)
def tsc_between_cpus_alone(log):
    between_cpus(log, "qemu", bare_warp(log, "qemu"))
