# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells OVMF in QEMU that there is no TPM.

It asks by reading FED40000h (TIS_ACCESS): FFh means none. QEMU reads empty addresses as zero, so that OVMF takes it for a
TPM that does not answer, and polls it for a second and a half in all; under -icount with its slow port reads that is
a minute of the host. So QEMU starts stopped with a gdb stub, a watchpoint stops it at those reads, and they get FFh.
"""
import os
import socket
import sys
import threading
import time

TIS_ACCESS = 0xFED40000
CHECKS = 2  # one for a TPM 1.2, one for a TPM 2.0
MOV_AL_AT_EAX = "8a00"
RAX, RIP, REGISTER = 0, 16, 16  # numbers in `g`, and its hexadecimal digits for each


class Gdb:
    """The remote protocol, as far as it is needed here (gdb's manual, appendix E)."""

    def __init__(self, path):
        self._received = b""
        self._socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._socket.connect(path)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def ask(self, command):
        data = command.encode()
        self._socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))
        while True:
            packet, end, rest = self._received.partition(b"#")
            if end and len(rest) >= 2:
                self._received = rest[2:]
                self._socket.sendall(b"+")
                return packet.partition(b"$")[2].decode()
            more = self._socket.recv(4096)
            if not more:
                raise EOFError
            self._received += more


def _answer_checks(path):
    gdb = Gdb(path)
    gdb.ask("qSupported:xmlRegisters=i386")
    gdb.ask("qXfer:features:read:target.xml:0,ffb")  # QEMU writes registers only for one who has read it
    gdb.ask(f"Z3,{TIS_ACCESS:x},1")
    for _ in range(CHECKS):
        gdb.ask("c")
        registers = gdb.ask("g")
        rax, rip = (int.from_bytes(bytes.fromhex(registers[n * REGISTER :][:REGISTER]), "little") for n in (RAX, RIP))
        if gdb.ask(f"m{rip - 2:x},2") != MOV_AL_AT_EAX:
            print(f"node: an unknown firmware reads TIS_ACCESS at {rip:#x}: it waits for a TPM", file=sys.stderr, flush=True)
            break
        gdb.ask(f"P{RAX:x}={(rax | 0xFF).to_bytes(8, 'little').hex()}")
    gdb.ask(f"z3,{TIS_ACCESS:x},1")
    gdb.ask("D")


def _path(run_dir):
    return os.path.join(run_dir, "gdb")


def possible(run_dir):
    """A socket's path is short (unix(7)); without this a boot only takes longer."""
    return len(os.fsencode(_path(run_dir))) < 108


def arguments(run_dir):
    """For QEMU."""
    return ["-S", "-gdb", f"unix:{_path(run_dir)},server=on,wait=off"]


def start(run_dir):
    """In a thread, for as long as the firmware may ask."""

    def answer():
        try:
            _answer_checks(_path(run_dir))
        except (EOFError, OSError):
            pass  # QEMU has ended, and says why

    threading.Thread(target=answer, daemon=True).start()
