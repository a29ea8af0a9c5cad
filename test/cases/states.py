# SPDX-License-Identifier: GPL-2.0-or-later
"""Frozen exactly in a given state: what the node says that it is in, and that it comes out as without a freeze."""
from typing import Callable, NamedTuple

from cases import case
from frozen import States
from node import Failure, check

# A key typed at the prompt can meet the moment of the timer, on a busy host: what is late because of it is not late again and again.
DISTURBED = 3
TRIES = 12
STRIDE = 256  # ticks; a sled takes at least twice as many
SLED_ENTRY = 8  # bytes between the CPUID and the sled, at most
NOP_LENGTH = 1
MOV_SS_STEP_NS = 500
NEAR_US = 2
# A periodic timer's moments are known by when its interrupts were taken: so much later, at most.
TAKEN_US = 50
# Later than in an unfrozen run, at most, in deterministic time.
LATE_US = {"bochs": 50, "qemu": 5}


def cpu(n=0, **wanted):
    """A check of one CPU's status; a string that names one of the scenario's values stands for it."""

    def look(status, said):
        have = status["cpus"][n]
        for key, want in wanted.items():
            want = said[want] if isinstance(want, str) and want in said else want
            check(have[key] == want, f"CPU {n}: {key} is {have[key]!r}, wanted {want!r}")

    return look


def between(first, last):
    def look(status, said):
        rip = status["cpus"][0]["rip"]
        check(said[first] <= rip <= said[last], f"at {rip:#x}, not from {said[first]:#x} to {said[last]:#x}")

    return look


def anything(_status, _said):
    pass


HALTED = cpu(activity="halted", rip="rip", event=None)
IN_NMI = cpu(activity="active", blocked=["nmi"])
RUNS = cpu(activity="active", blocked=[], event=None)
ICR_WRITE = {"bochs": "WRMSR", "qemu": "MSR"}
MSR = {"bochs": "RDMSR", "qemu": "MSR"}


class Scenario(NamedTuple):
    line: str
    want: Callable = anything
    on: object = "CPUID"  # or by emulator; not listed: not there
    after: str = ""  # that much later

    def how(self, emu):
        on = self.on.get(emu) if isinstance(self.on, dict) else self.on
        return on and f"--on {on}" + (f" --in {self.after}" if self.after else "")


CPU_STATES = [
    Scenario("halt us=2000", HALTED, after="1ms"),
    Scenario("halt us=2000 x2=1", HALTED, after="1ms"),
    Scenario("halt-held-back us=2000", HALTED, after="1ms"),
    Scenario("halt-nmi us=2000", HALTED, after="1ms"),
    Scenario("halt-at-once", RUNS),
    Scenario("mov-ss nmi=1 ns=2000000"),
    Scenario("nmi", IN_NMI),
    Scenario("nmi-latched", IN_NMI),
    Scenario("nmi-latched", IN_NMI, on={"qemu": "IRET"}),
    Scenario("nmi-latched", cpu(activity="active", blocked=[]), on={"bochs": "NMI_WINDOW"}),
    Scenario("nmi-latched-once", IN_NMI),
    Scenario("nmi-and-interrupt", IN_NMI),
    Scenario("fault-sti", cpu(rip="rip", blocked=["sti"], event="exception 13"), on=MSR),
    Scenario("fault-mov-ss", cpu(rip="rip", blocked=["mov-ss"], event="exception 13"), on=MSR),
    Scenario("ud", cpu(rip="rip", event="exception 6"), on="MONITOR"),
    Scenario("icebp", cpu(event="INT1 1"), on={"bochs": "EXCEPTION_OR_NMI"}),
    Scenario("step", cpu(rip="rip")),
    Scenario("step", cpu(event="exception 1"), on={"bochs": "EXCEPTION_OR_NMI", "qemu": "EXCP_DB"}),
    Scenario("step-to-nmi as_is=1", cpu(rip="rip"), on={"bochs": "APIC_WRITE"}),
    Scenario("step-to-nmi", on={"qemu": "NPF"}),
    Scenario("pending-debug", cpu(rip="rip", event=None), on={"bochs": "CPUID"}),
    Scenario("rep-movs", cpu(rip="rip"), after="5500us"),
    Scenario("rep-outs", cpu(rip="rip"), after="2ms"),
    Scenario("registers spin=20000000", between("start", "end"), after="2ms"),
]
INTERRUPTS = [
    Scenario("pending", RUNS),
    Scenario("pending x2=1", RUNS),
    Scenario("pending-extint", RUNS),
    Scenario("held-back", RUNS),
    Scenario("held-back cr8=1", RUNS),
    Scenario("held-back x2=1", RUNS),
    Scenario("in-service", RUNS),
    Scenario("in-service x2=1", RUNS),
    Scenario("level", RUNS),
    Scenario("level x2=1", RUNS),
]
TIMERS = [
    Scenario(f"{name}{mode}", RUNS)
    for name in ("one-shot", "periodic", "deadline", "deadline-past", "masked")
    for mode in ("", " x2=1")
] + [Scenario(name, RUNS) for name in ("pit", "pit-periodic", "hpet", "hpet-periodic", "rtc")]
SECONDS = [Scenario("rtc-update", anything, after="300ms"), Scenario("rtc-alarm", anything, after="300ms")]
TWO_CPUS = [
    Scenario("wait-for-sipi", cpu(1, activity="wait-for-sipi")),
    Scenario("wait-for-sipi x2=1", cpu(1, activity="wait-for-sipi")),
    Scenario("sipi-twice"),
    Scenario("ipi-to-halted", cpu(1, activity="halted")),
    Scenario("ipi-to-halted x2=1", cpu(1, activity="halted")),
    Scenario("nmi-to-halted", cpu(1, activity="halted")),
    Scenario("ipi-to-deaf", cpu(1, activity="active")),
    Scenario("init-running", anything),
]


