# SPDX-License-Identifier: GPL-2.0-or-later
"""More than one stasisctl on the same fake nodes, one after another that was killed, and one that is interrupted."""
import json
import signal

from cases import case
from fakenodes import Nodes, until_line
from node import check
from stasisctl import CLEAN, FAILED


@case()
def watchers_change_nothing(log):
    """Others may look at the nodes while they are frozen: who froze them hears all the same when they thaw."""
    with Nodes(3, log) as n:
        p = n.start("freeze", "--for", "2s", "--json")
        n.wait("all frozen", lambda: n.frozen() == 3)
        (a,) = n.json("status")
        check(a["frozen"] == 3 and all(x["epoch_state"] == "frozen" for x in a["nodes"]), str(a))
        n.json("time")
        out, _ = n.finish(p, CLEAN, "freeze --for 2s, watched")
        check(json.loads(out)["outcome"] == "clean", out)


@case()
def successor_carries_on(log):
    """stasisctl is killed while the nodes are frozen: the next one brings the epoch to a clean end."""
    with Nodes(3, log) as n:
        p = n.start("freeze", "--for", "3s", "--json")
        n.wait("all frozen", lambda: n.frozen() == 3)
        p.kill()
        p.communicate()
        a, b = n.json("freeze", "--for", "100ms")
        check(a["inherited"] and a["outcome"] == "clean" and a["until_ns"] - a["at_ns"] == 3_000_000_000, str(a))
        check(not b["inherited"] and b["outcome"] == "clean" and b["epoch"] > a["epoch"], str(b))
        # an open one
        p = n.start("freeze", "--in", "1s", "--json")
        n.wait("all frozen", lambda: n.frozen() == 3)
        p.kill()
        p.communicate()
        (a,) = n.json("freeze", status=FAILED)
        check("frozen already" in a["error"] and n.frozen() == 3, str(a))
        (a,) = n.json("thaw")
        check(a["inherited"] and a["outcome"] == "clean" and n.frozen() == 0, str(a))


@case()
def superseded(log):
    """Of two at work the later one has its way; the earlier one says so and does nothing more."""
    with Nodes(2, log) as n:
        p = n.start("freeze", "--every", "2s", "--for", "100ms", "--json")
        until_line(p, p.stdout, '"outcome":"clean"')
        n.json("freeze", "--for", "100ms")
        out, err = n.finish(p, FAILED, "freeze --every, superseded")
        check("has taken over" in err, err)


@case()
def interrupted_while_arming(log):
    """SIGINT before the commit calls the freeze off: no node freezes."""
    with Nodes(3, log) as n:
        n.do("hostile", 1, "deaf")  # it does not acknowledge
        p = n.start("freeze", "--in", "2s", "--progress", "--json")
        until_line(p, p.stderr, "arming")
        p.send_signal(signal.SIGINT)
        out, err = n.finish(p, FAILED, "freeze, SIGINT while arming")
        a = json.loads(out)
        check(a["outcome"] == "aborted" and "called off" in err and n.frozen() == 0 and n.freezes(0) == (0, 0), out + err)


@case()
def interrupted_while_frozen(log):
    """SIGINT while frozen says how to go on, and leaves the nodes as they are."""
    with Nodes(2, log) as n:
        p = n.start("freeze", "--for", "4s", "--progress")
        until_line(p, p.stderr, "2 frozen")
        p.send_signal(signal.SIGINT)
        _, err = n.finish(p, FAILED, "freeze, SIGINT while frozen")
        check("thaw by themselves" in err and n.frozen() == 2, err)
        n.json("thaw")


@case()
def interrupted_while_thawing(log):
    """SIGINT before the thaw is committed leaves all nodes frozen, and says so; the next thaw is clean."""
    with Nodes(2, log) as n:
        n.json("freeze")
        n.do("hostile", 1, "deaf")
        p = n.start("thaw", "--in", "30s", "--progress")
        until_line(p, p.stderr, "arming the thaw")
        p.send_signal(signal.SIGINT)
        _, err = n.finish(p, FAILED, "thaw, SIGINT while arming")
        check("stay frozen" in err and n.frozen() == 2, err)
        n.do("hostile", 1, "-")
        (a,) = n.json("thaw")
        check(a["outcome"] == "clean" and n.frozen() == 0, str(a))
