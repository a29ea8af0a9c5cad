# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that does its worst: the node lives, says what happened, and still obeys."""
import os

from cases import case
from node import ESCAPE, STASIS_PROMPT, Node, check
from paths import BUILD, INITRD

HOSTILE = os.path.join(BUILD, "test", "hostile.bzimage")


def _run(log, emu, append, rounds):
    with Node(emu=emu, kernel=HOSTILE, initrd=INITRD, append=f"rounds={rounds} {append}", log=log) as n:
        n.expect("hostile: ")
        # In the thick of it.
        n.send(ESCAPE)
        n.expect(STASIS_PROMPT, timeout=300)
        # Reports of what the guest does may come between a command and its answer.
        for command, answer in (("time --json", r'"virtual_ns":\d+'), ("status --json", r'"state":"running"')):
            n.send(command + "\r")
            n.expect(answer, timeout=300)
        n.send(ESCAPE)
        n.expect("hostile: done", timeout=1500)
        check(n.wait(120) == 0, "the guest's power-off does not switch the machine off")


@case()
def anything(log):
    _run(log, "bochs", "seed=1", 20000)


@case(long=True)
def anything_on_amd_v(log):
    _run(log, "qemu", "seed=1", 20000)


@case(seed=[2, 3, 4, 5, 6, 7, 8], long=True)
def anything_else(log, seed):
    _run(log, "qemu", f"seed={seed}", 200000)


@case()
def triple_fault(log):
    """on_reset=stop: the node keeps its prompt after the guest shot itself."""
    with Node(kernel=HOSTILE, initrd=INITRD, append="rounds=100 end=triple", config=["on_reset=stop"], log=log) as n:
        n.expect("hostile: done", timeout=600)
        n.send(ESCAPE)
        n.expect(STASIS_PROMPT, timeout=120)
        check("triple fault" in n.stasis_command("status"), "status does not say why the guest ended")
        n.send("poweroff\r")
        check(n.wait(120) == 0, "poweroff does not switch the machine off")
