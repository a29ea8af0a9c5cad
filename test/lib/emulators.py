# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated machines: how each is configured and started, and how it tells that the guest powered off."""
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tty

import gptdisk
import media
import no_tpm
from media import SetupError
from paths import QEMU_MENDED
from relay import STATUS_OFF

BOCHS_IPS = 50000000
OVMF = "/usr/share/OVMF"
VGA_BIOS = "/usr/share/bochs/VGABIOS-lgpl-latest"


def _need(path, package):
    if not os.path.exists(path):
        raise SetupError(f"no {path} (package {package}; run make setup)")
    return path


def _need_program(name, how):
    found = shutil.which(name)
    if not found:
        raise SetupError(f"no {name} ({how})")
    return os.path.abspath(found)


class Machine:
    """What relay.run() needs to know. output_fd and input_fd carry the serial line."""

    marks = {}
    child_stdin = subprocess.DEVNULL
    child_fds = ()

    def __init__(self, options, run_dir):
        self.options = options
        self.run_dir = run_dir
        self.log = os.path.join(run_dir, "emulator.log")
        self.child_stderr = open(self.log, "wb")
        self.child_stdout = self.child_stderr

    def path(self, name):
        return os.path.join(self.run_dir, name)

    def started(self, process):
        """Called once the emulator runs."""

    def last_words(self):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-10:])


def nested_kvm():
    """Does KVM here offer its guests VT-x or AMD-V? An openable /dev/kvm proves nothing: ask for the CPUID it supports."""
    KVM_GET_SUPPORTED_CPUID, ENTRY, MAX = 0xC008AE05, struct.Struct("=10I"), 256
    try:
        fd = os.open("/dev/kvm", os.O_RDWR)
    except OSError:
        return False
    try:
        buffer = bytearray(struct.pack("=2I", MAX, 0)) + bytearray(ENTRY.size * MAX)
        fcntl.ioctl(fd, KVM_GET_SUPPORTED_CPUID, buffer)
    except OSError:
        return False
    finally:
        os.close(fd)
    count = struct.unpack_from("=I", buffer)[0]
    for i in range(count):
        function, _, _, _, _, ecx, *_ = ENTRY.unpack_from(buffer, 8 + i * ENTRY.size)
        if (function == 1 and ecx & 1 << 5) or (function == 0x80000001 and ecx & 1 << 2):
            return True
    return False


def disk_files(options):
    """Of the golden image's disk and the store's, which is made if it is not there; None: there is no such disk."""
    store = options.store and options.store[0]
    if store and not os.path.exists(store):
        gptdisk.make(store, [gptdisk.STORE])
    return [f and os.path.realpath(f) for f in (options.disk_bus and options.disk, store)]


def bochs_geometry(file):
    """Bochs takes a disk's size from it."""
    heads, spt = 16, 32
    cylinders, rest = divmod(os.path.getsize(file), heads * spt * media.SECTOR)
    if rest or not cylinders:
        raise SetupError(f"{file}: Bochs takes disks of N * {heads * spt * media.SECTOR >> 10} KiB only")
    return f"cylinders={cylinders}, heads={heads}, spt={spt}"


class Qemu(Machine):
    """q35 with OVMF; serial line on the process's stdin and stdout."""

    child_stdin = subprocess.PIPE

    def __init__(self, options, run_dir):
        super().__init__(options, run_dir)
        self.child_stdout = subprocess.PIPE
        qemu = _need_program(options.qemu, "run make qemu" if options.qemu == QEMU_MENDED else "package qemu-system-x86; run make setup")
        accel, cpu = options.accel, options.cpu
        if accel == "kvm" and not nested_kvm():
            print("node: this host's KVM gives its guests neither VT-x nor AMD-V: TCG instead", file=sys.stderr, flush=True)
            accel = "tcg"
        if accel == "kvm" and not options.cpu_given:
            cpu = "host,-hypervisor"
        code = _need(f"{OVMF}/OVMF_CODE_4M.fd", "ovmf")
        shutil.copy(_need(f"{OVMF}/OVMF_VARS_4M.fd", "ovmf"), self.path("vars.fd"))
        self.command = [
            *(qemu, "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"),
            *("-machine", "q35", "-accel", accel + ",thread=single" * options.one_thread, "-cpu", cpu),
            *("-smp", str(options.cpus), "-m", str(options.memory)),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={self.path('vars.fd')}"),
            *("-chardev", "stdio,id=console,signal=off,mux=off", "-serial", "chardev:console"),
        ]
        if options.icount:
            self.command += ["-icount", "shift=0,sleep=off"]
        if options.boot == "ipxe":
            self._net_boot()
        else:
            esp = media.make_esp(options, run_dir)
            self.command += ["-drive", f"if=none,id=esp,format=raw,file={esp}", "-device", "ide-hd,drive=esp,bootindex=0"]
        if options.control:
            kind, _, rest = options.control.partition(",")
            device = f"{options.control_card},netdev=control,mac={options.control_mac},romfile="
            self.command += ["-netdev", f"{kind},id=control" + (f",{rest}" if rest else ""), "-device", device]
        for i, (model, netdev, mac) in enumerate(options.nics):
            kind, _, rest = (netdev or "user").partition(",")
            self.command += ["-netdev", ",".join(filter(None, (kind, f"id=nic{i}", rest)))]
            self.command += ["-device", f"{model},netdev=nic{i},mac={mac},romfile="]  # nothing boots from it
        self._drives()
        self._no_tpm = no_tpm.NoTpm() if accel == "tcg" else None
        if self._no_tpm:
            self.command += self._no_tpm.arguments
            self.child_fds = self._no_tpm.child_fds
        self.command += options.emu_arg

    def _drives(self):
        """The golden image's disk and the store's, in this order."""
        names = media.drive_names(self.options)
        for role, name, file in zip(("golden", "store"), names, disk_files(self.options)):
            if not name:
                continue
            device = self._device(role, name.rstrip("0123456789"), int(name.lstrip("ahcinvmede")))
            self.command += ["-drive", f"if=none,id={role},format=raw,file={file}", "-device", f"{device},drive={role}"]

    def _device(self, role, bus, number):
        if bus == "nvme":
            return f"nvme,serial={role}"
        if bus == "ahci":
            return f"ide-hd,bus=ide.{number}"
        if number == 0:  # q35 has no such controller
            self.command += ["-device", "piix4-ide,id=piix"]
        return f"ide-hd,bus=piix.{number // 2},unit={number % 2}"

    def _net_boot(self):
        media.make_tftp(self.options, self.run_dir)
        rom = _need("/usr/lib/ipxe/qemu/efi-e1000.rom", "ipxe-qemu")
        self.command += [
            *("-netdev", f"user,id=boot,tftp={self.path('tftp')},bootfile=boot.ipxe"),
            *("-device", f"e1000,netdev=boot,bootindex=0,romfile={rom},mac=52:54:00:00:00:01"),
        ]

    def started(self, process):
        self.output_fd = process.stdout.fileno()
        self.input_fd = process.stdin.fileno()
        if self._no_tpm:
            self._no_tpm.start()

    def powered_off(self, status):
        with open(self.log, "rb") as f:  # a signal is a proper end to QEMU
            return status == 0 and b"terminating on signal" not in f.read()


