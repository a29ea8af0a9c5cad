# SPDX-License-Identifier: GPL-2.0-or-later
"""An experiment: two nodes that share a control network and a wire between their experiment cards, and stasisctl.

The control network is a hub in the first node's emulator: its user-mode network, whose port forwarding lets this host reach each
node's control port, and a datagram socket to the other node.
"""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from node import Failure, Node
from paths import BUILD, INITRD_NETWORK, KERNEL
from ports import free_port
from wireprocess import WireProcess

CONTROL_PORT = 4789
NUMBER = 7  # of the experiment
HUB = 7
NODES = 2
STASISCTL = os.path.join(BUILD, "stasisctl")
# What an emulated pair on a busy host needs: its clocks are a host process's.
TOLERANT = ("margin = 500ms", "lead = 2s", "late_limit = 1s", "late_clean = 20ms", "clock_bound = 100ms")


class Qmp:
    """QEMU's monitor: its own stop and cont to compare with, resets, cables."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._file = self._socket.makefile("rw")
        self._file.readline()  # the greeting
        self.give("qmp_capabilities")

    def give(self, command, **arguments):
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            line = self._file.readline()
            if not line:
                raise Failure(f"QEMU closed its monitor at {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise Failure(f"QEMU's {command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]


def hidden(before, after):
    """Host time that a guest's clock did not see between two answers of its node to `time` (ns)."""
    return (after["host_ns"] - after["virtual_ns"]) - (before["host_ns"] - before["virtual_ns"])


class Experiment:
    """`emulator(i)`: more arguments for the QEMU of node i."""

    def __init__(self, card="e1000e", delay_ms=5, memory=512, logs=(None, None), config=(), pcap=None, emulator=lambda _: (), **options):
        self.directory = tempfile.mkdtemp(prefix="stasis-")  # short: the path of a socket has 107 bytes
        self.key = os.urandom(32).hex()
        self.ports = [free_port() for _ in range(NODES)]
        self.nodes, self.wire, self.emulator, self._monitors = [], None, emulator, {}
        try:
            self._write_file()
            ends = [f"unix:{self.path(f'wire{i}')}:{self.path(f'card{i}')}" for i in range(NODES)]
            self.wire = WireProcess(ends, "--delay", str(delay_ms), *(["--pcap", pcap] if pcap else []))
            for i in range(NODES):
                self.nodes.append(self._node(i, card, memory, logs[i], config, options))
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.directory, name)

    def monitor(self, i):
        """Of node i's emulator."""
        if i not in self._monitors:
            self._monitors[i] = Qmp(self.path(f"qmp{i}"))
        return self._monitors[i]

    def pull(self, i, plugged=False):
        """Node i's cable to the control network, out or in again. Its time comes the same way."""
        self.monitor(i).give("set_link", name="control", up=plugged)

    def _write_file(self):
        key = self.path("key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(self.key + "\n")
        nodes = [f"node n{i} 127.0.0.1:{port}" for i, port in enumerate(self.ports)]
        with open(self.path("experiment"), "w") as f:
            f.write("\n".join([f"experiment = demo/{NUMBER}", f"key = file:{key}", *TOLERANT, *nodes]) + "\n")

    def _node(self, i, card, memory, log, config, options):
        socket_pair = f"local.type=unix,local.path={self.path(f'card{i}')},remote.type=unix,remote.path={self.path(f'wire{i}')}"
        args = ["--control", f"hubport,hubid={HUB}", "--control-card", "virtio-net-pci", "--nic", f"{card},dgram,{socket_pair}"]
        more = self._hub(i) + ["-qmp", f"unix:{self.path(f'qmp{i}')},server=on,wait=off", *self.emulator(i)]
        args += [f"--emu-arg={a}" for a in more]
        keys = [f"ip=10.0.2.{15 + i}/24", "gateway=10.0.2.2", f"control_key={self.key}", f"experiment={NUMBER}", f"node={i}"]
        keys.append(f"ptp={'slave' if i else 'master'}")
        return Node(kernel=KERNEL, initrd=INITRD_NETWORK, memory=memory, config=[*keys, *config], extra=args, log=log, index=i, **options)

    def _hub(self, i):
        def joined(name):
            return ["-netdev", f"hubport,id=hub-{name},hubid={HUB},netdev={name}"]

        own, other = self.path(f"control{i}"), self.path(f"control{1 - i}")
        link = ["-netdev", f"dgram,id=link,local.type=unix,local.path={own},remote.type=unix,remote.path={other}", *joined("link")]
        if i:
            return link
        forward = "".join(f",hostfwd=tcp:127.0.0.1:{port}-10.0.2.{15 + n}:{CONTROL_PORT}" for n, port in enumerate(self.ports))
        return ["-netdev", f"user,id=outside{forward}", *joined("outside"), *link]

    def boot(self):
        for n in self.nodes:
            n.boot()
        for i, n in enumerate(self.nodes):
            # QEMU's cards cut what is to be segmented into IP fragments: let the kernel do it
            n.run(f"/sbin/ip link set eth0 gso_max_segs 1 up; ip addr add 10.1.0.{i + 1}/24 dev eth0")
        for n in self.nodes:
            n.wait_for_link()
        self.nodes[0].run("ping -c 3 -i 0.2 -W 5 10.1.0.2", status=None)  # ARP

    def wait_for_clocks(self, patience=120):
        """Until all nodes can be reached and share a time."""
        end = time.monotonic() + patience
        while True:
            answer = self.ctl("time", status=(0, 1))[-1]
            if answer.get("locked") and answer.get("agreed"):
                return
            if time.monotonic() > end:
                raise Failure(f"the nodes' clocks do not agree after {patience} s: {answer}")
            time.sleep(1)

    def _ctl(self, args):
        return [STASISCTL, "-e", self.path("experiment"), "--json", *args]

    def start_ctl(self, *args):
        """stasisctl --json, running."""
        return subprocess.Popen(self._ctl(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ctl(self, *args, timeout=600, status=(0,)):
        """stasisctl --json; its lines. Fails if its exit status is none of these."""
        r = subprocess.run(self._ctl(args), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        if r.returncode not in status:
            raise Failure(f"stasisctl {' '.join(args)}: exit status {r.returncode}\n{r.stdout}{r.stderr}")
        return [json.loads(line) for line in r.stdout.splitlines()]

    def answers(self, command):
        """Of each node's prompt."""
        return [n["json"] for n in self.ctl("run", "all", command)[0]["nodes"]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for n in self.nodes:
            n.__exit__()
        if self.wire:
            self.wire.__exit__()
        shutil.rmtree(self.directory, ignore_errors=True)
