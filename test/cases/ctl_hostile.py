# SPDX-License-Identifier: GPL-2.0-or-later
"""Fake nodes that stasisctl can't reach, or can't trust."""
import re

from cases import case
from fakenodes import Nodes
from node import check
from stasisctl import FAILED


@case()
def wrong_key(log):
    """Another key: a message that says so, nothing is tried again, and nothing is frozen."""
    with Nodes(2, log, connect="1h") as n:
        n.write("key", "ff" * 32, mode=0o600)
        for command in (["status"], ["freeze", "--for", "1s"]):
            out, err = n.run(*command, status=FAILED)
            check((out + err).count("does not take the key") == 2, out + err)
        n.do("hostile", 1, "curt")  # it goes without an alert
        (a,) = n.json("status", status=FAILED)
        check(all("does not take the key" in x["error"] for x in a["nodes"]), str(a))
        check(n.freezes(0) == (0, 0), "it froze")


@case()
def unreachable(log):
    """A node that nothing answers for: status goes on without it, a freeze does not begin."""
    with Nodes(3, log, connect="1s") as n:
        n.do("kill", 2)
        (a,) = n.json("status", status=FAILED)
        check(a["running"] == 2 and a["unreachable"] == 1 and "nothing listens" in a["nodes"][2]["error"], str(a))
        _, err = n.run("freeze", status=FAILED)
        check("1 of 3 nodes can't be reached" in err and "n2: nothing listens" in err and n.freezes(0) == (0, 0), err)
        (a,) = n.json("freeze", status=FAILED)
        check([x["node"] for x in a["unreachable"]] == ["n2"] and "nothing was begun" in a["error"], str(a))
        (a,) = n.json("time", "n2", status=FAILED)
        check(a["command"] == "time" and a["shared_ns"] is None and a["error_ns"] is None and not a["agreed"] and "nothing listens" in a["nodes"][0]["error"], str(a))
        out, _ = n.run("time", "n2", status=FAILED)
        check("n2 " in out and "nothing listens" in out and "no node tells its time" in out, out)
        n.configure(lines=["node far 198.51.100.1:9"])  # TEST-NET-2: nobody
        (a,) = n.json("status", "far,n0", status=FAILED)
        check([bool(x["error"]) for x in a["nodes"]] == [False, True], str(a))
        n.configure(lines=["node nowhere no.such.host.invalid"])
        (a,) = n.json("status", "nowhere", status=FAILED)
        check("can't be resolved" in a["nodes"][0]["error"] or "name server" in a["nodes"][0]["error"], str(a))


HOSTILE = {  # how a node misbehaves: what is said of it
    "plain": "mbedTLS error|connection",
    "mute": "does not greet",
    "nohello": "no HELLO",
    "json": "no HELLO",
    "version": "version 2",
    "lacks": "lacks one of",
    "negative": "lacks one of",
    "twice": "no HELLO",
    "refuse": r"too many\.\[31m connections",
    "experiment": "belongs to experiment 18, not 17",
    "node": "is node 2 of the experiment",
    "oversize": "longer than 64 KiB",
    "type": "no known type",
    "reserved": "no known type",
    "ping": "does not belong here",
}


@case()
def hostile_nodes(log):
    """Whatever a node sends: a message that fits, nothing of it reaches the terminal raw, and the others are served."""
    with Nodes(3, log, connect="1s") as n:
        for mode, said in HOSTILE.items():
            n.do("hostile", 1, mode)
            words = ("n1", "hang") if mode == "ping" else ("all", "echo hello")
            out, err = n.run("run", *words, status=FAILED)
            text = out + err
            check(re.search(said, text), f"{mode}: {text}")
            check("\x1b" not in text, f"{mode}: an escape sequence got through")
            check(mode == "ping" or ("n0: hello" in out and "n2: hello" in out), f"{mode}: the others were not served: {text}")
        n.do("hostile", 1, "escape")
        out, _ = n.run("status")
        check("\x1b" not in out, "an escape sequence got through")
        n.do("hostile", 1, "-")
        out, _ = n.run("run", "n1", "esc")
        check(out == ".]0;title.\n", repr(out))


# What is no JSON that any reader can take, by its name at the fake node
NO_JSON = ("deep", "twice", "nan", "infinite", "large", "utf8", "surrogate", "nul", "list", "more", "long")


@case()
def hostile_json(log):
    """Of what a node says as JSON only that is passed on as such which any reader can take, on one line; the text is there in any case."""
    with Nodes(2, log) as n:
        for kind in NO_JSON:
            (a,) = n.json("run", "all", f"json {kind}")
            check(all(x["ok"] and "json" not in x and x["output"] for x in a["nodes"]), f"{kind}: {str(a)[:500]}")
        (a,) = n.json("run", "n0", "json lines")
        check(a["nodes"][0]["json"] == {"b": [9223372036854775807, -1, 0.5], "a": "\x1b\""}, str(a))
        check(list(a["nodes"][0]["json"]) == ["b", "a"], "the order of members is another")


@case()
def hostile_reports(log):
    """Malformed reports, reports for others, and an epoch that is none change nothing: the epoch is clean."""
    with Nodes(3, log) as n:
        n.do("hostile", 0, "lies")
        (a,) = n.json("freeze", "--for", "200ms")
        check(a["outcome"] == "clean" and 0 < a["epoch"] < 1 << 62, str(a))
