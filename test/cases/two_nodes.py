# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nodes, frozen as one by stasisctl while their guests exchange traffic over a wire with frames in flight."""
from cases import case
from experiment import Experiment
from node import check
from observe import Observed

FREEZES = 4
HOLD_S = 1


def clocks(e):
    return [n["json"] for n in e.ctl("run", "all", "time --json")[0]["nodes"]]


def freezes(e):
    return [n["json"]["freezes"][-FREEZES:] for n in e.ctl("run", "all", "freezes --json")[0]["nodes"]]


def cards(e):
    return [c for n in e.ctl("run", "all", "nic status --json")[0]["nodes"] for c in n["json"]["cards"]]


@case(alone=True, long=True)
def frozen_as_one(log):
    """Every epoch ends clean or late, every frame arrives, in order, and no clock has moved but by the time that its node was frozen."""
    with Experiment(logs=(log, None), append="quiet") as e:
        e.boot()
        e.wait_for_clocks()
        before = clocks(e)
        series = ("freeze", "--for", f"{HOLD_S}s", "--every", "3s", "--count", str(FREEZES), "--keep-going")
        o = Observed(e.nodes, e.wire, 3 * FREEZES, lambda _: e.ctl(*series, status=(0, 3)))
        after = clocks(e)
        outcomes = [epoch["outcome"] for epoch in o.result]
        check(len(outcomes) == FREEZES and set(outcomes) <= {"clean", "late"}, f"the epochs ended {outcomes}")
        for i, records in enumerate(freezes(e)):
            hidden = (after[i]["host_ns"] - after[i]["virtual_ns"]) - (before[i]["host_ns"] - before[i]["virtual_ns"])
            frozen = sum(r["frozen_ns"] for r in records)
            check(abs(hidden - frozen) <= 1000, f"node {i}: {frozen} ns frozen, but its guest's clock lost {hidden} ns")
            check(frozen > FREEZES * HOLD_S * 0.999e9, f"node {i} was frozen for {frozen} ns")
        check(o.lost() == 0, f"{o.lost()} datagrams were lost")
        check(o.disordered() == 0, f"{o.disordered()} datagrams came twice or out of order")
        check(sum(c["frames_caught"] for c in cards(e)) > 0, "no frame arrived while a node was frozen: nothing was shown")
        for c in cards(e):
            check(c["frames_caught"] == c["frames_delivered"] and c["frames_missed"] == c["damaged"] == c["left_alone"] == 0, f"frames were lost at a card: {c}")
