# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells OVMF in QEMU that there is no TPM.

It asks by reading FED40000h (TIS_ACCESS): FFh means none. QEMU reads empty addresses as zero, so that OVMF takes it for a
TPM that does not answer, and polls it for a second and a half in all; under -icount with its slow port reads that is
a minute of the host. So QEMU starts stopped with a gdb stub, a watchpoint stops it at those reads, and they get FFh.
"""
import socket
import sys
import threading

TIS_ACCESS = 0xFED40000
CHECKS = 2  # one for a TPM 1.2, one for a TPM 2.0
MOV_AL_AT_EAX = "8a00"
RAX, RIP, REGISTER = 0, 16, 16  # numbers in `g`, and its hexadecimal digits for each


class Gdb:
    """The remote protocol, as far as it is needed here (gdb's manual, appendix E)."""

    def __init__(self, connected):
        self._received = b""
        self._socket = connected

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


def _answer_checks(gdb):
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


class NoTpm:
    """For one QEMU: its `arguments`, and the descriptors it inherits."""

    def __init__(self):
        self._socket, self._child = socket.socketpair()
        self.child_fds = (self._child.fileno(),)
        self.arguments = ["-S", "-chardev", f"socket,id=gdb,fd={self._child.fileno()}", "-gdb", "chardev:gdb"]

    def start(self):
        """QEMU runs. In a thread, for as long as the firmware may ask."""
        self._child.close()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        try:
            _answer_checks(Gdb(self._socket))
        except (EOFError, OSError):
            pass  # QEMU has ended, and says why
