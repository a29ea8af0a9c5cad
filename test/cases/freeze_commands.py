# SPDX-License-Identifier: GPL-2.0-or-later
"""freeze, thaw and freezes at the prompt: what they do, what they refuse, and that the console lives meanwhile."""
import re

from cases import case
from frozen import lasted
from node import ESCAPE, GUEST_PROMPT, Node, check

PATIENCE = 120  # host seconds


def to_guest(n):
    n.send(ESCAPE)


@case()
def in_a_boot(log):
    """Everything that the commands promise, in deterministic time."""
    with Node(icount=True, boot="esp", log=log, append="quiet") as n:
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
        check(n.ask_here("freeze")["state"] == "frozen", "freeze does not freeze")
        n.send("poweroff\r")
        check(n.wait(PATIENCE) == 0, "poweroff does not switch a frozen node off")


def standing(n):
    """The clock stands, the node's goes on, and only what makes sense is done."""
    check(n.ask_here("freeze") == {"version": 1, "ok": True, "state": "frozen"}, "freeze does not freeze")
    first, second = n.ask_here("status"), n.ask_here("status")
    check(0 < first["frozen_ns"] < second["frozen_ns"], "status does not say for how long")
    check(re.search(r"frozen for \d+ ms", n.stasis_command("status")), "status does not say for how long")
    early, late = n.ask_here("time"), n.ask_here("time")
    check(not early["running"] and early["virtual_ns"] == late["virtual_ns"], "the virtual clock does not stand")
    check(early["host_ns"] < late["host_ns"], "the node's clock stands")
    record = n.ask_here("freezes")["freezes"][-1]
    check(record["frozen_ns"] is None and record["virtual_ns"] == late["virtual_ns"], f"the last of freezes is {record}")
    for again in ("freeze", "freeze --in 1s", "freeze --on CPUID", "freeze --on CPUID --in 1s"):
        check(re.search("frozen", n.ask_here(again)["error"]), f"{again} while frozen")
    check(n.ask_here("selftest roundtrip")["ok"], "selftest roundtrip while frozen")
    after = n.ask_here("status")
    check(after["state"] == "frozen" and after["frozen_ns"] > second["frozen_ns"], f"selftest roundtrip of a frozen node leaves it {after}")
    check(n.ask_here("thaw") == {"version": 1, "ok": True, "state": "running"}, "thaw does not thaw")
    status = n.ask_here("status")
    check(status["state"] == "running" and status["frozen_ns"] == 0, f"after the thaw the status is {status}")
    check("not frozen" in n.stasis_command("thaw"), "thaw of a running node")
    check("not frozen" in n.ask_here("thaw --in 1s")["error"], "thaw of a running node")
    length = n.ask_here("freezes")["freezes"][-1]["frozen_ns"]
    check(length >= second["frozen_ns"], f"freezes counts {length} ns, but status had {second['frozen_ns']} before the thaw")


def typed_input(n):
    """What is typed for a frozen guest is there after the thaw, and only then."""
    n.ask_here("freeze")
    to_guest(n)
    n.send("echo typed-$((6 * 7)); cat\r")
    n.send("for cat\r\x04")
    n.to_prompt()
    n.ask_here("status")
    check("typed-42" not in n.transcript, "a frozen guest answered")
    n.ask_here("thaw")
    to_guest(n)
    n.expect(r"typed-42\r\nfor cat\r\n", PATIENCE)
    n.expect(re.escape(GUEST_PROMPT), PATIENCE)
    n.to_prompt()


def wrong(n):
    """Mistakes get an answer that says what is right, and change nothing."""
    total = n.ask_here("freezes")["total"]
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
        error = n.ask_here(command)
        check(answer in error.get("error", ""), f"{command!r} --json answers {error}, without {answer!r}")
    status = n.ask_here("status")
    check(status["armed"] is None and status["state"] == "running", f"a wrong command had an effect: {status}")
    check(n.ask_here("freezes")["total"] == total, "a wrong command froze the node")


def cancelled(n):
    """A freeze that was called off does not come; a new plan replaces the old one."""
    total = n.ask_here("freezes")["total"]
    n.ask_here("freeze --in 100s --for 1s --every 2s --count 3")
    armed = n.ask_here("status")["armed"]
    check(armed["for_ns"] == 10**9 and armed["every_ns"] == 2 * 10**9 and armed["left"] == 3, f"armed is {armed}")
    check(re.search("armed", n.stasis_command("status")), "status does not mention the plan")
    at = n.ask_here("freeze --in 5s --for 1ms")["at_ns"]
    check(n.ask_here("status")["armed"]["at_ns"] == at, "the new plan does not replace the old one")
    check(n.ask_here("freeze --cancel")["ok"], "freeze --cancel")
    check(n.ask_here("status")["armed"] is None, "freeze --cancel leaves the plan")
    n.ask_here("freeze --on CPUID")
    n.ask_here("freeze --cancel")
    to_guest(n)
    n.run("/tests/bench cpuid; sleep 5")
    n.to_prompt()
    check(n.ask_here("freezes")["total"] == total, "a freeze came that was called off")


