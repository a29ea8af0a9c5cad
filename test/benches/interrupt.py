# SPDX-License-Identifier: GPL-2.0-or-later
"""What an interrupt costs: one test kernel (test/kernel/selfipi.c) that sends itself IPIs, on the bare emulator, under Stasis, and under KVM there."""
import os
import re

from benches import bench
from node import Node, check
from paths import BUILD, INITRD, KERNEL_CLOUD

SELFIPI = os.path.join(BUILD, "test", "selfipi.bzimage")
INITRD_KVM = os.path.join(BUILD, "guest", "initrd-kvm.lz4")
MODULE = {"qemu": "kvm_amd", "bochs": "kvm_intel"}
LINE = re.compile(r"selfipi: (\w+) delivered (\d+) (\d+) done (\d+) (\d+)")
FIGURES = ("delivered, min", "delivered, mean", "done, min", "done, mean")


def figures(text):
    """Ticks by (mode, figure)."""
    return {(m[1], f): int(v) for m in LINE.finditer(text) for f, v in zip(FIGURES, m.groups()[1:])}


def machine(emu):
    return {"emu": emu, "memory": 1024, "icount": emu == "qemu", "timeout": 1500}


def alone(emu, bare):
    with Node(kernel=SELFIPI, initrd=INITRD, bare=bare, **machine(emu)) as n:
        n.expect("selfipi: ends")
        text = n.transcript
        if not bare:  # the bare machine has no such register of ours
            check(n.wait(120) == 0, "the test kernel's power-off does not switch the machine off")
        return figures(text)


def under_kvm(emu):
    with Node(kernel=KERNEL_CLOUD, initrd=INITRD_KVM, bare=True, append="quiet", **machine(emu)) as n:
        n.boot()
        n.run(f"modprobe {MODULE[emu]}", timeout=600)
        found = figures(n.run("/tests/kvmrun /tests/selfipi.bzimage", timeout=900))
        n.power_off(600)
        return found


@bench("qemu", "bochs")
def self_ipi(emu):
    bare, stasis, kvm = alone(emu, True), alone(emu, False), under_kvm(emu)
    check({m for m, _ in stasis} == {m for m, _ in kvm} and len(stasis) >= len(FIGURES), f"modes of the local APIC: {stasis} and {kvm}")
    print(f"{emu + ', ticks':28} {'bare':>8} {'Stasis':>8} {'KVM':>8} {'of it':>6}")
    for key, ticks in stasis.items():
        print(f"{key[0]}, {key[1]:20} {bare.get(key, 0):8} {ticks:8} {kvm[key]:8} {ticks / kvm[key]:6.2f}", flush=True)
    return [f"{emu}: {mode}, {f}: {ticks} ticks, KVM's are {kvm[mode, f]}" for (mode, f), ticks in stasis.items() if ticks > kvm[mode, f]]