class Session:
    """One booted kernel, and what each scenario says without a freeze."""

    def __init__(self, emu, cpus, log):
        self.kernel = States(emu, cpus, log)
        self.base = {}

    def __enter__(self):
        self.kernel.__enter__()
        self.kernel.start()
        return self

    def __exit__(self, *a):
        self.kernel.__exit__(*a)

    def base_of(self, line):
        if line not in self.base:
            self.base[line] = self.kernel.run_scenario(line)
        return self.base[line]

    def late(self, line, said):
        k = self.kernel
        return k.exact and "late" in said and said["late"] > self.base_of(line)["late"] + k.ticks(LATE_US[k.emu])

    def too_late(self, line, said):
        raise Failure(f"{line}: {said['late']} ticks late {DISTURBED} times, without a freeze {self.base_of(line)['late']}")

    def freeze_in(self, scenario, roundtrip):
        """One freeze in a state."""
        how = scenario.how(self.kernel.emu)
        if not how:
            return
        base = self.base_of(scenario.line)
        for tries in reversed(range(DISTURBED if self.kernel.exact else TRIES)):
            status, said = self.kernel.frozen(scenario.line, how, roundtrip)
            try:
                scenario.want(status, base)
            except Failure:  # in real time the moment can be missed
                if self.kernel.exact or not tries:
                    raise
                continue
            if not self.late(scenario.line, said):
                return
        self.too_late(scenario.line, said)

    def all(self, scenarios, roundtrips):
        for roundtrip in roundtrips:
            for scenario in scenarios:
                self.freeze_in(scenario, roundtrip)

    def about_to_fire(self, line, roundtrip):
        """Freezes just before the timer of this scenario is due, and just after it: both must happen."""
        k = self.kernel
        near = k.ticks(NEAR_US + ("periodic" in line or line == "rtc") * TAKEN_US)
        base = self.base_of(line)
        ahead = base["due"] - base["here"]  # ticks from the CPUID on; the first freeze shows how many more
        seen, too_early, too_late, disturbed = set(), None, None, 0
        for tries in range(TRIES):
            status, said = k.frozen(line, f"--on CPUID --in {k.ns(ahead)}ns", roundtrip)
            left = said["due"] - status["virtual_ticks"]
            if abs(left) <= near and self.late(line, said):
                disturbed += 1
                if disturbed == DISTURBED:
                    self.too_late(line, said)
            elif abs(left) <= near:
                seen.add("before" if left > 0 else "after")
            if seen == {"before", "after"}:
                return
            if left > 0:
                too_early = ahead
            else:
                too_late = ahead
            # how far it comes depends on what else happens there
            if too_early and too_late and "before" not in seen and tries % 2:
                ahead = (too_early + too_late) // 2
            else:
                ahead += left + near // 2 if "before" in seen else left - near // 2
        check(False, f"{line}: frozen only {seen or 'far away from'} the moment when the timer is due")

    def in_sled(self, line, hit, to_go, roundtrip):
        """Freezes where hit(status, base) holds: to_go(rip, base) ticks after `rip`, in a sled from the address `start` to `end` that takes one
        tick an instruction. The status, the verdict, and the ticks from the CPUID in front of the sled on."""
        k = self.kernel
        base = self.base_of(line)
        after = 0
        for _ in range(TRIES):
            status, said = k.frozen(line, f"--on CPUID --in {k.ns(after)}ns", roundtrip)
            rip = status["cpus"][0]["rip"]
            if hit(status, base):
                return status, said, after
            if base["start"] < rip < base["end"]:
                after += to_go(rip, base)
            elif base["start"] - SLED_ENTRY <= rip <= base["start"]:
                after += STRIDE
            else:
                after -= STRIDE // 2
        raise Failure(f"{line}: not frozen where it should be in {TRIES} attempts, last at {rip:#x} after {after} ticks")

    def sti(self, roundtrip):
        """Between STI and the next instruction, with an interrupt pending. Bochs stops in no shadow, but right after it."""
        place, blocked = ("shadow", ["sti"]) if self.kernel.emu == "qemu" else ("open", [])
        status, _, _ = self.in_sled(
            "sti",
            lambda status, base: status["cpus"][0]["rip"] == base[place],
            lambda rip, base: base[place] - rip,
            roundtrip,
        )
        cpu(blocked=blocked)(status, {})

    def mov_ss(self, nmi, roundtrip):
        """Between MOV SS and the next instruction, with an interrupt or NMI that comes meanwhile: it waits for that instruction."""
        k = self.kernel
        far = f"mov-ss nmi={nmi} ns=50000000"

        def hit(status, base):
            return status["cpus"][0]["blocked"] and base["start"] < status["cpus"][0]["rip"] < base["end"]

        status, said, after = self.in_sled(far, hit, lambda _rip, _base: 1, roundtrip)
        rip, base = status["cpus"][0]["rip"], self.base_of(far)
        due, step = k.ns(status["virtual_ticks"] - said["armed"]), MOV_SS_STEP_NS
        too_early = too_late = None
        for _ in range(TRIES):
            status, said = k.frozen(f"mov-ss nmi={nmi} ns={due}", f"--on CPUID --in {k.ns(after)}ns", roundtrip)
            if base["start"] < status["cpus"][0]["rip"] < base["end"]:
                rip = status["cpus"][0]["rip"]
            taken = said["from"]
            if hit(status, base) and taken == rip + NOP_LENGTH:
                return
            if base["start"] <= taken <= base["end"]:  # each instruction there takes a tick
                due -= k.ns(taken - rip - NOP_LENGTH)
            elif said["soon"]:
                too_early = due
                due = (due + too_late) // 2 if too_late else due + step
                step *= 2
            else:
                too_late = due
                due = (due + too_early) // 2 if too_early else max(due - step, due // 2)
                step *= 2
        raise Failure(f"{far}: what came while frozen was never taken right after the shadow")

    def sipi(self, roundtrip):
        """On the exit that sends the SIPI."""
        self.kernel.run_scenario("init x2=1")
        self.kernel.frozen("sipi x2=1 as_is=1", f"--on {ICR_WRITE[self.kernel.emu]}", roundtrip)


