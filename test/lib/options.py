# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of test/node."""
import argparse
import os

from paths import STASIS

QEMU = "qemu-system-x86_64"
QEMU_CPU = "EPYC,-hypervisor,+svm,+npt"
BOCHS_CPU = "broadwell_ult"
CONTROL_MAC = "52:54:00:{:02x}:00:09"  # by --index
NIC_MAC = "52:54:00:{:02x}:01:{:02x}"  # of --nic, in the order given


ENDS = """exit status: 0 the guest powered off, 1 the node panicked, 2 wrong options or a missing program, 124 the time ran out,
3 no guest ran (Stasis refused, the emulator failed) or the run was ended"""


BUSES = ("ahci", "nvme", "ide")


def drive(text):
    """FILE[,bus=BUS] as (file, bus or None)."""
    file, comma, bus = text.rpartition(",bus=")
    if not comma:
        return text, None
    if bus not in BUSES:
        raise argparse.ArgumentTypeError(f"bus={bus}: it is one of {', '.join(BUSES)}")
    return file, bus


def parser():
    p = argparse.ArgumentParser(prog="node", description="Boot one node in an emulator; its serial console is stdin and stdout.", epilog=ENDS)
    p.add_argument("--emu", choices=("qemu", "bochs"), default="qemu", help="qemu: AMD-V; bochs: VT-x (default qemu)")
    p.add_argument("--cpus", type=int, default=1, metavar="N")
    p.add_argument("--memory", type=int, default=1024, metavar="MIB", help="of the emulated machine (default 1024)")
    p.add_argument("--kernel", required=True, metavar="FILE", help="the guest's bzImage")
    p.add_argument("--initrd", required=True, metavar="FILE")
    p.add_argument("--disk", metavar="FILE[,bus=BUS]", type=drive, help=f"a raw golden image for the guest's disk, in memory or on a disk of the machine ({', '.join(BUSES)})")
    p.add_argument("--store", metavar="FILE[,bus=BUS]", type=drive, help="a disk of the machine for what the guest writes (default bus: ahci; bochs: ide); made if absent. Without it, that is lost with the machine")
    p.add_argument("--control", metavar="NETDEV", help="a control card; qemu: a -netdev less its id (user, dgram,...), bochs: an ethmod (slirp)")
    p.add_argument("--control-card", default="e1000e", metavar="MODEL", help="QEMU's: e1000e, e1000, virtio-net-pci (default e1000e)")
    p.add_argument("--nic", action="append", default=[], metavar="MODEL[,NETDEV]",
                   help="one more network card, the experiment's: e1000 or e1000e; NETDEV as QEMU's -netdev or Bochs's ethmod has it (default: user, slirp)")
    p.add_argument("--index", type=int, default=0, metavar="N", help="of this node among several on the same networks: part of its cards' addresses")
    p.add_argument("--append", default="console=ttyS0,115200", metavar="STR", help="the guest's command line")
    p.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="a key of Stasis's configuration")
    p.add_argument("--cpu", metavar="MODEL", help=f"processor model (default {QEMU_CPU}; bochs: {BOCHS_CPU})")
    p.add_argument("--boot", choices=("ipxe", "esp"), help="default: qemu ipxe, bochs esp")
    p.add_argument("--icount", action="store_true", help="QEMU's deterministic time; one CPU only")
    p.add_argument("--qemu", default=QEMU, metavar="PROGRAM", help="another QEMU (default %(default)s)")
    p.add_argument("--one-thread", action="store_true", help="QEMU's CPUs take turns in one thread of the host, instead of one each")
    p.add_argument("--accel", choices=("tcg", "kvm"), default="tcg", help="kvm: if the host's offers nested virtualization, else tcg")
    p.add_argument("--bare", action="store_true", help="without Stasis: kernel and initrd on the same machine")
    p.add_argument("--timeout", type=float, metavar="S", help="host seconds until the run is ended with status 124")
    p.add_argument("--image", default=STASIS, metavar="FILE", help="the EFI application (default build/stasis.efi)")
    p.add_argument("--before", metavar="FILE", help="an EFI application to run first (esp only)")
    p.add_argument("--emu-arg", action="append", default=[], metavar="ARG", help="one more argument (bochs: bochsrc line)")
    return p


def parse(argv):
    p = parser()
    o = p.parse_args(argv)
    o.boot = o.boot or ("ipxe" if o.emu == "qemu" else "esp")
    o.cpu_given = o.cpu is not None
    o.cpu = o.cpu or (QEMU_CPU if o.emu == "qemu" else BOCHS_CPU)
    if not 1 <= o.cpus <= 255 or o.memory < 64:
        p.error("--cpus is 1 to 255, --memory 64 or more")
    if o.timeout is not None and o.timeout <= 0:
        p.error("--timeout is more than 0 seconds")
    if not all(" " <= c <= "~" for c in o.append):
        p.error("--append is plain ASCII on one line")
    if o.icount and (o.emu != "qemu" or o.cpus != 1 or o.accel != "tcg"):
        p.error("--icount is for QEMU's TCG with one CPU (Bochs is deterministic anyway)")
    if o.one_thread and (o.emu != "qemu" or o.accel != "tcg"):
        p.error("--one-thread is for QEMU's TCG")
    if o.emu == "bochs" and o.accel == "kvm":
        p.error("--accel kvm is for QEMU")
    if o.emu == "bochs" and o.boot != "esp":
        p.error("bochs boots from an ESP only: iPXE's DHCP does not get through there")
    if o.before and o.boot != "esp":
        p.error("--before needs --boot esp")
    for c in o.config:
        if "=" not in c or "\n" in c:
            p.error(f"--config {c!r}: KEY=VALUE is wanted")
    if not 0 <= o.index <= 255:
        p.error("--index is 0 to 255")
    o.control_mac = CONTROL_MAC.format(o.index)
    if o.control and not o.bare:
        o.config.append(f"nic.{o.control_mac}=control")
    if (o.disk or o.store) and o.bare:
        p.error("--disk and --store are Stasis's: not with --bare")
    if o.store and not o.disk:
        p.error("--store needs a golden image: add --disk")
    if o.store and not o.store[1]:
        o.store = o.store[0], "ahci" if o.emu == "qemu" else "ide"
    if o.emu == "bochs" and any(d and d[1] not in (None, "ide") for d in (o.disk, o.store)):
        p.error("bus=ahci and bus=nvme are for QEMU's machine: Bochs's has IDE")
    if o.disk:
        o.disk, o.disk_bus = o.disk
    else:
        o.disk_bus = None
    o.nics = [(n.partition(",")[0], n.partition(",")[2], NIC_MAC.format(o.index, i)) for i, n in enumerate(o.nic)]
    for model, _, mac in o.nics:
        if model not in ("e1000", "e1000e") or (o.emu == "bochs" and model != "e1000"):
            p.error(f"--nic {model}: e1000 or e1000e (bochs: e1000)")
        if not o.bare:
            o.config.append(f"nic.{mac}=experiment")
    if len(o.nics) > 4:
        p.error("--nic: four at most")
    for name in ("kernel", "initrd") + (("disk",) if o.disk else ()) + (() if o.bare else ("image",)) + (("before",) if o.before else ()):
        if not os.path.isfile(getattr(o, name)):
            p.error(f"--{name} {getattr(o, name)}: no such file" + (" (run make)" if name == "image" else ""))
    return o
