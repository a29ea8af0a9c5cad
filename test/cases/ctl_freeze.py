# SPDX-License-Identifier: GPL-2.0-or-later
"""stasisctl freezes and thaws fake nodes as one: at once, at a time, in a series."""
import re
import signal
import time

from cases import case
from fakenodes import Nodes, until_line
from node import check
from stasisctl import FAILED


@case()
def clean_freeze(log):
    """Three nodes freeze and thaw as one, by --for, and by freeze and thaw."""
    with Nodes(3, log) as n:
        (a,) = n.json("freeze", "--for", "300ms")
        check(a["outcome"] == "clean" and a["nodes"] == 3 and a["until_ns"] - a["at_ns"] == 300_000_000 and a["spoiled"] == [], str(a))
        check([n.freezes(i) for i in range(3)] == [(0, 1)] * 3, "not each node was frozen once")
        (a,) = n.json("freeze")
        check(a["state"] == "frozen" and a["outcome"] is None and a["until_ns"] is None and n.frozen() == 3, str(a))
        (b,) = n.json("thaw")
        check(b["outcome"] == "clean" and b["epoch"] == a["epoch"] and b["inherited"] and n.frozen() == 0, str(b))
        out, err = n.run("freeze", "--for", "50ms")
        check(re.fullmatch(r"demo/17 epoch \d+ clean: 3 of 3 nodes frozen for 50 ms, at most 0 ns late\n", out) and err == "", out + err)


@case()
def two_hundred_nodes(log):
    """The same with 200 nodes."""
    with Nodes(200, log) as n:
        (a,) = n.json("status")
        check(a["running"] == 200 and a["unreachable"] == 0 and len(a["nodes"]) == 200, "not all run")
        (a,) = n.json("freeze")
        check(n.frozen() == 200 and a["spoiled"] == [], str(a)[:500])
        (a,) = n.json("thaw")
        check(a["outcome"] == "clean" and a["nodes"] == 200 and n.frozen() == 0, str(a)[:500])
        (a,) = n.json("run", "all", "status", "--json")
        check(len(a["nodes"]) == 200 and all(x["ok"] and x["json"]["state"] == "running" for x in a["nodes"]), "a command failed")


@case(long=True)
def four_thousand_nodes(log):
    """The same with 4000 nodes, as many as the host's limit of open files lets through."""
    with Nodes(4000, log, lead="5s", patience="10s", connect="60s") as n:
        (a,) = n.json("freeze", "--for", "2s")
        check(a["outcome"] == "clean" and a["nodes"] == 4000, str(a)[:500])


@case()
def at_a_time(log):
    """--at and --in: shared time, the wall clock, and times that are no good."""
    with Nodes(2, log) as n:
        (a,) = n.json("time")
        at = a["shared_ns"] + 1_500_000_000
        (a,) = n.json("freeze", "--at", str(at), "--for", "100ms")
        check(a["at_ns"] == at and a["until_ns"] == at + 100_000_000, str(a))
        wall = int(time.time()) + 3
        (a,) = n.json("freeze", "--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall)), "--for", "100ms")
        check(abs(a["at_ns"] - wall * 10**9) < 20_000_000, f"{a['at_ns']} is not {wall} s")
        (a,) = n.json("freeze", "--at", str(at), status=FAILED)
        check("is past" in a["error"], str(a))
        (a,) = n.json("freeze", "--in", "1ms", status=FAILED)
        check("too near: --in 600.400 ms or more" in a["error"], str(a))
        check(n.frozen() == 0 and n.freezes(0) == (0, 2), "it froze all the same")


@case()
def a_thaw_that_is_planned(log):
    """thaw while a freeze --for lasts: another time is refused, else it is awaited, and said."""
    with Nodes(2, log) as n:
        first = n.start("freeze", "--for", "8s")
        n.wait("all stand", lambda: n.frozen() == 2)
        for words in (["--in", "1s"], ["--force"]):
            (a,) = n.json("thaw", *words, status=FAILED)
            check("go on by themselves, in" in a["error"] and n.frozen() == 2, str(a))
        out, err = n.run("thaw")
        check(re.search(r"go on by themselves, in [\d.]+ m?s: that is awaited", err) and "frozen for 8 s" in out and n.frozen() == 0, out + err)
        n.finish(first, FAILED, "the freeze --for that others took over")


@case()
def series(log):
    """freeze --every: as many as asked for, in step, each with a line of its own."""
    with Nodes(3, log) as n:
        a = n.json("freeze", "--every", "1500ms", "--count", "3", "--for", "100ms")
        check([x["outcome"] for x in a] == ["clean"] * 3, str(a))
        check([y["at_ns"] - x["at_ns"] for x, y in zip(a, a[1:])] == [1_500_000_000] * 2, "not in step")
        check(n.freezes(1) == (0, 3), "not three freezes")


@case()
def series_is_stopped(log):
    """SIGINT ends a series; nothing stays frozen."""
    with Nodes(2, log) as n:
        p = n.start("freeze", "--every", "1h", "--for", "100ms", "--json")
        until_line(p, p.stdout, '"outcome":"clean"')
        p.send_signal(signal.SIGINT)
        n.finish(p, FAILED, "freeze --every, SIGINT")
        check(n.frozen() == 0, "a node is frozen")
