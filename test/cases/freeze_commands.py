# SPDX-License-Identifier: GPL-2.0-or-later
"""freeze, thaw and freezes at the prompt: what they do, what they refuse, and that the console lives meanwhile."""
import json
import re
import time

from cases import case
from node import ESCAPE, GUEST_PROMPT, Node, check, quick_boot

PATIENCE = 120  # host seconds


def ask(n, command):
    """At the prompt; the parsed answer."""
    return json.loads(n.stasis_command(command + " --json"))


def until(n, what, condition):
    """Asks for the node's status until it is as wanted."""
    end = time.monotonic() + PATIENCE
    while True:
        status = ask(n, "status")
        if condition(status):
            return status
        check(time.monotonic() < end, f"{what}: the status is still {status}")


def to_guest(n):
    n.send(ESCAPE)


@case()
def in_a_boot(log):
    """Everything that the commands promise, in deterministic time."""
    with Node(icount=True, boot=quick_boot(True), log=log, append="quiet") as n:
        n.boot()
        n.to_prompt()
        standing(n)
        typed_input(n)
        wrong(n)
        cancelled(n)
        at_deadlines(n)
        again_and_again(n)
        at_an_exit(n)
        more_than_are_kept(n)
        to_guest(n)
        check(n.run("echo alive") == "alive", "the guest does not go on")
        n.to_prompt()
        check(ask(n, "freeze")["state"] == "frozen", "freeze does not freeze")
        n.send("poweroff\r")
        check(n.wait(PATIENCE) == 0, "poweroff does not switch a frozen node off")


def standing(n):
    """The clock stands, the node's goes on, and only what makes sense is done."""
    check(ask(n, "freeze") == {"version": 1, "ok": True, "state": "frozen"}, "freeze does not freeze")
    first, second = ask(n, "status"), ask(n, "status")
    check(0 < first["frozen_ns"] < second["frozen_ns"], "status does not say for how long")
    check(re.search(r"frozen for \d+ ms", n.stasis_command("status")), "status does not say for how long")
    early, late = ask(n, "time"), ask(n, "time")
    check(not early["running"] and early["virtual_ns"] == late["virtual_ns"], "the virtual clock does not stand")
    check(early["host_ns"] < late["host_ns"], "the node's clock stands")
    record = ask(n, "freezes")["freezes"][-1]
    check(record["frozen_ns"] is None and record["virtual_ns"] == late["virtual_ns"], f"the last of freezes is {record}")
    for again in ("freeze", "freeze --in 1s", "freeze --on CPUID", "freeze --on CPUID --in 1s"):
        check(re.search("frozen", ask(n, again)["error"]), f"{again} while frozen")
    check(ask(n, "selftest roundtrip")["ok"], "selftest roundtrip while frozen")
    after = ask(n, "status")
    check(after["state"] == "frozen" and after["frozen_ns"] > second["frozen_ns"], f"selftest roundtrip of a frozen node leaves it {after}")
    check(ask(n, "thaw") == {"version": 1, "ok": True, "state": "running"}, "thaw does not thaw")
    status = ask(n, "status")
    check(status["state"] == "running" and status["frozen_ns"] == 0, f"after the thaw the status is {status}")
    check("not frozen" in n.stasis_command("thaw"), "thaw of a running node")
    check("not frozen" in ask(n, "thaw --in 1s")["error"], "thaw of a running node")
    length = ask(n, "freezes")["freezes"][-1]["frozen_ns"]
    check(length >= second["frozen_ns"], f"freezes counts {length} ns, but status had {second['frozen_ns']} before the thaw")


def typed_input(n):
    """What is typed for a frozen guest is there after the thaw, and only then."""
    ask(n, "freeze")
    to_guest(n)
    n.send("echo typed-$((6 * 7)); cat\r")
    n.send("for cat\r\x04")
    n.to_prompt()
    ask(n, "status")
    check("typed-42" not in n.transcript, "a frozen guest answered")
    ask(n, "thaw")
    to_guest(n)
    n.expect(r"typed-42\r\nfor cat\r\n", PATIENCE)
    n.expect(re.escape(GUEST_PROMPT), PATIENCE)
    n.to_prompt()


