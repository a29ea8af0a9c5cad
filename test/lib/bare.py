# SPDX-License-Identifier: GPL-2.0-or-later
"""What the same kernel complains about on the same machine without Stasis: run once, kept under build/bare/."""
import hashlib
import os
import re
import threading

from node import Node, usual_kernel
from paths import BUILD

_lock = threading.Lock()
# What a kernel says when the emulator itself did not run for a while: QEMU without --icount, on a busy host.
JITTER = re.compile(
    r"hrtimer: interrupt took|Lost \d+ RTC interrupts|hpet_rtc_timer_reinit: \d+ callbacks suppressed|Long readout interval|interrupt took too long|"
    r"APIC calibration not consistent|Unable to calibrate against PIT|timekeeping watchdog|"
    r"HPET/PMTIMER calibration failed|could not calculate TSC khz"
)


def complaints(raw_dmesg, jitter=False):
    """Lines of `dmesg -r` at warning level or worse, and those that say so themselves; numbers blotted out.
    jitter: time was not the emulator's own, so leave out what its gaps cause."""
    found = set()
    for line in raw_dmesg.splitlines():
        if jitter and JITTER.search(line):
            continue
        m = re.match(r"<(\d+)>\[ *[\d.]+\] ?(.*)", line.strip())
        if m and (int(m[1]) & 7 <= 4 or re.search(r"\[Firmware Bug\]|unchecked MSR|[Uu]nstable", m[2])):
            found.add(re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+", "N", m[2]))
    return found


def baseline(**machine):
    """The complaints of a bare run on such a machine (Node's keywords)."""
    key = repr(sorted((k, v) for k, v in machine.items())).encode()
    with open(machine.get("kernel") or usual_kernel(machine.get("emu")), "rb") as f:
        path = os.path.join(BUILD, "bare", hashlib.sha1(key + f.read()).hexdigest()[:16])
    with _lock:
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with Node(bare=True, **machine) as n:
                n.boot()
                raw = n.run("dmesg -r", timeout=300)
                n.power_off(timeout=300)
            with open(path + ".tmp", "w") as f:
                f.write(raw)
            os.rename(path + ".tmp", path)
    with open(path) as f:
        return complaints(f.read())
