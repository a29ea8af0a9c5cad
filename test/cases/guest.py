# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest does with its machine: load, hot-plug, kexec, reboot, extended registers; and selftest roundtrip under it."""
import os
import re

from bare import complaints
from cases import case
from node import FIRMWARE, Node, check
from paths import BUILD, INITRD_KEXEC, INITRD_KEXEC_CLOUD

ZMM = os.path.join(BUILD, "test", "zmm.bzimage")

LOADED = [("qemu", 2), ("bochs", 2)]


def roundtrips(n, times):
    answer = n.stasis(f"selftest roundtrip {times}", timeout=1200)
    check(re.search(rf"roundtrip: ok, {times} times", answer), f"selftest roundtrip {times} answers:\n{answer}")


# Emulator, CPUs, seconds of the guest's time: a loaded one in Bochs takes over ten of the host's. Two threads of QEMU's
# TCG do not bear each other's guest for long (docs/testing.md).
@case(machine=[("qemu", 2, 60), ("bochs", 2, 10)])
def load_and_roundtrips(log, machine):
    """Checked load on all CPUs, 100 round trips in the middle of it, and no trace of them."""
    load(log, *machine)


@case(long=True)
def load_for_a_minute(log):
    load(log, "bochs", 2, 60)


def load(log, emu, cpus, seconds):
    with Node(emu=emu, cpus=cpus, one_thread=emu == "qemu", log=log, append="quiet") as n:
        n.boot()
        before = n.run("dmesg | wc -l")
        n.run(f"(/tests/load {seconds}; echo status $?) >/tmp/load 2>&1 &")
        roundtrips(n, 100)
        n.run("wait; true", timeout=900)
        result = n.run("cat /tmp/load")
        check("status 0" in result and "load ok" in result, f"load under round trips: {result}")
        # In QEMU with several CPUs time is the host's, gaps and all.
        new = complaints(n.run(f"dmesg -r | tail -n +{int(before) + 1}"), jitter=emu == "qemu")
        check(not new, "the kernel complains:\n" + "\n".join(sorted(new)))
        n.power_off(timeout=300)


@case(emu=["bochs", "qemu"])
def eip_ends_at_4_gib(log, emu):
    """An unprivileged 32-bit instruction at the very end of its address space does not take the node down."""
    with Node(emu=emu, log=log, append="quiet") as n:
        n.boot()
        check(n.run("/tests/wrap32", timeout=300) == "wrap32 ok", "EIP does not wrap")
        n.power_off(timeout=300)


@case(machine=LOADED)
def extended_registers(log, machine):
    """x87, SSE and AVX keep their contents through 100,000 exits, and 100 round trips in the middle."""
    emu, cpus = machine
    with Node(emu=emu, cpus=cpus, one_thread=emu == "qemu", log=log, append="quiet") as n:
        n.boot()
        n.run("(/tests/fpupattern 100000; echo status $?) >/tmp/fpu 2>&1 &")
        roundtrips(n, 100)
        n.run("wait; true", timeout=1800)
        result = n.run("cat /tmp/fpu")
        check("status 0" in result and "fpupattern ok" in result, f"extended registers: {result}")
        n.power_off(timeout=300)


# Linux keeps AVX-512 off on Bochs's skylake_x, so a kernel of our own.
AVX, AVX512 = 0x4, 0xE0


@case(long=True, machine=[("bochs", "corei7_skylake_x", AVX | AVX512), ("qemu", "EPYC,-hypervisor,+svm,+npt,+pku", AVX)])
def all_registers(log, machine):
    """The same with all extended state that the processor has, AVX-512 included, and without an operating system."""
    emu, cpu, wanted = machine
    with Node(emu=emu, cpu=cpu, cpus=2, kernel=ZMM, append="cpus=2 exits=100000", log=log) as n:
        n.expect("zmm: starts")
        roundtrips(n, 100)
        n.send("q")
        n.expect(r"zmm: (ok|FAIL)[^\r\n]*[\r\n]", timeout=600)
        verdict = n.child.match.group(0)
        match = re.match(r"zmm: ok (\d+) exits, XCR0 ([0-9a-f]+)", verdict)
        check(match and int(match[1]) >= 100000, verdict)
        check(int(match[2], 16) & wanted == wanted, f"not all registers were in use: {verdict}")
        check(n.wait(120) == 0, "the guest's power-off does not switch the machine off")


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


def kexec_into_same(log, emu, mode, initrd):
    with Node(emu=emu, cpus=2, initrd=initrd, log=log) as n:
        n.boot()
        load = f"kexec -l {mode} /boot/vmlinuz --initrd=/boot/initrd.lz4 --append=\"$(cat /proc/cmdline) second=yes\""
        n.run(load, timeout=600)
        n.send("kexec -e\r")
        n.expect("Linux version")
        n.boot()
        check("second=yes" in n.run("cat /proc/cmdline"), "this is not the second kernel")
        check(n.run("nproc") == "2", "not all CPUs came through kexec")
        n.power_off(timeout=300)


@case(mode=["-s", "-c"], long=["-c"])
def kexec(log, mode):
    """Into the same kernel."""
    kexec_into_same(log, "qemu", mode, INITRD_KEXEC)


@case(mode=["-s", "-c"], long=True)
def kexec_in_bochs(log, mode):
    kexec_into_same(log, "bochs", mode, INITRD_KEXEC_CLOUD)


REBOOTS = ["acpi", "kbd", "triple", "pci"]


def reboots(n, way):
    """By this way of Linux', to its shell again."""
    n.run(f"echo {way} >/sys/kernel/reboot/type; echo 1 >/sys/kernel/reboot/force")
    n.send("reboot -f\r")
    n.expect(FIRMWARE[n.emu])
    n.boot()


@case()
def reboot(log):
    """The machine starts again, by each way Linux has, one after the other."""
    with Node(cpus=2, log=log) as n:
        n.boot()
        for way in REBOOTS:
            reboots(n, way)
        n.power_off(timeout=300)


@case(way=REBOOTS, long=True)
def reboot_in_bochs(log, way):
    with Node(emu="bochs", cpus=2, log=log) as n:
        n.boot()
        reboots(n, way)
        n.power_off(timeout=300)