def at_deadlines(n):
    """Each freeze lasts as long as was said, to the tick, and the thaw is as late as the freeze was."""
    now = n.ask_here("time")["host_ns"]
    n.ask_here(f"freeze --at {now + 3000000000}ns")
    status = n.until("status", lambda s: s["state"] == "frozen")
    check(status["armed"] is None, "what has been is still armed")
    until_ns = n.ask_here("thaw --in 1h")["until_ns"]
    check(n.ask_here("status")["state"] == "frozen", "thaw --in thaws at once")
    check(n.ask_here(f"thaw --at {until_ns - 1800 * 10**9}ns")["until_ns"] < until_ns, "a new thaw does not replace the old one")
    n.ask_here("thaw --in 20ms")
    n.until("status", lambda s: s["state"] == "running")
    record = n.ask_here("freezes")["freezes"][-1]
    check(record["at_ns"] == now + 3000000000, f"asked for {now + 3000000000} ns, and {record}")
    for length in ("1ms", "123.456789ms", "2s", "3h"):
        n.ask_here(f"freeze --in 50ms --for {length}")
        to_guest(n)
        n.run("usleep 200000", timeout=PATIENCE)
        n.to_prompt()
        record = n.ask_here("freezes")["freezes"][-1]
        wanted = {"1ms": 10**6, "123.456789ms": 123456789, "2s": 2 * 10**9, "3h": 3 * 3600 * 10**9}[length]
        check(record["frozen_ns"] == wanted, f"--for {length}: {record}")
        check(record["thaw_late_ns"] == 0, f"there was time enough, but the thaw was late: {record}")
    answer = n.ask_here("freeze --for 30ms")
    check(answer["ok"], f"freeze --for answers {answer}")
    n.until("status", lambda s: s["state"] == "running" and s["armed"] is None)


def again_and_again(n):
    """--every keeps its distance from one T to the next."""
    before = n.ask_here("freezes")["total"]
    n.ask_here("freeze --in 20ms --for 3ms --every 17ms --count 20")
    to_guest(n)
    n.run("sleep 1", timeout=PATIENCE)
    n.to_prompt()
    freezes = n.ask_here("freezes")
    check(freezes["total"] == before + 20, f"{freezes['total'] - before} freezes, not 20")
    deadlines = [f["at_ns"] for f in freezes["freezes"][-20:]]
    steps = {b - a for a, b in zip(deadlines, deadlines[1:])}
    check(steps <= {17000000, 17000001}, f"freezes that should be 17 ms (rounded up to ticks) apart are {steps} ns apart")
    n.ask_here("freeze --in 20ms --for 1ms --every 10ms")
    n.until("status", lambda s: s["freezes"] > before + 25)
    while not n.ask_here("freeze --cancel")["state"] == "running":
        pass  # a frozen node was told: the thaw comes by itself
    left = n.until("status", lambda s: s["state"] == "running")["freezes"]
    to_guest(n)
    n.run("sleep 1", timeout=PATIENCE)
    n.to_prompt()
    check(n.ask_here("freezes")["total"] == left, "freezes go on after --cancel")


def at_an_exit(n):
    """--on freezes where the guest caused that exit, whatever case its name is written in, or some time after it."""
    exits_without_delay(n)
    n.ask_here("freeze --on MONITOR --in 20ms --for 1ms")  # Linux never does
    armed = n.ask_here("status")["armed"]
    check(armed["on"] == "MONITOR" and armed["in_ns"] == 20 * 10**6 and armed["at_ns"] is None, f"armed is {armed}")
    n.ask_here("freeze --on CPUID --in 20ms --for 1ms")
    to_guest(n)
    n.run("/tests/bench cpuid; usleep 100000", timeout=PATIENCE)
    n.to_prompt()
    record = n.ask_here("freezes")["freezes"][-1]
    check(lasted(record, 10**6, rounding=0), f"freeze --on CPUID --in 20ms: {record}")


def exits_without_delay(n):
    for name in ("CPUID", "cpuid"):
        check(n.ask_here(f"freeze --on {name}")["state"] == "armed", f"freeze --on {name}")
        to_guest(n)
        n.send("/tests/bench cpuid\r")
        n.to_prompt()
        status = n.until("status", lambda s: s["state"] == "frozen")
        check({"rip", "blocked", "event"} <= set(status["cpus"][0]), f"status of a frozen CPU is {status['cpus'][0]}")
        last = n.ask_here("trace dump 1")["trace"][-1]
        check("cpuid" in last["reason"].lower(), f"frozen at an exit for {last['reason']}")
        n.ask_here("thaw")
        to_guest(n)
        n.expect(r"bench cpuid_ticks \d+ \d+", PATIENCE)
        n.expect(re.escape(GUEST_PROMPT), PATIENCE)
        n.to_prompt()


KEPT = 256


def more_than_are_kept(n):
    """freezes shows the latest ones and counts all."""
    n.ask_here("freeze --in 1ms --for 1ms --every 3ms --count 300")
    to_guest(n)
    n.run("sleep 2", timeout=PATIENCE)
    n.to_prompt()
    freezes = n.ask_here("freezes")
    numbers = [f["n"] for f in freezes["freezes"]]
    check(freezes["total"] > 300 and len(numbers) == KEPT, f"{len(numbers)} of {freezes['total']} freezes are shown")
    check(numbers == list(range(freezes["total"] - KEPT + 1, freezes["total"] + 1)), f"freezes shows {numbers}")
