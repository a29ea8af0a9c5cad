# SPDX-License-Identifier: GPL-2.0-or-later
"""A tap device between this host and a node's control card: connections at the host's own speed, and programs of the host at its other end. Needs root."""
import itertools
import os
import subprocess

from node import Failure

_count = itertools.count()


def _ip(*words):
    return subprocess.run(("ip", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def possible():
    return os.geteuid() == 0 and os.path.exists("/dev/net/tun")


class Tap:
    """Use as a context manager; `netdev` is what QEMU's -netdev takes, less its id; `config` gives the node its address."""

    def __init__(self):
        n = next(_count)
        self.name = f"st{os.getpid()}t{n}"
        self.net = f"10.{192 + os.getpid() % 60}.{n % 250}"
        self.host, self.node = f"{self.net}.1", f"{self.net}.2"
        self.netdev = f"tap,ifname={self.name},script=no,downscript=no"
        self.config = [f"ip={self.node}/24"]

    def __enter__(self):
        for words in (("tuntap", "add", self.name, "mode", "tap"), ("addr", "add", f"{self.host}/24", "dev", self.name), ("link", "set", self.name, "up")):
            r = _ip(*words)
            if r.returncode != 0:
                self.__exit__()
                raise Failure(f"ip {' '.join(words)}: {r.stdout.strip()}")
        return self

    def ptp4l(self, *words):
        """A ptp4l of this host on it, which never sets the host's clock: the command."""
        return ["ptp4l", "-i", self.name, "-S", "-m", "-q", "--free_running", "1", *words]

    def __exit__(self, *_):
        _ip("link", "del", self.name)
        return False


def skipped(log, what):
    if possible():
        return False
    log.write("SKIPPED: a tap device needs root\n")
    print(f"     {what}: SKIPPED, a tap device can't be made here (it needs root)", flush=True)
    return True
