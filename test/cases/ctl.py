# SPDX-License-Identifier: GPL-2.0-or-later
"""stasisctl against nodes that only speak the protocols (test/ctl/fakenodes.c). No emulator."""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pexpect

from cases import case
from node import Failure, check
from paths import BUILD, ROOT

CTL = os.path.join(BUILD, "test", "stasisctl")  # with sanitizers
FAKE = os.path.join(BUILD, "test", "fakenodes")
KEY = "00112233445566778899aabbccddeeff" * 2
CLEAN, FAILED, USAGE, LATE, PARTIAL = range(5)
TIMEOUT = 60


class Nodes:
    """Fake nodes n0, n1, ... of experiment demo/17, their experiment file, and stasisctl to be run on it."""

    def __init__(self, count, log, **keys):
        self.count, self.log = count, log
        self.keys = {"experiment": "demo/17", "key": "file:key", "patience": "1s", "connect": "5s", **keys}

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="stasis-ctl-")
        self.fake = subprocess.Popen([FAKE, str(self.count), "17", KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.said = b""
        self.ports = []
        for line in iter(self.answer, "ready"):
            self.ports.append(int(line.split()[2]))
        check(len(self.ports) == self.count, "the fake nodes did not start")
        self.write("key", KEY + "\n", mode=0o600)
        self.configure()
        return self

    def __exit__(self, *_):
        self.fake.stdin.close()
        self.fake.kill()
        self.fake.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def answer(self):
        while b"\n" not in self.said:
            ready, _, _ = select.select([self.fake.stdout], [], [], TIMEOUT)
            check(ready, "the fake nodes don't answer")
            piece = os.read(self.fake.stdout.fileno(), 65536)
            check(piece, "the fake nodes are gone")
            self.said += piece
        line, self.said = self.said.split(b"\n", 1)
        return line.decode().strip()

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def configure(self, lines=(), **keys):
        keys = {**self.keys, **keys}
        text = [f"{k} = {v}" for k, v in keys.items()] + [f"node n{i} 127.0.0.1:{p}" for i, p in enumerate(self.ports)]
        self.write("experiment.conf", "\n".join([*text, *lines, ""]))

    def do(self, *words):
        """An order to the fake nodes; its answer."""
        self.fake.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.fake.stdin.flush()
        answer = self.answer()
        self.log.write(f"[{' '.join(map(str, words))}: {answer}]\n")
        check(not answer.startswith(("bad", "unknown")), answer)
        return answer

    def frozen(self):
        return int(self.do("frozen"))

    def freezes(self, i):
        """State and freezes so far of a node."""
        return tuple(map(int, self.do("state", i).split()))

    def start(self, *args, **kw):
        env = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
        return subprocess.Popen([CTL, *args], cwd=self.dir, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", **kw)

    def finish(self, p, status, what):
        try:
            out, err = p.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            err += "(it did not end)"
        self.log.write(f"$ stasisctl {what}: {p.returncode}\n{out}{err}")
        check("Sanitizer" not in err and "runtime error" not in err, err[:2000])
        check(p.returncode == status, f"{what}: status {p.returncode}, not {status}: {out[-500:]} {err[-1000:]}")
        return out, err

    def run(self, *args, status=CLEAN):
        return self.finish(self.start(*args), status, " ".join(args))

    def json(self, *args, status=CLEAN):
        """The lines of JSON that it prints."""
        out, _ = self.run("--json", *args, status=status)
        answers = [json.loads(line) for line in out.splitlines()]
        check(answers and all(a["version"] == 1 for a in answers), f"no JSON of version 1: {out}")
        return answers

    def wait(self, what, true):
        """Asks the fake nodes again until it is so; a node's event, not a delay, ends it."""
        end = time.monotonic() + TIMEOUT
        while not true():
            check(time.monotonic() < end, f"it never came true: {what}")


def until_line(p, stream, text):
    """Reads a stream of a running stasisctl until the text comes."""
    seen = ""
    while text not in seen:
        ready, _, _ = select.select([stream], [], [], TIMEOUT)
        check(ready, f"'{text}' did not come: {seen}")
        piece = os.read(stream.fileno(), 4096).decode(errors="replace")
        check(piece, f"it ended before '{text}': {seen}")
        seen += piece
    return seen


def fates(answer):
    return {s["node"]: s["fate"] for s in answer["spoiled"]}


# --- what goes well ---


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
    with Nodes(4000, log, patience="10s", connect="60s") as n:
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
        check("too near" in a["error"], str(a))
        check(n.frozen() == 0 and n.freezes(0) == (0, 2), "it froze all the same")


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


@case()
def shared_time(log):
    """Most of the nodes agree on the time; the one that errs is shown, and keeps nobody from a freeze but by its own clock's bound."""
    with Nodes(3, log) as n:
        n.do("offset", 1, 250_000_000)
        (a,) = n.json("time", status=CLEAN)
        off = {x["node"]: x["offset_ns"] for x in a["nodes"]}
        check(a["agreed"] and a["votes"] == 2 and abs(off["n1"] - 250_000_000) < 50_000_000 and abs(off["n0"]) < 50_000_000, str(a))
        n.do("offset", 2, -900_000_000)
        (a,) = n.json("time", status=FAILED)
        check(not a["agreed"], str(a))
        (a,) = n.json("freeze", "--for", "1s", status=FAILED)
        check("don't agree" in a["error"] and n.freezes(0) == (0, 0), str(a))


# --- what goes wrong at the nodes ---


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
        begin = time.monotonic()
        (a,) = n.json("freeze", "--for", "1s", status=FAILED)
        check(fates(a) == {"n0": "silent"} and n.freezes(1) == (0, 0), str(a))
        check(time.monotonic() - begin < 20, "it waited too long")


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


# --- connections ---


@case()
def wrong_key(log):
    """Another key: a message that says so, at once, and nothing is frozen."""
    with Nodes(2, log) as n:
        n.write("key", "ff" * 32, mode=0o600)
        for command in (["status"], ["freeze", "--for", "1s"]):
            begin = time.monotonic()
            _, err = n.run(*command, status=FAILED)
            check(time.monotonic() - begin < 10, "it took too long")
            if command == ["freeze"]:
                check("does not take the key" in err, err)
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
            out, err = n.run("run", "all", "hang" if mode == "ping" else "echo hello", status=FAILED) if mode != "ping" else n.run("run", "n1", "hang", status=FAILED)
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


@case()
def hostile_reports(log):
    """Malformed reports, and reports for others, change nothing: the epoch is clean."""
    with Nodes(3, log) as n:
        n.do("hostile", 0, "lies")
        (a,) = n.json("freeze", "--for", "200ms")
        check(a["outcome"] == "clean", str(a))


# --- commands, logs, consoles ---


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


# --- bad input ---

BAD_FILES = [  # lines behind a good file's; what is said, the line's number in front
    ("nonsense", "5: neither KEY = VALUE nor node"),
    ("color = blue", "5: there is no key 'color'"),
    ("margin = 10", "5: margin takes a number with a unit"),
    ("margin = 0s", "5: margin must be from"),
    ("margin =", "5: margin has no value"),
    ("key = " + KEY, "5: key is given twice"),
    ("node", "5: neither KEY = VALUE nor node"),
    ("node x", "5: a node's line is"),
    ("node x y z", "5: a node's line is"),
    ("node all 10.0.0.1", "5: a node's name"),
    ("node a/b 10.0.0.1", "5: a node's name"),
    ("node n0 10.0.0.1", "5: there is a node n0 in line 4 already"),
    ("node other 127.0.0.1:{port}", "5: node other has the address of node n0 in line 4"),
    ("node x 10.0.0.1:0", "5: node x: the address"),
    ("node x 10.0.0.1:99999", "5: node x: the address"),
    ("node x [::1", "5: node x: the address"),
    ("x" * 2000, "5: the line is longer"),
    ("bad\0line", "5: there is a zero byte"),
]


@case()
def bad_experiment_files(log):
    """Each mistake in an experiment file: its line and what to do, status 2; as JSON, too."""
    with Nodes(1, log) as n:
        good = f"experiment = demo/17\nkey = file:key\npatience = 1s\nnode n0 127.0.0.1:{n.ports[0]}\n"
        n.write("experiment.conf", good)
        n.run("status")
        for line, said in BAD_FILES:
            n.write("experiment.conf", good + line.format(port=n.ports[0]) + "\n")
            _, err = n.run("status", status=USAGE)
            check(err.startswith(f"stasisctl: experiment.conf:{said}"), f"{line[:50]!r}: {err}")
        for bad, said in ((good.replace("/17", ""), "1: experiment takes NAME/NUMBER"), (good.replace("/17", "/0"), "1: experiment takes"),
                          (good.replace("file:key", "file:"), "2: key takes"), (good.replace("file:key", "12ab"), "2: key takes"),
                          (good.replace("experiment = demo/17", ""), "5: there is no line 'experiment"),
                          (good.replace("node n0", "# node n0"), "5: there is no node"), ("", "1: there is no line 'experiment")):
            n.write("experiment.conf", bad)
            _, err = n.run("status", status=USAGE)
            check(f"experiment.conf:{said}" in err, f"{bad!r}: {err}")
        (a,) = n.json("status", status=USAGE)
        check("experiment.conf:1" in a["error"], str(a))
        os.remove(os.path.join(n.dir, "experiment.conf"))
        _, err = n.run("status", status=USAGE)
        check("experiment.conf: No such file" in err and "-e FILE" in err, err)


@case()
def keys_are_secret(log):
    """A key that others can read is refused, in a file of its own or in the experiment file; a file that is no key is named."""
    with Nodes(1, log) as n:
        n.write("key", KEY, mode=0o644)
        _, err = n.run("status", status=USAGE)
        check("chmod 600" in err, err)
        n.write("key", "not hex", mode=0o600)
        _, err = n.run("status", status=USAGE)
        check("key: a key is 64 hex digits" in err, err)
        os.remove(os.path.join(n.dir, "key"))
        _, err = n.run("status", status=USAGE)
        check("key: No such file" in err, err)
        n.configure(key=KEY)
        _, err = n.run("status", status=USAGE)
        check("chmod 600" in err, err)
        os.chmod(os.path.join(n.dir, "experiment.conf"), 0o600)
        n.run("status")


@case()
def usage(log):
    """Mistakes on the command line: status 2 and what is right."""
    with Nodes(1, log) as n:
        for words, said in ((["dance"], "no command 'dance'"), (["freeze", "--at", "noon"], "--at takes"), (["freeze", "--in", "5"], "--in takes"),
                            (["freeze", "--at", "12:00", "--in", "1s"], "one of them"), (["freeze", "--every", "1s"], "needs --for"),
                            (["freeze", "--every", "1s", "--for", "2s"], "shorter"), (["freeze", "--count", "2"], "--every"),
                            (["freeze", "--force"], "does not take that option"), (["thaw", "--for", "1s"], "does not take that option"),
                            (["status", "-f"], "does not take that option"), (["status", "a", "b"], "no more than 1"),
                            (["console"], "one node"), (["console", "n0", "--json"], "no --json"), (["status", "--bogus"], "--help"),
                            (["run", "n0", "x" * 1025], "at most 1024"), (["freeze", "--every", "0s", "--for", "0s"], "shorter")):
            _, err = n.run(*words, status=USAGE)
            check(said in err, f"{words}: {err}")
        out, _ = n.run("--help")
        check(out.startswith("usage: stasisctl"), out)
        _, err = n.run(status=USAGE)
        check(err.startswith("usage: stasisctl"), err)


# --- contracts ---


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
        n.do("step", 0)
        for command, found in seen.items():
            want = listed.get(command, set())
            check(found <= want, f"{command}: not in the manual: {found - want}")
            check(want <= found | {"until_ns", "json"}, f"{command}: in the manual only: {want - found}")


@case()
def completion(log):
    """The shell's completion: commands, options, and the nodes of the experiment file."""
    script = os.path.join(ROOT, "tools", "ctl", "stasisctl.bash")
    with Nodes(2, log) as n:
        def complete(*words):
            quoted = " ".join(f"'{w}'" for w in words)
            r = subprocess.run(["bash", "-c", f"source {script}; COMP_WORDS=(stasisctl {quoted}); COMP_CWORD={len(words)}; _stasisctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
                               cwd=n.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            log.write(f"{words}: {r.stdout}")
            return set(r.stdout.split())
        check(complete("fr") == {"freeze"}, "no freeze")
        check(complete("console", "") == {"n0", "n1"}, "no nodes")
        check("all" in complete("run", "") and "n1" in complete("run", "n"), "no nodes for run")
        check({"--for", "--every"} <= complete("freeze", "--"), "no options")
        with contextlib.suppress(Failure):
            check(complete("thaw", "--f") == {"--force"}, "no --force")
