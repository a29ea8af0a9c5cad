# SPDX-License-Identifier: GPL-2.0-or-later
"""stasisctl's time, run, log and console, its progress, and what all commands print for programs. Against fake nodes."""
import json
import os
import re
import signal

import pexpect

from cases import case
from fakenodes import TIMEOUT, Nodes, until_line
from node import check
from paths import ROOT
from stasisctl import CLEAN, CTL, FAILED, USAGE


@case()
def shared_time(log):
    """Most of the nodes agree on the time; the one that errs is shown, and no freeze is begun that would take it at another moment."""
    with Nodes(3, log) as n:
        n.do("offset", 1, 250_000_000)
        (a,) = n.json("time", status=CLEAN)
        off = {x["node"]: x["offset_ns"] for x in a["nodes"]}
        check(a["agreed"] and a["votes"] == 2 and abs(off["n1"] - 250_000_000) < 50_000_000 and abs(off["n0"]) < 50_000_000, str(a))
        (a,) = n.json("freeze", "--for", "1s", status=FAILED)
        check("n1's clock is" in a["error"] and n.freezes(0) == (0, 0), str(a))
        n.do("offset", 2, -900_000_000)
        (a,) = n.json("time", status=FAILED)
        check(not a["agreed"], str(a))
        (a,) = n.json("freeze", "--for", "1s", status=FAILED)
        check("don't agree" in a["error"] and n.freezes(0) == (0, 0), str(a))


@case()
def runs_commands(log):
    """run: output line by line under the nodes' names, status 1 if one fails, as JSON too, and a node that does not stop to print is cut off."""
    with Nodes(3, log) as n:
        out, _ = n.run("run", "all", "echo", "two words")
        check(sorted(out.splitlines()) == [f"n{i}: two words" for i in range(3)], out)
        out, _ = n.run("run", "n0,n2", "nonsense", status=FAILED)
        check(sorted(out.splitlines()) == ["n0: no such command", "n2: no such command"], out)
        (a,) = n.json("run", "n1", "status", status=FAILED)
        check(a["nodes"] == [{"node": "n1", "ok": False, "error": None, "output": "no such command\n"}], str(a))
        out, _ = n.run("run", "n1", "status", "--json")
        check(json.loads(out) == {"version": 1, "state": "running"}, out)
        (a,) = n.json("run", "n1", "flood", status=FAILED)
        check("does not stop" in a["nodes"][0]["error"], str(a)[-300:])
        n.run("run", "n2", "reboot")
        _, err = n.run("run", "n9", "help", status=USAGE)
        check("there is no node 'n9'" in err, err)
        _, err = n.run("run", "n0", status=USAGE)
        check("command is missing" in err, err)


@case()
def logs(log):
    """log prints what is kept; -f follows, with the node's name where there are several."""
    with Nodes(2, log) as n:
        out, _ = n.run("log", "n0")
        check(out == "first line\nsecond line\n", out)
        out, _ = n.run("log")
        check(sorted(out.splitlines()) == sorted(f"n{i}: {line}" for i in range(2) for line in ("first line", "second line")), out)
        p = n.start("log", "-f")
        until_line(p, p.stdout, "n1: and a half\n")
        n.do("say", 1, "something \x1b[1mnew")
        until_line(p, p.stdout, "n1: something .[1mnew\n")
        p.send_signal(signal.SIGTERM)
        n.finish(p, 128 + signal.SIGTERM, "log -f")
        p = n.start("log", "-f", "n0", "--json")
        seen = until_line(p, p.stdout, "and a half")
        check(json.loads(seen.splitlines()[0]) == {"version": 1, "command": "log", "node": "n0", "line": "kept line"}, seen)
        n.do("hangup", 0)
        until_line(p, p.stdout, "kept line")  # it has connected again
        p.kill()
        p.communicate()