DUE = ["halt us=2000", "one-shot", "one-shot x2=1", "deadline", "deadline x2=1", "periodic", "pit", "pit-periodic", "hpet", "hpet-periodic", "rtc"]
ONE_CPU = CPU_STATES + INTERRUPTS + TIMERS


@case(emu=["bochs", "qemu"])
def one_cpu(log, emu):
    """Each state once, with its image saved, destroyed and loaded in the freeze."""
    with Session(emu, 1, log) as s:
        s.all(ONE_CPU, [True])
        s.sti(True)


@case()
def two_cpus(log):
    with Session("bochs", 2, log) as s:
        s.all(TWO_CPUS, [True])
        s.sipi(True)


@case(emu=["bochs", "qemu"], long=True)
def everything(log, emu):
    with Session(emu, 1, log) as s:
        s.all(ONE_CPU + SECONDS, [False, True])
        for roundtrip in (False, True):
            for line in DUE:
                s.about_to_fire(line, roundtrip)
            s.sti(roundtrip)
            if emu == "qemu":
                s.mov_ss(0, roundtrip)
                s.mov_ss(1, roundtrip)


@case(emu=["bochs", "qemu"], long=True)
def everything_on_two_cpus(log, emu):
    with Session(emu, 2, log) as s:
        s.all(ONE_CPU + TWO_CPUS, [False, True])
        for roundtrip in (False, True):
            s.sipi(roundtrip)
