# SPDX-License-Identifier: GPL-2.0-or-later
"""What breaks in the midst of a freeze of two nodes: a cable, stasisctl, a node, the grandmaster. Nothing hangs, nobody stays frozen, and everyone says what happened."""
import json
import time

from cases import case
from experiment import NODES, Experiment
from node import SLOWNESS, check
from stasisctl import CLEAN, FAILED, LATE, PARTIAL

PAUSE_S = 0.5  # a node takes four new connections a second (docs/control.md)
REBOOT = 240  # s: firmware, iPXE, Stasis
TOLERANCE_NS = 50_000_000  # how far the durations of a pair of emulators may be apart


class Faults:
    def __init__(self, experiment, log):
        self.e, self.log = experiment, log

    def ctl(self, *args, status=(CLEAN, LATE)):
        lines = self.e.ctl(*args, status=status)
        self.log.write(f"$ stasisctl {' '.join(args)}\n" + "".join(json.dumps(line) + "\n" for line in lines))
        return lines[-1]

    def until(self, what, holds, patience=60, of="all"):
        """Asks these nodes for their state again and again; holds(nodes by number). One that can't be reached takes long."""
        end = time.monotonic() + patience * SLOWNESS
        while True:
            nodes = {n["index"]: n for n in self.e.ctl("status", of, status=(CLEAN, FAILED))[-1].get("nodes", ())}
            if holds(nodes):
                return nodes
            check(time.monotonic() < end, f"{what} did not come about: {nodes}")
            time.sleep(PAUSE_S)

    def all_run(self, patience=60):
        return self.until("that all run", lambda n: len(n) == NODES and all(x.get("state") == "running" and not x["error"] for x in n.values()), patience)

    def clocks_agree(self):
        self.all_run(REBOOT)
        self.e.wait_for_clocks(REBOOT)

    def begin(self, *args):
        """A freeze under way, and all nodes committed to it."""
        p = self.e.start_ctl(*args)
        self.until(f"{args}: the commit", lambda n: len(n) == NODES and all(x.get("epoch_state") == "committed" for x in n.values()))
        return p

    def end(self, p, status):
        out, err = p.communicate(timeout=120 * SLOWNESS)
        self.log.write(out + err)
        check(p.returncode in status, f"exit status {p.returncode}, wanted one of {status}: {out}{err}")
        return json.loads(out.splitlines()[-1])

    def latest(self, nodes=range(NODES)):
        """How long each of these was frozen last (ns)."""
        return [self.e.ctl("run", f"n{i}", "freezes --json")[0]["nodes"][0]["json"]["freezes"][-1]["frozen_ns"] for i in nodes]

    def boot(self, i):
        return self.all_run()[i]["boot"]


def frozen_for(f, seconds, nodes=range(NODES)):
    for ns in f.latest(nodes):
        check(abs(ns - seconds * 1e9) <= TOLERANCE_NS, f"frozen for {ns} ns instead of {seconds} s")


def fates(epoch):
    return {s["node"]: s["fate"] for s in epoch["spoiled"]}


# --- one after the other, each leaves two nodes that run ---


def cable_out_before(f):
    freezes = f.e.answers("status --json")[0]["freezes"]
    f.e.pull(1)
    said = f.ctl("freeze", "--for", "1s", status=(FAILED,))
    check("n1" in json.dumps(said), f"n1 is not named: {said}")
    f.e.pull(1, plugged=True)
    f.all_run()
    check(f.e.answers("status --json")[0]["freezes"] == freezes, "a node was frozen though another had not acknowledged")


def cable_out_until(f, p, state, seconds):
    """n1's, until n0 is in this state; both are frozen for so long nevertheless."""
    f.e.pull(1)
    f.until(f"that n0 is {state}", lambda n: n[0].get("state") == state, of="n0")
    f.e.pull(1, plugged=True)
    said = f.end(p, (CLEAN, LATE, PARTIAL))
    check(said["outcome"] != "partial" or fates(said) == {"n1": "silent"}, f"{said}")
    f.all_run()
    frozen_for(f, seconds)


def cable_out_after_the_commit(f):
    p = f.begin("freeze", "--in", "6s", "--for", "6s")
    cable_out_until(f, p, "frozen", 6)


def cable_out_at_the_thaw(f):
    p = f.begin("freeze", "--in", "4s", "--for", "3s")
    f.until("both freezes", lambda n: all(x.get("state") == "frozen" for x in n.values()))
    cable_out_until(f, p, "running", 3)


def stasisctl_killed_after_the_commit(f):
    p = f.begin("freeze", "--in", "4s", "--for", "3s")
    p.kill()
    p.communicate()
    f.until("n0's freeze", lambda n: n[0].get("state") == "frozen", of="n0")
    f.all_run()
    frozen_for(f, 3)


def stasisctl_killed_at_the_thaw(f):
    f.ctl("freeze")
    p = f.e.start_ctl("thaw", "--in", "4s")
    f.until("the arming of the thaw", lambda n: any(x.get("until_ns") for x in n.values()))
    p.kill()
    p.communicate()
    f.ctl("thaw", status=(CLEAN, FAILED, LATE))  # thawed by the first one, or by this one
    f.all_run()
    check(abs(f.latest()[0] - f.latest()[1]) <= TOLERANCE_NS, f"frozen for {f.latest()} ns")


def reset_after_the_commit(f):
    boot = f.boot(1)
    p = f.begin("freeze", "--in", "5s", "--for", "3s")
    f.e.monitor(1).give("system_reset")
    said = f.end(p, (PARTIAL,))
    check(fates(said).get("n1") in ("reset", "silent") and "n0" not in fates(said), f"{said}")
    frozen_for(f, 3, (0,))
    f.clocks_agree()
    check(f.boot(1) != boot, "the node that was reset has its old boot number")


# A stasisctl that comes afterwards has never met the node's former boot: it finds one that ran.
GONE = ("reset", "silent", "ran-on")


def reset_while_frozen(f):
    f.ctl("freeze")
    f.e.monitor(1).give("system_reset")
    said = f.ctl("thaw", "--force", status=(PARTIAL,))
    check(fates(said).get("n1") in GONE and "n0" not in fates(said), f"{said}")
    f.until("n0's thaw", lambda n: n[0].get("state") == "running", of="n0")


def grandmaster_reset_while_frozen(f):
    """n0 gives the time: n1's goes on at its last rate, and is good enough for the thaw."""
    f.ctl("freeze")
    f.e.monitor(0).give("system_reset")
    said = f.ctl("thaw", "--force", status=(PARTIAL,))
    check(fates(said).get("n0") in GONE, f"{said}")
    f.until("n1's thaw", lambda n: n.get(1, {}).get("state") == "running", REBOOT, of="n1")


@case(alone=True, long=True)
def in_the_midst_of_a_freeze(log):
    faults = (
        cable_out_before,
        cable_out_after_the_commit,
        cable_out_at_the_thaw,
        stasisctl_killed_after_the_commit,
        stasisctl_killed_at_the_thaw,
        reset_after_the_commit,
        reset_while_frozen,
        grandmaster_reset_while_frozen,
    )
    with Experiment(logs=(log, None), append="quiet") as e:
        e.boot()
        f = Faults(e, log)
        f.clocks_agree()
        for fault in faults:
            log.write(f"\n=== {fault.__name__}\n")
            fault(f)
            f.clocks_agree()
            said = f.ctl("freeze", "--for", "1s")
            check(said["outcome"] in ("clean", "late"), f"the freeze after {fault.__name__} ended as {said}")
