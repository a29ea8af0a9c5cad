# SPDX-License-Identifier: GPL-2.0-or-later
"""DMA remapping: what QEMU's VT-d and AMD-Vi keep cards from, and what they let them do."""
import os
import re
import tempfile

import far
from cases import case
from disk import write
from experiment import Qmp
from images import golden
from nic import COUNT, caught
from node import Node, check
from paths import BUILD, KERNEL

CARD = "0000:00:02.0"  # the guest's
DRIVER = "/sys/bus/pci/drivers/e1000e"


DEVICES = {"vtd-48": "intel-iommu,aw-bits=48", "vtd-39": "intel-iommu,aw-bits=39", "amdvi": "amd-iommu"}
NAMES = {"vtd-48": "VT-d", "vtd-39": "VT-d", "amdvi": "AMD-Vi"}


def iommu(kind):
    return ["--emu-arg=-device", f"--emu-arg={DEVICES[kind]}"]


def state(n):
    return n.ask("status")["iommu"]


@case(kind=list(DEVICES), long=["vtd-39"])
def each_to_its_own(log, kind):
    """Cards, disks and the interposition of a freeze work as without it, whatever the width of its addresses; nothing is stopped."""
    options = {"log": log, "kernel": KERNEL, "append": "quiet", "memory": 2048, "control": "user"}
    with golden(8) as image, far.Far("--delay", "5") as peer:
        with Node(disk=f"{image.name},bus=ahci", extra=iommu(kind) + ["--nic", f"e1000e,{peer.netdev}"], **options) as n:
            text = n.boot()
            check(f"iommu: {NAMES[kind]}, 1 unit" in text, f"{NAMES[kind]} is not in use")
            check("error: net" not in text and n.ask("net status")["ip"], "the control network is not up")
            write(n, "one")
            caught(log, n, peer, "e1000e", COUNT)
            check(state(n) == {"on": True, "kind": NAMES[kind], "units": 1, "faults": 0}, f"the IOMMU: {state(n)}")
            n.power_off()


def taken(n):
    """The guest's card without a driver, and where the hypervisor lies."""
    n.run(f"modprobe e1000e; while [ ! -e {DRIVER}/{CARD} ]; do usleep 10000; done; echo {CARD} >{DRIVER}/unbind")
    return n.ask("status")["hypervisor_base"]


def read_by_card(n, address):
    """What the card reads there."""
    said = n.run(f"/tests/dmaprobe read {CARD} {address:#x}")
    found = re.search(r"dmaprobe read ([0-9a-f]+)", said)
    check(found, f"dmaprobe: {said}")
    return bytes.fromhex(found[1])


def bytes_at(monitor, address):
    """What lies in the machine's memory, as QEMU says it."""
    said = monitor.give("human-monitor-command", **{"command-line": f"xp /64xb {address:#x}"})
    check(len(re.findall(r"0x[0-9a-f]{2}\b", said)) == 64, f"xp answers {said!r}")
    return said


def aimed_at_the_hypervisor(node, path, kind, leaked):
    """`path`: of QEMU's monitor."""
    with node as n:
        n.boot()
        monitor = Qmp(path)
        base = taken(n)
        check(read_by_card(n, base) != leaked, "the card has read the hypervisor's memory")
        before = bytes_at(monitor, base)
        n.run(f"/tests/dmaprobe write {CARD} {base:#x}")
        check(bytes_at(monitor, base) == before, "the card has written to the hypervisor's memory")
        n.run("sleep 2")  # the log has one line a second about them
        if kind != "amdvi":  # QEMU's logs no event where a page table ends in nothing
            check(state(n)["faults"] == 2, f"the IOMMU: {state(n)}")
            lines = n.stasis("log")
            for what in ("reading", "writing"):
                check(f"iommu: 00:02.0 was kept from {what} {base:#x}, the hypervisor's memory" in lines, f"the log does not say that it kept the card from {what}: {lines[-2000:]}")
        n.run(f"echo {CARD} >{DRIVER}/bind")
        n.run("ip link set eth0 up 2>/dev/null || ifconfig eth0 up")
        n.wait_for_link()
        n.power_off()


@case(kind=["vtd-48", "amdvi"], long=["amdvi"])
def the_hypervisor_is_out_of_reach(log, kind):
    """A card that the guest aims at the hypervisor's memory reads and writes nothing there, the log says so, and the card does its work afterwards."""
    with open(os.path.join(BUILD, "hv.stripped"), "rb") as f:
        image = f.read()
    options = {"log": log, "kernel": KERNEL, "append": "quiet", "memory": 1024, "extra": iommu(kind) + ["--nic", "e1000e"]}
    with Node(config=["iommu=off"], **options) as n:
        n.boot()
        leaked = read_by_card(n, taken(n))
        check(any(leaked) and leaked in image, f"without the IOMMU the card reads {leaked.hex()}: not the hypervisor's first bytes")
        n.power_off()
    with tempfile.TemporaryDirectory(prefix="iommu-") as directory:
        path = os.path.join(directory, "qmp")
        options["extra"] += ["--emu-arg=-qmp", f"--emu-arg=unix:{path},server=on,wait=off"]
        aimed_at_the_hypervisor(Node(**options), path, kind, leaked)
