# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that does its worst: the node lives, says what happened, and still obeys."""
import os
import re

from cases import case
from node import ESCAPE, STASIS_PROMPT, Node, check
from paths import BUILD, INITRD

HOSTILE = os.path.join(BUILD, "test", "hostile.bzimage")
# Reports of what the guest does may come between a command and its answer: wait for the answer itself.
COMMANDS = (
    ("time --json", r'"virtual_ns":\d+'),
    ("status --json", r'"state":"running"'),
    ("exits", r"mean ticks"),
    ("selftest roundtrip 3", r"roundtrip: ok, 3 times"),
)


def node(log, emu, cpus, append, **more):
    return Node(emu=emu, cpus=cpus, kernel=HOSTILE, initrd=INITRD, append=f"cpus={cpus} {append}", log=log, **more)


def type_command(n, command):
    """A few bytes at a time: an emulated CPU of 50 MHz that works for this guest may be away for longer than the UART's FIFO lasts."""
    for at in range(0, len(command), 8):
        piece = command[at : at + 8]
        n.send(piece)
        hear(n, re.escape(piece))
    n.send("\r")


def hear(n, *patterns, timeout=300):
    """Which of them; the node that has to go on with this guest says none of what it says before a reset."""
    which = n.expect([r"stasis: \[[ \d.]+\] reset: ", *patterns], timeout)
    check(which, f"the node was reset:\n{n.before[-4000:]}")
    return which - 1


def give_commands(n):
    n.send(ESCAPE)
    hear(n, re.escape(STASIS_PROMPT))
    for command, answer in COMMANDS:
        type_command(n, command)
        hear(n, answer)
        hear(n, re.escape(STASIS_PROMPT))
    n.send(ESCAPE)


def until_done(n, command_each_second):
    """Commands in the thick of it; the node's seconds that the guest was at it."""
    commanded, seconds = 0, 0
    while (what := hear(n, r"hostile: running, \d+ s", r"hostile: waiting, (\d+) s", r"hostile: done", timeout=900)) != 2:
        if what == 0 and (command_each_second or commanded == 0):
            give_commands(n)
            commanded += 1
        if what == 1:
            seconds = seconds or int(n.child.match.group(1))
            n.send("q")
    check(commanded, "the guest was done before there was time for a command")
    check(n.wait(120) == 0, "the guest's power-off does not switch the machine off")
    return seconds


def some_rounds(log, emu, cpus):
    with node(log, emu, cpus, "seed=1 rounds=20000 wait=1") as n:
        until_done(n, command_each_second=False)


@case()
def anything(log):
    some_rounds(log, "qemu", 2)


@case(long=True)
def anything_on_vt_x(log):
    some_rounds(log, "bochs", 2)


@case(machine=[(emu, cpus, seed) for emu in ("bochs", "qemu") for cpus, seed in ((1, 2), (2, 3), (2, 4))], long=True)
def anything_for_a_minute(log, machine):
    emu, cpus, seed = machine
    with node(log, emu, cpus, f"seed={seed} seconds=60 wait=1") as n:
        seconds = until_done(n, command_each_second=True)
        check(seconds >= 60, f"only {seconds} s of the guest's time")


def ends_stopped(log, emu, cpus, end):
    """on_reset=stop: the node keeps its prompt after the guest shot itself."""
    with node(log, emu, cpus, f"rounds=1000 end={end}", config=["on_reset=stop"]) as n:
        n.expect("it stays stopped", timeout=600)
        n.send(ESCAPE)
        n.expect(re.escape(STASIS_PROMPT), timeout=120)
        status = n.stasis_command("status")
        check("triple fault" in status, f"status does not say why the guest ended:\n{status}")
        log_lines = n.stasis_command("log")
        check(f"cpu{cpus - 1}: triple fault" in log_lines, f"the log does not say which CPU it was:\n{log_lines}")
        n.send("poweroff\r")
        check(n.wait(120) == 0, "poweroff does not switch the machine off")


@case(machine=[("qemu", 1, "triple"), ("qemu", 2, "other")])
def triple_fault(log, machine):
    ends_stopped(log, *machine)


@case(machine=[("bochs", 1, "triple"), ("bochs", 2, "other")], long=True)
def triple_fault_in_bochs(log, machine):
    ends_stopped(log, *machine)


@case(long=True)
def triple_fault_of_another_cpu_resets(log):
    """As on a PC: whichever CPU it is, the machine starts again."""
    with node(log, "qemu", 2, "rounds=1000 end=other") as n:
        n.expect("hostile: done", timeout=600)
        n.expect("reset: triple fault", timeout=600)
        n.expect("iPXE", timeout=600)
        n.expect("hostile: ", timeout=600)
