# SPDX-License-Identifier: GPL-2.0-or-later
"""An NBD server on this host, which a node reaches as 10.0.2.2 over QEMU's user network."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from node import Failure
from paths import BUILD
from ports import free_port

HOST_OF_USER_NET = "10.0.2.2"
START_SECONDS = 20


class NbdServer:
    """qemu-nbd or nbdkit with one raw image as the export `disk`. A context manager: leaving it ends the server."""

    def __init__(self, image, program="qemu-nbd", read_only=False):
        if not shutil.which(program):
            raise Failure(f"no {program} (run make setup)")
        self.port = free_port()
        if program == "qemu-nbd":
            self.command = ["qemu-nbd", "-b", "127.0.0.1", "-p", str(self.port), "-x", "disk", "-t", "-f", "raw", "-e", "4", "--discard=unmap"] + ["-r"] * read_only + [image]
        else:
            self.command = ["nbdkit", "-f", "-i", "127.0.0.1", "-p", str(self.port), "-e", "disk"] + ["-r"] * read_only + ["file", image]
        self.process = None

    @property
    def address(self):
        return f"{HOST_OF_USER_NET}:{self.port}"

    @property
    def url(self):
        return f"nbd://{self.address}/disk"

    def start(self, **output):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, **output)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise Failure(f"{self.command[0]} does not listen at port {self.port} (status {self.process.poll()})")

    def kill(self):
        """As a crash: nothing is said to anybody."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def pause(self):
        """It keeps its connections, and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class VolatileServer(NbdServer):
    """test/nbd/volatile.c: a disk that loses what was not flushed when its power fails, in its cut-th write or flush (0: never); or that lies: it
    says that a flush is done, and has done nothing."""

    def __init__(self, image, seed, cut, fua=False, lies=False):
        super().__init__(image, "nbdkit")
        plugin = os.path.join(BUILD, "test", "volatile.so")
        self.command = self.command[: self.command.index("file")] + [plugin, f"file={image}", f"seed={seed}", f"cut={cut}", f"fua={str(fua).lower()}", f"lies={str(lies).lower()}"]

    def start(self):
        super().start(stderr=subprocess.PIPE, text=True)

    def has_failed(self):
        return self.process.poll() is not None

    def lost(self):
        """After the power has failed: how many sectors of the cache reached the disk, and how many did not."""
        said = self.process.stderr.read()
        found = re.search(r"volatile cut kept=(\d+) lost=(\d+)", said)
        if not found or self.process.wait() != -signal.SIGKILL:
            raise Failure(f"the server has not ended by a power failure (status {self.process.wait()}): {said}")
        return int(found[1]), int(found[2])

    def __exit__(self, *args):
        super().__exit__(*args)
        self.process.stderr.close()
