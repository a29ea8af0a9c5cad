# SPDX-License-Identifier: GPL-2.0-or-later
"""Something goes wrong at a fake node in a freeze: what stasisctl says of the epoch."""
import json

from cases import case
from fakenodes import Nodes
from node import check
from stasisctl import CLEAN, FAILED, LATE, PARTIAL


def fates(answer):
    return {s["node"]: s["fate"] for s in answer["spoiled"]}


@case()
def late(log):
    """A node that freezes late makes the epoch late, and is told."""
    with Nodes(3, log) as n:
        n.do("late", 2, 5_000_000)
        (a,) = n.json("freeze", "--for", "200ms", status=LATE)
        check(a["outcome"] == "late" and a["late_ns"] == 5_000_000 and a["slowest"] == "n2", str(a))
        n.json("freeze", status=LATE)
        n.json("thaw", status=LATE)


@case()
def refused(log):
    """A node that refuses keeps all from freezing, and says why: busy; no good clock."""
    with Nodes(3, log) as n:
        n.do("busy", 1, 1)
        (a,) = n.json("freeze", "--for", "1s", status=FAILED)
        check(a["outcome"] == "aborted" and fates(a) == {"n1": "refused"} and "frozen by hand" in a["spoiled"][0]["why"], str(a))
        n.do("busy", 1, 0)
        n.do("bound", 2, "never")
        (a,) = n.json("freeze", status=FAILED)
        check(fates(a) == {"n2": "refused"} and "clock" in a["spoiled"][0]["why"] and n.freezes(0) == (0, 0), str(a))


@case()
def silent(log):
    """A node that swallows the protocol is not frozen with, and nobody waits for it longer than `patience`."""
    with Nodes(3, log) as n:
        n.do("hostile", 0, "silent")
        (a,) = n.json("freeze", "--for", "1s", status=FAILED)
        check(fates(a) == {"n0": "silent"} and n.freezes(1) == (0, 0), str(a))


@case()
def partial(log):
    """A node that dies while frozen makes the epoch partial; thaw says who is missing, --force goes on without it."""
    with Nodes(3, log) as n:
        n.json("freeze")
        n.do("kill", 1)
        (a,) = n.json("thaw", status=FAILED)
        check("n1" in a["error"] and "--force" in a["error"] and n.frozen() == 3, str(a))
        (a,) = n.json("thaw", "--force", status=PARTIAL)
        check(a["outcome"] == "partial" and fates(a) == {"n1": "silent"}, str(a))
        check(n.freezes(0) == (0, 1) and n.freezes(2) == (0, 1), "the others did not thaw")


@case()
def reset_while_frozen(log):
    """A node that is reset while the others are frozen: partial, with that fate."""
    with Nodes(3, log) as n:
        p = n.start("freeze", "--for", "2s", "--json")
        n.wait("all frozen", lambda: n.frozen() == 3)
        n.do("reset", 2)
        out, _ = n.finish(p, PARTIAL, "freeze --for 2s, reset")
        check(fates(json.loads(out)) == {"n2": "reset"}, out)


@case()
def clock_is_stepped(log):
    """A node whose clock was stepped while it stood: partial."""
    with Nodes(2, log) as n:
        n.json("freeze")
        n.do("step", 0)
        (a,) = n.json("thaw", status=PARTIAL)
        check(fates(a) == {"n0": "clock"}, str(a))


@case()
def connection_breaks(log):
    """Connections that break while frozen are made again; the epoch is clean."""
    with Nodes(3, log) as n:
        p = n.start("freeze", "--for", "2s", "--json")
        n.wait("all frozen", lambda: n.frozen() == 3)
        for i in range(3):
            n.do("hangup", i)
        out, err = n.finish(p, CLEAN, "freeze, hangup")
        check(json.loads(out)["outcome"] == "clean" and "lost" in err, out + err)
