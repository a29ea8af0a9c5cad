# SPDX-License-Identifier: GPL-2.0-or-later
"""The sleep loop on a node that works for others all the time: commands over TLS, PTP with a ptp4l of this host, and a store that the guest writes to.

The guest's time is deterministic but for what comes from the control network, whose other end lives in the host's time."""
import os
import statistics
import subprocess
import tempfile
import threading
import time

import evalloops
import gptdisk
import tap
from benches import bench, output
from ctlclient import KEY, Client
from images import golden
from node import Failure, Node, check
from paths import BUILD, KERNEL_CLOUD

LIMIT_US = 80  # the original system's
ITERATIONS = 2600
FREEZES = evalloops.Freezes("1ms", 24, between=1, first=1)
COMMANDS = ("status --json", "exits --json", "time --json", "disk status --json")
WRITER = "(while :; do /tests/diskload /dev/vda write 4 50; usleep 50000; done >/dev/null 2>&1 &)"


class Operator:
    """Gives commands over TLS, one after the other, in a thread. One connection: the node's log tells of each, on the console that the loop is run from."""

    def __init__(self, host):
        self.host, self.commands, self.error = host, 0, None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self):
        try:
            with Client(4789, host=self.host) as c:
                while not self._over.is_set():
                    c.run(COMMANDS[self.commands % len(COMMANDS)])
                    self.commands += 1
        except Failure as e:
            self.error = e

    def __enter__(self):
        self._thread.start()
        while not self.commands and not self.error:
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def slices(n):
    """Ticks in which the hypervisor worked for the disk and the control network while the guest wanted to run."""
    return sum(c["slices"] for c in n.ask("exits")["stolen"])


def watched(n, operator, written):
    """The loop without freezes and with; what was done for others meanwhile."""
    runs = []
    for freezes in (None, FREEZES):
        n.stasis("exits reset")
        before = operator.commands, written()
        run = evalloops.run_loop(n, "sleep", ITERATIONS, freezes, timeout=3000)
        commands, size = operator.commands - before[0], written() - before[1]
        share = slices(n) / run.hz / (sum(run.us) / 1e6)
        check(not operator.error, f"the control connection: {operator.error}")
        check(commands and size and share > 0, f"the node had nothing to do: {commands} commands, {size} bytes")
        print(f"{commands} commands over TLS, {size >> 20} MiB written, {share:.2%} of the time in slices", flush=True)
        runs.append(run)
    return runs


def report(unfrozen, frozen):
    others, spans = frozen.others(), frozen.spanning()
    usual = statistics.median(others)
    error = statistics.median(abs(u - usual) for u in spans)
    print(f"{'us':16} {'min':>8} {'median':>8} {'99 %':>8} {'max':>8}")
    for name, us in (("not frozen", unfrozen.us), ("others", others), ("spanning", spans)):
        us = sorted(us)
        print(f"{name:16} {us[0]:8} {statistics.median(us):8} {us[len(us) * 99 // 100]:8} {us[-1]:8}")
    print(f"median error {error:.1f} us, at most {LIMIT_US}")
    missed = [f"the iterations that span a freeze differ by {error:.1f} us"] if error > LIMIT_US else []
    if max(spans) > max(others) + LIMIT_US:
        missed.append(f"the longest that spans a freeze took {max(spans)} us, of the others {max(others)}")
    return missed


@bench()
def sleep_loop():
    if not tap.possible():
        raise Failure("this needs a tap device, and that needs root")
    with tempfile.TemporaryDirectory(prefix="bench-busy-", dir=BUILD) as d, golden(64) as image, tap.Tap() as wire:
        store = os.path.join(d, "store.img")
        gptdisk.make(store, [gptdisk.STORE])
        ptp4l = subprocess.Popen(wire.ptp4l("--priority1", "10"), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        machine = {"icount": True, "kernel": KERNEL_CLOUD, "append": "quiet", "memory": 1024, "timeout": 1500}
        try:
            with Node(control=wire.netdev, config=[f"control_key={KEY}", *wire.config, "ptp=slave"], disk=f"{image.name},bus=ahci", store=f"{store},bus=nvme", **machine) as n:
                n.boot()
                n.run(WRITER)
                with Operator(wire.node) as operator:
                    unfrozen, frozen = watched(n, operator, lambda: n.ask("disk status")["guest_written"])
                shared = n.ask("time")["shared"]
                check(shared["ptp"] == "slave", f"PTP: {shared}")
                n.power_off(600)
        finally:
            ptp4l.terminate()
            ptp4l.wait()
    frozen.write_csv(output("busy-sleep.csv"))
    return report(unfrozen, frozen)
