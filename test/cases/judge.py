# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge (test/kernel/judge): interrupt controllers and timers by what the manuals say. The same test kernel has to print the
same verdicts bare and under Stasis, but where the emulator itself departs from the manual: there Stasis has to follow the manual."""
import fnmatch
import hashlib
import os
import re
import threading

from cases import case
from node import Node, check
from paths import BUILD

JUDGE = os.path.join(BUILD, "test", "judge.bzimage")
END = r"judge: done, \d+ checks, \d+ failed"

# Where an emulator (or QEMU in "real time") departs from the manual: emulator, checks, why. Bare they fail; a row of which no check fails is out of date.
DEVIATIONS = [
    ("bochs", "pic.poll", "the poll word has no bit that says whether there is a request"),
    ("bochs", "tsc.moves-deadline tsc.passes-deadline", "a deadline becomes a time when it is written; the TSC's writes do not move it"),
    ("bochs", "*.deadline.clears-msr", "a deadline that has passed stays in the MSR"),
    ("bochs", "pit.next-period", "mode 2 takes a new count at once"),
    ("bochs", "hpet.level *.ioapic.level *.ioapic.level-waits *.ioapic.level-held-back *.ioapic.level-there",
     "the IOAPIC has no remote IRR, and an EOI does not make it look at a level again"),
    ("bochs", "x2apic.init.registers x2apic.ioapic.destinations x2apic.ioapic.lowest", "INIT ends x2APIC mode, and the logical ID is lost with it"),
    # with two CPUs, after the checks above
    ("bochs", "x2apic.ioapic.edge-masked x2apic.halt.timer x2apic.init.registers", "a request that nobody took waits in the IOAPIC for the pin's next entry"),
    ("bochs", "*.priority.disabled-accepts-none *.init.waits", "a software-disabled local APIC accepts interrupts"),
    ("bochs", "*.error.send-illegal", "an illegal vector counts as received when it is sent"),
    ("bochs", "*.error.interrupt", "errors do not interrupt"),
    ("bochs", "*.lint.masked *.lint.nmi *.lint.fixed *.lint.level", "INTR reaches the processor past LINT0, whatever that says"),
    ("bochs", "x2apic.msr.reserved x2apic.msr.reserved-lvt x2apic.msr.reserved-icr", "reserved bits are ignored"),
    ("bochs", "x2apic.msr.range-end", "MSRs that do not exist read 0"),
    ("bochs", "x2apic.msr.icr-holds", "the 64-bit ICR sends, and keeps nothing"),
    ("bochs", "disable.*", "the local APIC is not enabled again, and the order of modes is not checked"),
    ("qemu", "base.reserved base.invalid", "IA32_APIC_BASE takes reserved bits and impossible modes"),
    ("qemu", "disable.and-enable disable.alive", "the local APIC is not enabled again"),
    ("qemu", "*.priority.cr8-reserved", "CR8 takes reserved bits"),
    ("qemu", "*.priority.disabled", "disabling the local APIC masks no LVT"),
    ("qemu", "*.priority.disabled-accepts-none *.init.waits", "a software-disabled local APIC accepts interrupts"),
    ("qemu", "*.ipi.cluster", "cluster 15 is not all clusters"),
    ("qemu", "xapic.error.send-illegal xapic.error.receive-illegal xapic.error.interrupt xapic.error.masked xapic.error.latched",
     "the ESR knows illegal registers only, and is not cleared by a write"),
    ("qemu", "*.lint.nmi", "each look of the 8259 at its inputs is an edge of INTR"),
    ("qemu", "*.lint.level", "while INTR is up it is acknowledged at the 8259, whatever LINT0 says"),
    ("qemu", "*.ioapic.edge-masked", "an edge on a masked pin is kept"),
    ("qemu", "*.ioapic.extint", "nothing is wired to pin 0"),
    ("qemu", "hpet.behind", "a comparator behind the counter matches at once"),
    ("qemu", "hpet.periodic", "a periodic comparator matches twice, if it is looked at in the very count of its match"),
    ("qemu", "pit.bcd", "it counts in binary"),
    ("qemu", "pit.gate pit.gate-closed", "mode 0 counts with the gate closed"),
    ("qemu", "pit.null-count", "the status never says so"),
    ("qemu", "pit.next-period", "mode 2 takes a new count at once"),
    ("qemu", "pit.square-wave pit.odd-square-wave", "OUT, still high by a rounded count at half the period, is an edge once more to the IOAPIC"),
    ("qemu", "rtc.periodic rtc.update-ended rtc.alarm *.halt.level", "the RTC goes by the host's clock, not by the counted one"),
    ("qemu", "tsc.read-write", "writes of the TSC are ignored"),
    ("real time", "shadow.mov-ss", "an interrupt is taken in the shadow now and then"),
]
# What an emulator's virtualization gets wrong so that a guest sees it: emulator, checks, why.
UNAVOIDABLE = [
    ("real time", "shadow.mov-ss", "the guest's instructions and its shadows are TCG's there, too"),
]

_lock = threading.Lock()


def _run(log, **machine):
    """Verdicts by check: "ok", "none" or "FAIL details"."""
    with Node(kernel=JUDGE, initrd=JUDGE, log=log, **machine) as n:
        end = n.expect([END, r"test kernel: exception [^\r\n]*", r"triple fault[^\r\n]*"], timeout=900)
        check(end == 0, f"the judge ends with {n.child.match.group(0)!r}")
    verdicts = re.findall(r"^judge ([\w.-]+) (ok|none|FAIL[^\r\n]*)", n.transcript, re.M)
    check(verdicts, "the judge says nothing")
    return {name: verdict for name, verdict in verdicts}


def _bare(log, **machine):
    """The same machine without Stasis; run once for each judge, kept under build/bare/."""
    with open(JUDGE, "rb") as f:
        key = hashlib.sha1(f.read() + repr(sorted(machine.items())).encode()).hexdigest()[:16]
    path = os.path.join(BUILD, "bare", f"judge-{key}")
    with _lock:
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            found = _run(log, bare=True, **machine)
            with open(path + ".tmp", "w") as f:
                f.writelines(f"{name} {verdict}\n" for name, verdict in found.items())
            os.rename(path + ".tmp", path)
    with open(path) as f:
        return dict(line.rstrip("\n").split(" ", 1) for line in f)


def _rows(table, kinds, name):
    return [row for row in table if row[0] in kinds and any(fnmatch.fnmatchcase(name, p) for p in row[1].split())]


def _judge(log, emu, cpus, icount=False):
    jitter = emu == "qemu" and not icount
    kinds = [emu, "real time"] if jitter else [emu]
    options = f"cpus={cpus}" + (" jitter=1" if jitter else "") + (" late=300" if emu == "bochs" else "")
    machine = {"emu": emu, "cpus": cpus, "icount": icount, "memory": 512}
    # Bochs's own board has its PM timer elsewhere.
    bare = _bare(log, append=options + (" pmtimer=45064" if emu == "bochs" else ""), **machine)
    stasis = _run(log, append=options, **machine)
    wrong = [f"{name}: only bare" for name in bare.keys() - stasis.keys()] + [f"{name}: only under Stasis" for name in stasis.keys() - bare.keys()]
    for name in bare.keys() & stasis.keys():
        deviates, excused = _rows(DEVIATIONS, kinds, name), _rows(UNAVOIDABLE, kinds, name)
        if stasis[name] != "ok" and not excused and not stasis[name] == bare[name] == "none":
            wrong.append(f"{name}: {stasis[name]}")
        if bare[name].startswith("FAIL") and not deviates:
            wrong.append(f"{name}: bare {bare[name]}")
    if not jitter:
        for row in DEVIATIONS:
            hit = [name for name in bare if row in _rows(DEVIATIONS, kinds, name)]
            if hit and all(bare[name] == "ok" for name in hit):
                wrong.append(f"the row {row[1]!r} of {emu}'s deviations is out of date")
    check(not wrong, "\n".join(sorted(wrong)))


@case(long=True)
def vt_x(log):
    _judge(log, "bochs", 2)


@case()
def vt_x_alone(log):
    """With one CPU."""
    _judge(log, "bochs", 1)


@case()
def amd_v(log):
    _judge(log, "qemu", 1, icount=True)


@case(alone=True, long=True)
def amd_v_real_time(log):
    """With two CPUs, and a clock that jumps when the host is busy."""
    _judge(log, "qemu", 2)
