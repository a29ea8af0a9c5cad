# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that reaches where there is nothing: option ROM space, the local APIC's page in other modes, page tables outside RAM."""
import os
import re

from cases import case
from node import ESCAPE, LOG_LINE, STASIS_PROMPT, Node, check, boot_medium
from paths import BUILD, INITRD

HOLES = os.path.join(BUILD, "test", "holes.bzimage")
PLACES = ["a hole", "a hole, last level", "option ROM space", "the local APIC's page", "the hypervisor's memory", "the local APIC's page in x2APIC mode"]
ROM_TICKS = 200  # an exit costs some hundred ticks more
GP, PF, UD = 13, 14, 6


def _run(log, emu, end):
    icount = emu == "qemu"
    with Node(emu=emu, kernel=HOLES, initrd=INITRD, append=f"end={end}", config=["on_reset=stop"], icount=icount, boot=boot_medium(icount), log=log) as n:
        waited_for = [r"holes: done\s", "triple fault.*type reboot"]
        while waited_for:  # what the node says may overtake what the guest has said
            waited_for.pop(n.expect(waited_for, timeout=300))
        said = LOG_LINE.sub("", n.transcript.replace("\r", ""))
        n.send(ESCAPE)
        n.expect(re.escape(STASIS_PROMPT), timeout=120)
        # One report at least; they are limited to some a second.
        check("where there is no RAM: all-ones" in n.stasis_command("log"), "nothing in the log about page tables outside RAM")
        n.send("poweroff\r")
        check(n.wait(120) == 0, "poweroff does not switch the machine off")

    check("option ROMs: 0 words wrong, vector 6 when called" in said, "option ROM space is not all-ones")
    ticks = int(re.search(r"option ROMs: (\d+) ticks a read", said)[1])
    check(ticks < ROM_TICKS, f"a read of option ROM space costs {ticks} ticks: is it an exit?")
    for place in PLACES:
        for how in ("read", "write", "call", "copy"):
            line = f"tables in {place}, {how}: vector {PF}, cr2 right"
            check(line in said, f"missing: {line}")
        # What the emulator does not know, and AMD-V does not say where it was
        got = re.search(rf"tables in {place}, lgdt: vector (\d+)", said)
        check(got and int(got[1]) in (GP, PF, UD), f"LGDT with tables in {place}: {got and got[0]}")
    for line in ("in xAPIC mode: 50014 0", "in x2APIC mode: ffffffff ffffffff", "disabled: ffffffff ffffffff", "in xAPIC mode again: 50014 0"):
        check("local APIC " + line in said, f"missing: local APIC {line}")


@case()
def reach(log):
    _run(log, "qemu", "stack")


@case(machine=[("bochs", "pdpte"), ("bochs", "code"), ("bochs", "stack"), ("bochs", "idt"), ("qemu", "code"), ("qemu", "idt"), ("qemu", "pdpte")], long=True)
def end(log, machine):
    """The other states from which only a triple fault leads out."""
    _run(log, *machine)
