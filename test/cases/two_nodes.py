# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nodes, frozen as one by stasisctl while their guests exchange traffic over a wire with frames in flight."""
from cases import case
from experiment import Experiment, hidden
from node import check
from observe import Observed

FREEZES = 4
HOLD_S = 1


@case(alone=True, long=True)
def frozen_as_one(log):
    """Every epoch ends clean or late, every frame arrives, in order, and no clock has moved but by the time that its node was frozen."""
    with Experiment(logs=(log, None), append="quiet") as e:
        e.boot()
        e.wait_for_clocks()
        before = e.answers("time --json")
        series = ("freeze", "--for", f"{HOLD_S}s", "--every", "3s", "--count", str(FREEZES), "--keep-going")
        o = Observed(e.nodes, e.wire, 3 * FREEZES, lambda _: e.ctl(*series, status=(0, 3)))
        after = e.answers("time --json")
        outcomes = [epoch["outcome"] for epoch in o.result]
        check(len(outcomes) == FREEZES and set(outcomes) <= {"clean", "late"}, f"the epochs ended {outcomes}")
        for i, answer in enumerate(e.answers("freezes --json")):
            lost = hidden(before[i], after[i])
            frozen = sum(r["frozen_ns"] for r in answer["freezes"][-FREEZES:])
            check(abs(lost - frozen) <= 1000, f"node {i}: {frozen} ns frozen, but its guest's clock lost {lost} ns")
            check(frozen > FREEZES * HOLD_S * 0.999e9, f"node {i} was frozen for {frozen} ns")
        check(o.lost() == 0, f"{o.lost()} datagrams were lost")
        check(o.disordered() == 0, f"{o.disordered()} datagrams came twice or out of order")
        cards = [c for answer in e.answers("nic status --json") for c in answer["cards"]]
        check(sum(c["frames_caught"] for c in cards) > 0, "no frame arrived while a node was frozen: nothing was shown")
        for c in cards:
            check(c["frames_caught"] == c["frames_delivered"] and c["frames_missed"] == c["damaged"] == c["left_alone"] == 0, f"frames were lost at a card: {c}")