def wrong(n):
    """Mistakes get an answer that says what is right, and change nothing."""
    total = ask(n, "freezes")["total"]
    for command, answer in (
        ("freeze --in 5", "number with a unit"),
        ("freeze --in 5minutes", "number with a unit"),
        ("freeze --in -5s", "number with a unit"),
        ("freeze --in 1e3s", "number with a unit"),
        ("freeze --for .5s", "number with a unit"),
        ("freeze --in 1000000h", "100 years"),
        ("freeze --in", "usage"),
        ("freeze --in 1s --at 1h", "usage"),
        ("freeze --in 1s --in 1s", "usage"),
        ("freeze --to 1s", "usage"),
        ("freeze 1s", "usage"),
        ("freeze --at 1ns", "past"),
        ("freeze --in 1s --every 2s", "--for"),
        ("freeze --in 1s --every 2s --for 2s", "shorter"),
        ("freeze --in 1s --for 1s --every 2s --count 0", "number from 1"),
        ("freeze --in 1s --for 1s --count 2", "usage"),
        ("freeze --on NOTHING", "exits lists them"),
        ("freeze --on CPUID --at 1h", "usage"),
        ("freeze --on CPUID --in 5", "number with a unit"),
        ("freeze --cancel --in 1s", "usage"),
        ("thaw --for 1s", "usage"),
        ("thaw 1s", "usage"),
        ("freezes all", "usage"),
    ):
        said = n.stasis_command(command)
        check(answer in said, f"{command!r} answers {said!r}, without {answer!r}")
        error = ask(n, command)
        check(answer in error.get("error", ""), f"{command!r} --json answers {error}, without {answer!r}")
    status = ask(n, "status")
    check(status["armed"] is None and status["state"] == "running", f"a wrong command had an effect: {status}")
    check(ask(n, "freezes")["total"] == total, "a wrong command froze the node")


def cancelled(n):
    """A freeze that was called off does not come; a new plan replaces the old one."""
    total = ask(n, "freezes")["total"]
    ask(n, "freeze --in 100s --for 1s --every 2s --count 3")
    armed = ask(n, "status")["armed"]
    check(armed["for_ns"] == 10**9 and armed["every_ns"] == 2 * 10**9 and armed["left"] == 3, f"armed is {armed}")
    check(re.search("armed", n.stasis_command("status")), "status does not mention the plan")
    at = ask(n, "freeze --in 5s --for 1ms")["at_ns"]
    check(ask(n, "status")["armed"]["at_ns"] == at, "the new plan does not replace the old one")
    check(ask(n, "freeze --cancel")["ok"], "freeze --cancel")
    check(ask(n, "status")["armed"] is None, "freeze --cancel leaves the plan")
    ask(n, "freeze --on CPUID")
    ask(n, "freeze --cancel")
    to_guest(n)
    n.run("/tests/bench cpuid; sleep 5")
    n.to_prompt()
    check(ask(n, "freezes")["total"] == total, "a freeze came that was called off")


def at_deadlines(n):
    """Each freeze lasts as long as was said, to the tick, and the thaw is as late as the freeze was."""
    now = ask(n, "time")["host_ns"]
    ask(n, f"freeze --at {now + 3000000000}ns")
    status = until(n, "freeze --at", lambda s: s["state"] == "frozen")
    check(status["armed"] is None, "what has been is still armed")
    until_ns = ask(n, "thaw --in 1h")["until_ns"]
    check(ask(n, "status")["state"] == "frozen", "thaw --in thaws at once")
    check(ask(n, f"thaw --at {until_ns - 1800 * 10**9}ns")["until_ns"] < until_ns, "a new thaw does not replace the old one")
    ask(n, "thaw --in 20ms")
    until(n, "thaw --in", lambda s: s["state"] == "running")
    record = ask(n, "freezes")["freezes"][-1]
    check(record["at_ns"] == now + 3000000000, f"asked for {now + 3000000000} ns, and {record}")
    for length in ("1ms", "123.456789ms", "2s", "3h"):
        ask(n, f"freeze --in 50ms --for {length}")
        to_guest(n)
        n.run("usleep 200000", timeout=PATIENCE)
        n.to_prompt()
        record = ask(n, "freezes")["freezes"][-1]
        wanted = {"1ms": 10**6, "123.456789ms": 123456789, "2s": 2 * 10**9, "3h": 3 * 3600 * 10**9}[length]
        check(record["frozen_ns"] == wanted + record["thaw_late_ns"], f"--for {length}: {record}")
        check(record["thaw_late_ns"] == 0, f"there was time enough, but the thaw was late: {record}")
    answer = ask(n, "freeze --for 30ms")
    check(answer["ok"], f"freeze --for answers {answer}")
    until(n, "freeze --for", lambda s: s["state"] == "running" and s["armed"] is None)


