# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever keeps Stasis from starting is said in one line, and the firmware goes on."""
import os
import tempfile

from cases import case
from node import Node, check
from paths import BUILD, INITRD, KERNEL

FIRMWARE = "node: the firmware goes on"
SETUP_SECTS, MAGIC, PROTOCOL = 0x1F1, 0x202, 0x206


def refuse(log, says, emu="qemu", **node):
    """The line is there, and then the firmware's script goes on."""
    with Node(emu=emu, log=log, **node) as n:
        n.expect(r"stasis: error: ([^\r\n]*)[\r\n]")
        line = n.child.match.group(1)
        check(says in line and ": " in line, f"wanted a line with {says!r}, got {line!r}")
        n.expect(FIRMWARE, timeout=300)
        check(n.wait() == 3, "the run does not end as one that started no guest")


KEYS = [
    ("kernle=x", "unknown key kernle"),
    ("memory=lots", "memory=lots"),
    ("memory=16", "64 or more"),
    ("nic.52:54:00:00:00:09=mine", "nic role"),
    ("kernel=missing", "no file missing"),
]


@case(key=KEYS)
def configuration(log, key):
    given, says = key
    refuse(log, says, config=[given])


def _changed(change):
    with open(KERNEL, "rb") as f:
        data = bytearray(f.read())
    return change(data)


def _magic(data):
    data[MAGIC : MAGIC + 4] = b"Nope"
    return data


def _old(data):
    data[PROTOCOL : PROTOCOL + 2] = (0x20A).to_bytes(2, "little")
    return data


KERNELS = {
    "bad-magic": (_magic, "bad magic"),
    "old-protocol": (_old, "boot protocol"),
    "truncated": (lambda d: d[: len(d) // 2], "truncated"),
    "cut-in-setup": (lambda d: d[:700], "kernel"),
    "empty": (lambda d: d[:0], "bzImage"),
}


@case(kind=list(KERNELS))
def kernel(log, kind):
    change, says = KERNELS[kind]
    with tempfile.NamedTemporaryFile(dir=BUILD) as f:
        f.write(_changed(change))
        f.flush()
        refuse(log, says, kernel=f.name, initrd=INITRD)


@case()
def no_amd_v(log):
    refuse(log, "no VT-x or AMD-V", cpu="EPYC,-hypervisor,-svm")


@case()
def no_nested_paging(log):
    refuse(log, "no nested paging", cpu="EPYC,-hypervisor,+svm,-npt")


@case()
def too_little_memory(log):
    refuse(log, "memory", memory=192)


OLD_CPUS = [("core2_penryn_t9600", "no EPT"), ("corei5_lynnfield_750", "no unrestricted guest")]


@case(model=OLD_CPUS)
def old_intel(log, model):
    cpu, says = model
    refuse(log, says, emu="bochs", cpu=cpu, memory=512)


@case()
def vtx_locked_off(log):
    refuse(log, "VT-x is locked off", emu="bochs", memory=512, before=os.path.join(BUILD, "test", "lockvmx.efi"))