@case()
def console(log):
    """console: the guest's terminal, until Ctrl-]; one at a time; the operator's terminal is put right again."""
    with Nodes(2, log) as n:
        c = pexpect.spawn(CTL, ["console", "n1"], cwd=n.dir, timeout=TIMEOUT, encoding="utf-8", logfile=log)
        c.expect_exact("Ctrl-] leaves it")
        c.expect_exact("login: ")
        c.send("root\r\x03")
        c.expect_exact("ROOT\r\x03")
        open_end, other_end = os.pipe()  # an input without an end
        _, err = n.finish(n.start("console", "n1", stdin=open_end), FAILED, "console of another")
        os.close(open_end)
        os.close(other_end)
        check("somebody else has the console" in err, err)
        c.send("\x1d")
        c.expect_exact("left the console of n1")
        c.expect(pexpect.EOF)
        c.close()
        check(c.exitstatus == CLEAN, f"status {c.exitstatus}")
        n.write("typed", "ls")
        with open(os.path.join(n.dir, "typed")) as f:
            n.finish(n.start("console", "n1", stdin=f), CLEAN, "console, typed from a file")
        c = pexpect.spawn(CTL, ["console", "n1"], cwd=n.dir, timeout=TIMEOUT, encoding="utf-8", logfile=log)
        c.expect_exact("login: ")
        n.do("hangup", 1)
        c.expect_exact("n1: the node closed the connection")
        c.expect(pexpect.EOF)
        c.close()
        check(c.exitstatus == FAILED, f"status {c.exitstatus}")


@case()
def progress_on_a_terminal_only(log):
    """Progress is shown on a terminal, and never mixed into what is piped."""
    with Nodes(2, log) as n:
        _, err = n.run("freeze", "--for", "100ms")
        check(err == "", repr(err))
        c = pexpect.spawn(CTL, ["freeze", "--for", "1s"], cwd=n.dir, timeout=TIMEOUT, encoding="utf-8", logfile=log)
        c.expect_exact("frozen: 0 running, 0 armed, 0 committed, 2 frozen")
        c.expect_exact("clean: 2 of 2 nodes")
        c.expect(pexpect.EOF)


def documented_members():
    """Command: the members of its JSON that docs/stasisctl.1 names."""
    with open(os.path.join(ROOT, "docs", "stasisctl.1")) as f:
        text = f.read()
    found = {}
    for command, members in re.findall(r'^\.\\" json (\S+): (.*)$', text, re.M):
        found[command] = set(members.split())
        for m in found[command]:
            check(re.search(rf"\b{re.escape(m)}\b", re.sub(r'^\.\\".*$', "", text, flags=re.M)), f"the manual does not explain {command}'s {m}")
    return found


def members(value):
    if isinstance(value, dict):
        return set(value) | set().union(*(members(v) for k, v in value.items() if k != "json"), set())
    if isinstance(value, list):
        return set().union(*(members(v) for v in value), set())
    return set()


@case()
def json_is_documented(log):
    """The members of every command's JSON are those that the manual lists, none more and none less."""
    listed = documented_members()
    with Nodes(2, log) as n:
        seen = {"status": set(), "freeze": set(), "thaw": set(), "time": set(), "run": set(), "log": set()}
        n.do("busy", 1, 1)
        answers = n.json("status") + n.json("time") + n.json("run", "all", "status", "--json", status=CLEAN) + n.json("freeze", status=FAILED)
        n.do("busy", 1, 0)
        answers += n.json("freeze") + n.json("thaw") + n.json("thaw", status=FAILED) + n.json("log") + n.json("freeze", "--in", "1ms", status=FAILED)
        for a in answers:
            seen[a["command"]] |= members(a)
        p = n.start("log", "-f", "n0", "--json")
        seen["log"] |= members(json.loads(until_line(p, p.stdout, "\n").splitlines()[0]))
        p.kill()
        p.communicate()
        for command, found in seen.items():
            want = listed.get(command, set())
            check(found <= want, f"{command}: not in the manual: {found - want}")
            check(want <= found | {"until_ns", "json"}, f"{command}: in the manual only: {want - found}")
