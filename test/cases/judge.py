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

# Where an emulator departs from the manual: emulator, checks, why. Bare they fail (or find nothing to check); a row of
# which no check fails is out of date.
DEVIATIONS = []
# What an emulator's virtualization gets wrong so that a guest sees it under any hypervisor: emulator, checks, why.
UNAVOIDABLE = []

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


def _rows(table, emu, name):
    return [row for row in table if row[0] == emu and any(fnmatch.fnmatchcase(name, p) for p in row[1].split())]


def _judge(log, emu, cpus, icount=False):
    jitter = emu == "qemu" and not icount
    options = f"cpus={cpus}" + (" jitter=1" if jitter else "") + (" late=300" if emu == "bochs" else "")
    machine = {"emu": emu, "cpus": cpus, "icount": icount, "memory": 512}
    # Bochs's own board has its PM timer elsewhere.
    bare = _bare(log, append=options + (" pmtimer=45064" if emu == "bochs" else ""), **machine)
    stasis = _run(log, append=options, **machine)
    wrong = [f"{name}: only bare" for name in bare.keys() - stasis.keys()] + [f"{name}: only under Stasis" for name in stasis.keys() - bare.keys()]
    for name in bare.keys() & stasis.keys():
        deviates, excused = _rows(DEVIATIONS, emu, name), _rows(UNAVOIDABLE, emu, name)
        if stasis[name] != "ok" and not excused and (stasis[name] != "none" or bare[name] != "none" or deviates):
            wrong.append(f"{name}: {stasis[name]}")
        if bare[name].startswith("FAIL") and not deviates:
            wrong.append(f"{name}: bare {bare[name]}")
    if not jitter:
        for row in DEVIATIONS:
            hit = [name for name in bare if row in _rows(DEVIATIONS, emu, name)]
            if hit and all(bare[name] == "ok" for name in hit):
                wrong.append(f"the row {row[1]!r} of {emu}'s deviations is out of date")
    check(not wrong, "\n".join(sorted(wrong)))


@case(long=True)
def vt_x(log):
    _judge(log, "bochs", 2)


@case(long=True)
def vt_x_alone(log):
    """With one CPU."""
    _judge(log, "bochs", 1)


@case(long=True)
def amd_v(log):
    _judge(log, "qemu", 1, icount=True)


@case(alone=True, long=True)
def amd_v_real_time(log):
    """With two CPUs, and a clock that jumps when the host is busy."""
    _judge(log, "qemu", 2)