class Bochs(Machine):
    """i440FX with OVMF and an ESP on the first disk; serial line on a pseudo-terminal."""

    def __init__(self, options, run_dir):
        super().__init__(options, run_dir)
        _need_program("bochs", "package bochs; run make setup")
        master, slave = pty.openpty()
        tty.setraw(slave)
        self._slave = slave  # kept open: a pty without one reads as closed
        self.output_fd = self.input_fd = master
        if options.bare:
            # Without ACPI tables a bare kernel can't power off; it says that it would.
            self.marks = {b"reboot: System halted": STATUS_OFF, b"reboot: Power down": STATUS_OFF}
        with open(self.path("ovmf.fd"), "wb") as f:
            for part in ("OVMF_VARS.fd", "OVMF_CODE.fd"):
                with open(_need(f"{OVMF}/{part}", "ovmf"), "rb") as p:
                    shutil.copyfileobj(p, f)
        esp = media.make_esp(options, run_dir)
        cylinders = os.path.getsize(esp) // media.CYLINDER
        lines = [
            f"cpu: model={options.cpu}, count={options.cpus}, ips={BOCHS_IPS}, reset_on_triple_fault=1",
            f"memory: guest={options.memory}, host={options.memory}",
            f"romimage: file={self.path('ovmf.fd')}",
            f"vgaromimage: file={_need(VGA_BIOS, 'vgabios')}",
            "plugin_ctrl: speaker=0",
            "display_library: rfb, options=\"timeout=0\"",
            "clock: sync=none, time0=1700000000",
            f"com1: enabled=1, mode=term, dev={os.ttyname(slave)}",
            "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
            f"ata0-master: type=disk, path={esp}, mode=flat, cylinders={cylinders}, heads=16, spt=63",
            *self._drives(),
            "boot: disk",
            f"log: {self.path('bochs.log')}",
            "panic: action=fatal",
            "error: action=report",
            "info: action=ignore",
            "debug: action=ignore",
            *self._nics(),
            *options.emu_arg,
        ]
        if options.control:
            lines.append(f"e1000: card=0, enabled=1, mac={options.control_mac}, ethmod={options.control}, script=''")
        with open(self.path("bochsrc"), "w") as f:
            f.write("\n".join(lines) + "\n")
        with open(self.path("go"), "w") as f:
            f.write("c\nq\n")
        self.command = ["bochs", "-q", "-f", self.path("bochsrc"), "-rc", self.path("go")]

    def _drives(self):
        """The golden image's disk and the store's, behind the ESP's: first its channel's other device."""
        places = iter(("ata0-slave", "ata1-master"))
        if self.options.disk_bus or self.options.store:
            yield "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15"
        for file in disk_files(self.options):
            if file:
                yield f"{next(places)}: type=disk, path={file}, mode=flat, {bochs_geometry(file)}"

    def _nics(self):
        cards = self.options.nics
        if cards:
            yield "pci: enabled=1, chipset=i440fx, " + ", ".join(f"slot{i + 1}=e1000" for i in range(len(cards)))
        for i, (_, ethmod, mac) in enumerate(cards):
            yield f"e1000: card={i}, enabled=1, mac={mac}, ethmod={ethmod or 'slirp'}, script=''"

    def powered_off(self, status):
        with open(self.path("bochs.log"), errors="replace") as f:
            return re.search("soft power off", f.read()) is not None

    def last_words(self):
        with open(self.path("bochs.log"), errors="replace") as f:
            return "".join(f.readlines()[-20:])


MACHINES = {"qemu": Qemu, "bochs": Bochs}