def again_and_again(n):
    """--every keeps its distance from one T to the next."""
    before = ask(n, "freezes")["total"]
    ask(n, "freeze --in 20ms --for 3ms --every 17ms --count 20")
    to_guest(n)
    n.run("sleep 1", timeout=PATIENCE)
    n.to_prompt()
    freezes = ask(n, "freezes")
    check(freezes["total"] == before + 20, f"{freezes['total'] - before} freezes, not 20")
    deadlines = [f["at_ns"] for f in freezes["freezes"][-20:]]
    steps = {b - a for a, b in zip(deadlines, deadlines[1:])}
    check(steps <= {17000000, 17000001}, f"freezes that should be 17 ms (rounded up to ticks) apart are {steps} ns apart")
    ask(n, "freeze --in 20ms --for 1ms --every 10ms")
    until(n, "freeze --every", lambda s: s["freezes"] > before + 25)
    while not ask(n, "freeze --cancel")["state"] == "running":
        pass  # a frozen node was told: the thaw comes by itself
    left = until(n, "freeze --cancel", lambda s: s["state"] == "running")["freezes"]
    to_guest(n)
    n.run("sleep 1", timeout=PATIENCE)
    n.to_prompt()
    check(ask(n, "freezes")["total"] == left, "freezes go on after --cancel")


def at_an_exit(n):
    """--on freezes where the guest caused that exit, whatever case its name is written in, or some time after it."""
    exits_without_delay(n)
    ask(n, "freeze --on MONITOR --in 20ms --for 1ms")  # Linux never does
    armed = ask(n, "status")["armed"]
    check(armed["on"] == "MONITOR" and armed["in_ns"] == 20 * 10**6 and armed["at_ns"] is None, f"armed is {armed}")
    ask(n, "freeze --on CPUID --in 20ms --for 1ms")
    to_guest(n)
    n.run("/tests/bench cpuid; usleep 100000", timeout=PATIENCE)
    n.to_prompt()
    record = ask(n, "freezes")["freezes"][-1]
    check(record["frozen_ns"] == 10**6 + record["thaw_late_ns"], f"freeze --on CPUID --in 20ms: {record}")


def exits_without_delay(n):
    for name in ("CPUID", "cpuid"):
        check(ask(n, f"freeze --on {name}")["state"] == "armed", f"freeze --on {name}")
        to_guest(n)
        n.send("/tests/bench cpuid\r")
        n.to_prompt()
        status = until(n, f"freeze --on {name}", lambda s: s["state"] == "frozen")
        check({"rip", "blocked", "event"} <= set(status["cpus"][0]), f"status of a frozen CPU is {status['cpus'][0]}")
        last = ask(n, "trace dump 1")["trace"][-1]
        check("cpuid" in last["reason"].lower(), f"frozen at an exit for {last['reason']}")
        ask(n, "thaw")
        to_guest(n)
        n.expect(r"bench cpuid_ticks \d+ \d+", PATIENCE)
        n.expect(re.escape(GUEST_PROMPT), PATIENCE)
        n.to_prompt()


KEPT = 256


def more_than_are_kept(n):
    """freezes shows the latest ones and counts all."""
    ask(n, "freeze --in 1ms --for 1ms --every 3ms --count 300")
    to_guest(n)
    n.run("sleep 2", timeout=PATIENCE)
    n.to_prompt()
    freezes = ask(n, "freezes")
    numbers = [f["n"] for f in freezes["freezes"]]
    check(freezes["total"] > 300 and len(numbers) == KEPT, f"{len(numbers)} of {freezes['total']} freezes are shown")
    check(numbers == list(range(freezes["total"] - KEPT + 1, freezes["total"] + 1)), f"freezes shows {numbers}")
