# SPDX-License-Identifier: GPL-2.0-or-later
"""The prompt: every command as text and as JSON by its documentation, mistakes, editing."""
import json

import contract
from cases import case
from images import golden
from node import ESCAPE, FIRMWARE, STASIS_PROMPT, Node, check

UP, LEFT, HOME = "\x1b[A", "\x1b[D", "\x1b[H"
KILL = "\x0b"  # Ctrl-K: to the end of the line

# The documented command, and a line that shows it at work; in this order, so that all members are seen. Of several lines for one, the first shows what
# is always there.
EXAMPLES = [
    ("help", "help"),
    ("status", "status"),
    ("time", "time"),
    ("exits", "exits"),
    ("exits", "exits reset"),
    ("trace on", "trace off"),
    ("trace on", "trace on"),
    ("trace dump", "trace dump 3"),
    ("disk status", "disk status"),
    ("disk seal NAME", "disk seal first"),
    ("disk tree", "disk tree"),
    ("disk errors report|freeze", "disk errors report"),
    ("net status", "net status"),
    ("nic status", "nic status"),
    ("selftest roundtrip", "selftest roundtrip 2"),
    ("freeze", "freeze"),
    ("status", "status"),
    ("thaw", "thaw"),
    ("freezes", "freezes"),
    ("freeze", "freeze --in 1h --for 1s --every 2h --count 3"),
    ("status", "status"),
    ("freeze", "freeze --cancel"),
    ("freeze", "freeze"),
    ("thaw", "thaw --in 50ms"),
    ("log", "log"),
    ("version", "version"),
    ("reboot", "poweroff"),
]
EXPERIMENT = ["control_key=" + "5a" * 32, "experiment=1", "node=0", "ptp=master"]
AS_TEXT = ("help", "help status", "status", "time", "exits", "trace dump", "selftest roundtrip", "freezes", "disk status", "disk tree", "net status", "nic status", "log", "version")


def _answer(n, command):
    """Of one line, an object of version 1."""
    if command == "poweroff":
        n.send("poweroff --json\r")
        n.expect(r'(\{"version":1.*\})\r?\n')
        text = n.child.match.group(1)
    else:
        text = n.stasis_command(command + " --json")
    lines = [line for line in text.splitlines() if line and not line.startswith("stasis: ")]
    check(len(lines) == 1, f"{command} --json prints {len(lines)} lines:\n{text}")
    answer = json.loads(lines[0])
    check(answer.get("version") == 1, f"{command} --json has not version 1: {answer}")
    return answer


def _compare(command, answer, members, first):
    """Nothing undocumented; the first time, all that is always there."""
    seen = contract.paths(answer) - {"version"}
    check(seen <= set(members), f"{command} --json: not in docs/commands.md: {sorted(seen - set(members))}")
    if first:
        for name, member in members.items():
            parent = name.rpartition(".")[0]
            there = not parent or any(s.startswith(parent + ".") for s in seen)
            check(not (member.always and there) or name in seen, f"{command} --json lacks {name}: {answer}")
    return seen


@case()
def documented(log):
    """docs/commands.md says of every command what its JSON has, no less and no more."""
    rows = {commands[0].partition(" [")[0]: (commands, members) for commands, members in contract.table()}
    seen = {row: set() for row in rows}
    with golden(1) as image, Node(cpus=2, log=log, disk=image.name, control="user", nic="e1000e", config=EXPERIMENT) as n:
        n.boot()
        n.send(ESCAPE)
        n.expect(STASIS_PROMPT)
        listed = {c["name"] for c in n.ask_here("help")["commands"]}
        documented = {c.split()[0] for commands, _ in rows.values() for c in commands}
        check(listed == documented, f"help has {sorted(listed - documented)} and docs/commands.md {sorted(documented - listed)} more")
        for command in AS_TEXT:
            check(n.stasis_command(command), f"{command} answers nothing")
        for row, command in EXAMPLES:
            first = not seen[row]
            seen[row] |= _compare(command, _answer(n, command), rows[row][1], first)
        check(n.wait(120) == 0, "poweroff does not switch the machine off")
    for row, (_, members) in rows.items():
        missing = {name for name, m in members.items() if not m.on_failure} - seen[row]
        check(not missing, f"{row} --json never had {sorted(missing)}")


WRONG = {
    "frobnicate": "unknown command; help lists them",
    "trace sideways": "usage: trace",
    "trace dump x": "usage: trace",
    "selftest": "usage: selftest",
    "selftest roundtrip x": "usage: selftest",
    "exits nonsense": "usage: exits",
    "status extra": "usage: status",
    "freeze --for": "usage: freeze",
    "freeze --on nothing": "nothing",
    "thaw": "not frozen",
    "help me": "help",
    "disk status": "disk=",
    "net status": "nic.",
    "net": "usage: net",
    "nic status": "nic.",
    "nic": "usage: nic",
    "a b c d e f g h i j k l m n o p q r s t": "words",
}


@case()
def mistakes(log):
    """Wrong commands and arguments are answered with what is right, as text and as JSON."""
    with Node(log=log) as n:
        n.boot()
        n.send(ESCAPE)
        n.expect(STASIS_PROMPT)
        for wrong, says in WRONG.items():
            text = n.stasis_command(wrong)
            check(says in text, f"{wrong!r} answers {text!r}")
            answer = _answer(n, wrong)
            check(set(answer) == {"version", "error"} and says in answer["error"], f"{wrong!r} --json answers {answer}")
        check(n.ask_here("status")["state"] == "running", "a mistake has stopped the guest")
        n.send(ESCAPE)
        n.power_off()


@case()
def editing(log):
    """History with the up arrow; the line is edited in place; Ctrl-] leads back to the guest."""
    with Node(log=log) as n:
        n.boot()
        n.send(ESCAPE)
        n.expect(STASIS_PROMPT)
        version = r"stasis [\w.]+, \S+ back end"
        # The line is drawn again as it changes, prompt and all: wait for answers.
        for typed in ("version", UP, "vXersion" + LEFT * 6 + "\x7f", "nothing" + HOME + "version " + KILL):
            n.send(typed + "\r")
            n.expect(version, timeout=60)
        n.expect(STASIS_PROMPT)
        n.send(ESCAPE)
        check(n.run("echo back") == "back", "Ctrl-] does not lead back")
        n.power_off()


def give_and_end(log, emu, command):
    with Node(emu=emu, cpus=2, log=log) as n:
        n.boot()
        n.send(ESCAPE)
        n.expect(STASIS_PROMPT)
        n.send(command + "\r")
        if command == "poweroff":
            check(n.wait(120) == 0, "poweroff does not switch the machine off")
        else:
            n.expect(FIRMWARE[emu])
            n.boot()
            n.power_off(timeout=300)


@case(command=["poweroff", "reboot"])
def ends(log, command):
    give_and_end(log, "qemu", command)


@case(command=["poweroff", "reboot"], long=True)
def ends_in_bochs(log, command):
    give_and_end(log, "bochs", command)
