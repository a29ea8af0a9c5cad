# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock kernels to user space, on both back ends: memory sizes, CPU counts, what the guest sees of its machine."""
import os
import re
import subprocess
import tempfile

from bare import baseline, complaints
from cases import case
from emulators import BOCHS_IPS
from idle import check_idle
from node import Node, check
from paths import BUILD, INITRD, INSTALLER_INITRD, INSTALLER_KERNEL, KERNEL

CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
BOOT_INSTRUCTIONS = 200e6
# emulator, CPUs, MiB
MACHINES = [("bochs", 1, 512), ("bochs", 2, 1024)]
# QEMU with more than one CPU runs in real time, in which the kernel wants to read the HPET within 31 us when it refines
# its idea of the TSC's rate.
REAL_TIME_MACHINES = [("qemu", 1, 512), ("qemu", 2, 2048)]


@case(machine=MACHINES)
def debian(log, machine):
    """The guest has all CPUs and memory, the right clock, working interrupts, and nothing to complain about."""
    boot_and_look(log, *machine)


@case(machine=REAL_TIME_MACHINES, alone=True)
def debian_alone(log, machine):
    """The same in QEMU."""
    boot_and_look(log, *machine)


@case(alone=True, long=True)
def debian_many(log):
    """Four CPUs, and memory above 4 GiB."""
    boot_and_look(log, "qemu", 4, 6144)


@case(machine=MACHINES, long=True)
def debian_generic(log, machine):
    """The same with the kernel of linux-image-amd64, where others use its cloud flavour."""
    boot_and_look(log, *machine, kernel=KERNEL)


def check_way_up(console):
    """From the loader's first instruction to the guest's, in Bochs, where each takes one tick of the log's clock; and it says how far it is."""
    said = [re.search(rf"stasis: {line}", console) for line in ("configuration", "kernel", "initrd", "hypervisor", "handing over")]
    check(all(said), f"missing lines of the loader's progress:\n{console[:2000]}")
    seconds = re.search(r"stasis: \[ *([\d.]+)\] .*: the guest starts", console)
    instructions = float(seconds[1]) * BOCHS_IPS
    check(instructions <= BOOT_INSTRUCTIONS, f"{instructions:.0f} instructions to the guest's first")


def boot_and_look(log, emu, cpus, memory, **more):
    icount = emu == "qemu" and cpus == 1
    more["quick"] = False  # the tests of ciphers use all of the FPU
    with Node(emu=emu, cpus=cpus, memory=memory, icount=icount, log=log, **more) as n:
        console = n.boot()
        if emu == "bochs":
            check_way_up(console)
        check(n.run("nproc") == str(cpus), f"not {cpus} CPUs online")
        # The kernel first refines its measurement of the TSC's rate, for a second or (disturbed by a busy host) more.
        source = n.run(f"for i in $(seq {150 if icount or emu == 'bochs' else 20}); do grep -qx tsc {CLOCKSOURCE} && break; sleep 1; done; cat {CLOCKSOURCE}")
        # In real time it measures the host, too: a slow one's HPET takes longer to read than the kernel believes.
        check(source == "tsc" or (emu == "qemu" and not icount), f"the clock source is {source}, not tsc")
        total = int(n.run("awk '/MemTotal/ { print $2 }' /proc/meminfo")) >> 10
        # The hypervisor's 64 MiB, the firmware's, and the kernel's own.
        check(total >= memory * 9 // 10 - 160, f"the guest has only {total} MiB of {memory}")
        interrupts = n.run("cat /proc/interrupts")
        for wanted in ("ttyS0", "LOC") + (("RES", "CAL") if cpus > 1 else ()):
            counts = [line.split()[1 : 1 + cpus] for line in interrupts.splitlines() if wanted in line]
            check(counts and sum(map(int, counts[0])) > 0, f"no {wanted} interrupts:\n{interrupts}")
        active = n.run("grep -cE 'hres_active +: 1' /proc/timer_list")
        check(active == str(cpus), f"high-resolution timers on {active} of {cpus} CPUs")
        if cpus == 1:
            check_idle(n)
        seen = complaints(n.run("dmesg -r", timeout=300), jitter=emu == "qemu" and not icount)
        n.power_off(timeout=300)
    new = seen - baseline(emu=emu, cpus=cpus, memory=memory, icount=icount, **more)
    check(not new, "the guest's kernel complains, and bare it does not:\n" + "\n".join(sorted(new)))


@case()
def installer(log):
    """The Debian installer, which nobody here made, to its first screen."""
    with Node(kernel=INSTALLER_KERNEL, initrd=INSTALLER_INITRD, memory=1024, log=log) as n:
        n.expect("Select a language|Choose language", timeout=400)


@case()
def large_initrd(log):
    """Through iPXE with an initrd of over 100 MB."""
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        noise = os.path.join(directory, "noise")
        with open(noise, "wb") as f:
            for _ in range(104):
                f.write(os.urandom(1 << 20))
        archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=b"noise\n", cwd=directory, check=True, capture_output=True)
        big = os.path.join(directory, "initrd")
        with open(big, "wb") as f:
            with open(INITRD, "rb") as small:
                f.write(small.read())
            f.write(bytes(4 + -f.tell() % 4))  # LZ4 ends at a word of zeros, and an archive begins at a multiple of 4
            f.write(archive.stdout)
        digest = subprocess.run(["sha256sum", noise], check=True, capture_output=True, text=True).stdout.split()[0]
        with Node(initrd=big, memory=1024, log=log, timeout=600) as n:
            n.boot()
            check(n.run("sha256sum /noise").startswith(digest), "the file from the initrd is damaged")
            n.power_off()


@case()
def esp(log):
    """From an EFI system partition with stasis.cfg, in QEMU too."""
    with Node(boot="esp", log=log) as n:
        n.boot()
        n.power_off()


@case(mode=["hpet=disable", "acpi=off"], long=True)
def calibration(log, mode):
    """The kernel finds the TSC's rate another way, and it is the same within 250 ppm (deterministic time: 1 GHz)."""
    with Node(icount=True, append=mode, log=log) as n:
        n.boot()
        khz = float(n.run("dmesg | grep -oE 'tsc: (Detected|Refined).*MHz' | tail -n 1 | grep -oE '[0-9.]+ MHz'").split()[0]) * 1000
        check(abs(khz - 1e6) <= 250, f"the kernel measured {khz} kHz, {khz - 1e6:+.0f} ppm")
