# SPDX-License-Identifier: GPL-2.0-or-later
"""The loops of the evaluation (docs/evaluation.md), with few freezes: make bench has the whole of it."""
import evalloops
from cases import case
from evalloops import TICKS_KERNEL, Freezes, run_loop, run_ticks, ticks_append
from node import Node, check, boot_medium
from paths import INITRD, KERNEL_CLOUD

ROUNDS = 60  # of the test kernel, 100 ms each


def none(misses):
    check(not misses, "\n".join(misses))


@case()
def loops(log):
    """A freeze of a millisecond or of minutes lengthens neither a sleep nor a computation."""
    with Node(icount=True, boot="esp", kernel=KERNEL_CLOUD, append="quiet", timeout=600, log=log) as n:
        n.boot()
        short = run_loop(n, "sleep", 700, Freezes("1ms", 5, between=1))
        long = run_loop(n, "sleep", 700, Freezes("5m", 5, between=1))
        cpu = run_loop(n, "cpu", 24, Freezes("1s", 3, between=1, first=1))
        n.power_off(300)
    none(evalloops.sleep_misses(short, "qemu") + evalloops.sleep_misses(long, "qemu") + evalloops.growth_misses(short, long, "qemu"))
    none(evalloops.cpu_misses(cpu, "qemu"))


@case(emu=["qemu", "bochs"], long=True)
def without_interrupts(log, emu):
    """A kernel that nothing interrupts finds nothing missing, and next to nothing added."""
    append = ticks_append(emu, ROUNDS)
    with Node(emu=emu, icount=emu == "qemu", boot=boot_medium(emu == "qemu"), kernel=TICKS_KERNEL, initrd=INITRD, append=append, timeout=600, log=log) as n:
        run = run_ticks(n, ROUNDS, Freezes("10ms", 4, between=1, first=1))
    none(evalloops.ticks_misses(run, emu))
