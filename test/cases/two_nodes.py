# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nodes, frozen as one while their guests exchange traffic over a wire with frames in flight."""
import time

import far
from cases import case
from experiment import Experiment, hidden
from node import Node, check
from observe import ADDRESS, OUT_OF_STEP_S, Observed, check_cards
from paths import INITRD_NETWORK, KERNEL

FREEZES = 4
HOLD_S = 1
UNEQUAL_NS = 500000  # in the median, at most: what PTP knows of the time between T and T' on a busy host


def nothing_lost(o, cards, lost):
    check(lost == 0, f"{lost} datagrams were lost")
    check(o.disordered() == 0, f"{o.disordered()} datagrams came twice or out of order")
    check(sum(c["frames_caught"] for c in cards) > 0, "no frame arrived while a node was frozen: nothing was shown")
    check_cards(cards)


@case(alone=True, long=True)
def frozen_as_one(log):
    """Every epoch ends clean or late, every frame arrives, in order, and no clock has moved but by the time that its node was frozen."""
    with Experiment(logs=(log, None), append="quiet") as e:
        e.boot()
        e.wait_for_clocks()
        before = e.answers("time --json")
        series = ("freeze", "--for", f"{HOLD_S}s", "--every", f"{3 + OUT_OF_STEP_S}s", "--count", str(FREEZES), "--keep-going")
        o = Observed(e.nodes, e.wire, 3 * FREEZES, lambda _: e.ctl(*series, status=(0, 3)))
        o.log(log)
        after = e.answers("time --json")
        outcomes = [epoch["outcome"] for epoch in o.result]
        check(len(outcomes) == FREEZES and set(outcomes) <= {"clean", "late"}, f"the epochs ended {outcomes}")
        cards = [c for answer in e.answers("nic status --json") for c in answer["cards"]]
        log.write(f"{cards}\n")
        stood = [[r["frozen_ns"] for r in answer["freezes"][-FREEZES:]] for answer in e.answers("freezes --json")]
        log.write(f"{stood}\n")
        for i, lengths in enumerate(stood):
            lost, frozen = hidden(before[i], after[i]), sum(lengths)
            check(abs(lost - frozen) <= 1000, f"node {i}: {frozen} ns frozen, but its guest's clock lost {lost} ns")
            check(frozen > FREEZES * HOLD_S * 0.999e9, f"node {i} was frozen for {frozen} ns")
        apart = sorted(abs(a - b) for a, b in zip(*stood))
        check(apart[FREEZES // 2] <= UNEQUAL_NS, f"the nodes did not stand equally long: {stood}")
        nothing_lost(o, cards, o.lost())


BOCHS_FREEZES = 5
RUNS_S, FROZEN_S = 5, 8  # between freezes, and each
# An emulated card looks once a millisecond of its own time for one frame, and the host keeps some 90 full ones for it: slow enough to lose none while an emulator lags.
PACE = {"rate": 20, "bitrate": "200K"}


def at_both_prompts(nodes, log):
    """No network commands these nodes: one prompt after the other, and how far apart that was (host s)."""
    apart = []
    for i in range(BOCHS_FREEZES):
        time.sleep(RUNS_S)  # traffic, not synchronization
        began = time.monotonic()
        for n in nodes:
            answer = n.stasis(f"freeze --for {FROZEN_S}s", timeout=300)
            check("frozen" in answer or "armed" in answer, f"freeze answers {answer!r}")
        apart.append(time.monotonic() - began)
        for n in nodes:
            while n.ask("status")["state"] != "running":
                pass
    log.write(f"\nthe freezes were at most this far apart: {apart}\n")
    return apart


@case(alone=True, long=True)
def frozen_under_vtx(log):
    """Two nodes in Bochs, a stock driver on each 82540EM: five freezes that are longer than they are apart, and no frame is lost that is not without freezes: none."""
    with far.Wire("--delay", "5", ends=("udp", "udp")) as wire:
        options = {"emu": "bochs", "kernel": KERNEL, "initrd": INITRD_NETWORK, "memory": 512, "append": "quiet"}
        with Node(log=log, extra=["--nic", f"e1000,{wire.ethmods[0]}", far.BOCHS_CLOCK], index=0, **options) as a:
            with Node(extra=["--nic", f"e1000,{wire.ethmods[1]}", far.BOCHS_CLOCK], index=1, **options) as b:
                nodes = (a, b)
                for n, address in zip(nodes, ADDRESS):
                    n.boot()
                    n.run(f"ip link set eth0 up; ip addr add {address}/24 dev eth0")
                    n.wait_for_link()
                a.run(f"ping -c 3 -i 0.2 -W 5 {ADDRESS[1]}", timeout=300)
                reference = Observed(nodes, wire, BOCHS_FREEZES * RUNS_S, lambda _: None, **PACE)
                reference.log(log)
                check(reference.gaps() == 0, f"{reference.gaps()} datagrams are missing without any freeze: the emulators lose them")
                o = Observed(nodes, wire, 3 * BOCHS_FREEZES * RUNS_S, lambda _: at_both_prompts(nodes, log), **PACE)
                for n, to in zip(nodes, reversed(ADDRESS)):
                    n.run(f"ping -c 3 -i 0.2 -W 5 {to}", timeout=300)
                check(FROZEN_S > 10 * max(o.result), f"the freezes were {o.result} s apart, too far for {FROZEN_S} s")
                answers = [n.ask("nic status") for n in nodes]
                records = [n.ask("freezes") for n in nodes]
                o.log(log)
                log.write(f"{answers}\n{records}\n")
                check(all(r["total"] == BOCHS_FREEZES for r in records), f"not all freezes came about: {records}")
                # these guests' seconds are not the same: one has stopped to receive while the other still sends
                nothing_lost(o, [c for answer in answers for c in answer["cards"]], o.gaps())
