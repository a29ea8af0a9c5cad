# SPDX-License-Identifier: GPL-2.0-or-later
"""The test kernel of test/kernel/states, one scenario after the other, frozen where the harness wants it."""
import os
import re

from node import ESCAPE, STASIS_PROMPT, Failure, Node, check, boot_medium
from paths import BUILD, INITRD

STATES = os.path.join(BUILD, "test", "states.bzimage")
# Thaws, and gives the line back to the guest before that: an emulator whose CPU sleeps goes on to the next timer at once, so a key typed
# after the thaw would be there together with that timer's interrupt, and be served first. Both fit into the UART's FIFO.
THAW = "thaw --in 9ms\r" + ESCAPE
# Until the guest has come to the place, of its own time.
PATIENCE_NS = 30_000_000_000


def lasted(record, ns, rounding=40):
    """Was it frozen for as long as was asked? A start that came late is the guest's loss, or makes it longer."""
    more = record["frozen_ns"] - ns
    return any(0 <= more - late <= rounding for late in (0, record["thaw_late_ns"]))


class States(Node):
    """run(): a scenario as it is; frozen(): with a look at the node while it stands still."""

    def __init__(self, emu, cpus=1, log=None):
        icount = emu == "qemu" and cpus == 1
        self.exact = emu == "bochs" or icount
        append = f"cpus={cpus}" + ("" if self.exact else " jitter=1")
        super().__init__(emu=emu, cpus=cpus, memory=512, icount=icount, boot=boot_medium(icount), kernel=STATES, initrd=INITRD, append=append, log=log)
        self.cpus = cpus

    def start(self):
        self.expect("states ready")
        self._prompt()
        self.hz = self.ask_here("time")["tsc_hz"]
        self.send(ESCAPE)

    def ticks(self, us):
        return us * self.hz // 1000000

    def ns(self, ticks):
        return ticks * 1000000000 // self.hz

    # --- the guest's side ---
    def _verdict(self, line, timeout=300):
        self.expect(rf"states {re.escape(line)} (ok|FAIL)([^\r\n]*)[\r\n]", timeout)
        word, rest = self.child.match.group(1), self.child.match.group(2).strip()
        check(word == "ok", f"{line}: {rest}")
        return {key: int(value, 16) for key, value in (pair.split("=") for pair in rest.split())}

    def run_scenario(self, line):
        """What it says about itself; fails if it does not come out right."""
        line += f" hz={self.hz}"
        self.send(line + "\r")
        return self._verdict(line)

    # --- Stasis' side ---
    def _prompt(self):
        self.send(ESCAPE)
        self.expect(re.escape(STASIS_PROMPT), 120)

    def ask_here(self, command):
        answer = super().ask_here(command)
        check("error" not in answer, f"{command} answers {answer}")
        return answer

    def _wait_frozen(self, how):
        status = first = self.ask_here("status")
        while status["virtual_ns"] - first["virtual_ns"] < PATIENCE_NS:
            if status["state"] == "frozen":
                status["virtual_ticks"] = self.ask_here("time")["virtual_ticks"]
                return status
            status = self.ask_here("status")
        self.ask_here("freeze --cancel")
        self.send(ESCAPE)
        raise Failure(f"freeze {how}: the guest never came there")

    def frozen(self, line, how="--on CPUID", roundtrip=False):
        """The node's status in the freeze, and what the scenario says after it."""
        line += f" hz={self.hz}"
        self._prompt()
        self.ask_here(f"freeze {how}")
        self.send(ESCAPE)
        self.send(line + "\r")
        self._prompt()
        status = self._wait_frozen(how)
        if roundtrip:
            check(self.ask_here("selftest roundtrip")["ok"], "selftest roundtrip fails")
            again = self.ask_here("status")
            for before, after in zip(status["cpus"], again["cpus"]):
                check(all(before[k] == after[k] for k in ("activity", "rip", "blocked", "event")), f"{before} became {after}")
        self.send(THAW)
        return status, self._verdict(line)
