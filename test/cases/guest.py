# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest does with its machine: load, hot-plug, kexec, reboot, extended registers; and selftest roundtrip under it."""
import re

from bare import complaints
from cases import case
from node import GUEST_PROMPT, Node, check
from paths import INITRD_KEXEC

LOADED = [("qemu", 2), ("bochs", 2)]


def roundtrips(n, times):
    answer = n.stasis(f"selftest roundtrip {times}", timeout=1200)
    check(re.search(rf"roundtrip: ok, {times} times", answer), f"selftest roundtrip {times} answers:\n{answer}")


# Emulator, CPUs, seconds of the guest's time: a loaded one in Bochs takes over ten of the host's.
@case(machine=[("qemu", 2, 60), ("bochs", 2, 10)])
def load_and_roundtrips(log, machine):
    """Checked load on all CPUs, 100 round trips in the middle of it, and no trace of them."""
    load(log, *machine)


@case(long=True)
def load_for_a_minute(log):
    load(log, "bochs", 2, 60)


def load(log, emu, cpus, seconds):
    with Node(emu=emu, cpus=cpus, log=log, append="quiet") as n:
        n.boot()
        before = n.run("dmesg | wc -l")
        n.run(f"(/tests/load {seconds}; echo status $?) >/tmp/load 2>&1 &")
        roundtrips(n, 100)
        n.run("wait; true", timeout=1800)
        result = n.run("cat /tmp/load")
        check("status 0" in result and "load ok" in result, f"load under round trips: {result}")
        # In QEMU with several CPUs time is the host's, gaps and all.
        new = complaints(n.run(f"dmesg -r | tail -n +{int(before) + 1}"), jitter=emu == "qemu")
        check(not new, "the kernel complains:\n" + "\n".join(sorted(new)))
        n.power_off(timeout=300)


@case(machine=LOADED)
def extended_registers(log, machine):
    """x87, SSE and AVX keep their contents through 100,000 exits, and 100 round trips in the middle."""
    emu, cpus = machine
    with Node(emu=emu, cpus=cpus, log=log, append="quiet") as n:
        n.boot()
        n.run("(/tests/fpupattern 100000; echo status $?) >/tmp/fpu 2>&1 &")
        roundtrips(n, 100)
        n.run("wait; true", timeout=1800)
        result = n.run("cat /tmp/fpu")
        check("status 0" in result and "fpupattern ok" in result, f"extended registers: {result}")
        n.power_off(timeout=300)


@case(long=True)
def avx512(log):
    """The same with AVX-512 registers, which only Bochs's skylake_x has."""
    with Node(emu="bochs", cpu="corei7_skylake_x", log=log, append="quiet") as n:
        n.boot()
        result = n.run("/tests/fpupattern 100000", timeout=1800)
        check("fpupattern ok" in result, f"extended registers: {result}")
        roundtrips(n, 100)
        n.power_off(timeout=300)


@case(machine=[("qemu", 2), ("bochs", 2)])
def hotplug(log, machine):
    """CPUs leave and come back."""
    emu, cpus = machine
    with Node(emu=emu, cpus=cpus, log=log, append="quiet") as n:
        n.boot()
        for _ in range(3):
            n.run("echo 0 >/sys/devices/system/cpu/cpu1/online")
            check(n.run("nproc") == "1", "the CPU is still there")
            n.run("echo 1 >/sys/devices/system/cpu/cpu1/online")
            check(n.run("nproc") == "2", "the CPU does not come back")
        n.power_off(timeout=300)


@case(mode=["-s", "-c"])
def kexec(log, mode):
    """Into the same kernel."""
    with Node(cpus=2, initrd=INITRD_KEXEC, log=log) as n:
        n.boot()
        load = f"kexec -l {mode} /boot/vmlinuz --initrd=/boot/initrd.gz --append=\"$(cat /proc/cmdline) second=yes\""
        n.run(load, timeout=300)
        n.send("kexec -e\r")
        n.expect("Linux version")
        n.boot()
        check("second=yes" in n.run("cat /proc/cmdline"), "this is not the second kernel")
        check(n.run("nproc") == "2", "not all CPUs came through kexec")
        n.power_off()


@case(way=["acpi", "kbd", "triple", "pci"])
def reboot(log, way):
    """The machine starts again, by each way Linux has."""
    with Node(cpus=2, append=f"reboot={way}", log=log) as n:
        n.boot()
        n.send("reboot -f\r")
        n.expect("iPXE")
        n.expect(re.escape(GUEST_PROMPT))
        n.power_off()
