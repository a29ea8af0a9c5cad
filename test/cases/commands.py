# SPDX-License-Identifier: GPL-2.0-or-later
"""The prompt: every command as text and as JSON, mistakes, editing."""
import json

from cases import case
from node import ESCAPE, STASIS_PROMPT, Node, check

UP, LEFT, HOME = "\x1b[A", "\x1b[D", "\x1b[H"
KILL = "\x0b"  # Ctrl-K: to the end of the line


@case()
def all_commands(log):
    with Node(cpus=2, log=log) as n:
        n.boot()
        listed = json.loads(n.stasis("help --json"))
        names = {c["name"] for c in listed["commands"]}
        wanted = {"help", "status", "time", "exits", "log", "trace", "selftest", "reboot", "poweroff", "version"}
        check(wanted <= names, f"missing commands: {wanted - names}")
        for command in ("status", "time", "exits", "log", "trace dump", "selftest roundtrip", "version", "help status"):
            text = n.stasis(command)
            check(text, f"{command} answers nothing")
            answer = n.stasis(command + " --json")
            check(json.loads(answer).get("version") == 1, f"{command} --json answers {answer!r}")
        status = json.loads(n.stasis("status --json"))
        check(status["state"] == "running" and len(status["cpus"]) == 2, f"status says {status}")
        n.power_off()


@case()
def mistakes(log):
    """Wrong commands and arguments are answered with what is right."""
    with Node(log=log) as n:
        n.boot()
        check("help" in n.stasis("frobnicate"), "a wrong command does not lead to help")
        for wrong in ("trace sideways", "selftest", "selftest roundtrip x", "exits nonsense", "status extra"):
            answer = n.stasis(wrong)
            check("usage" in answer.lower() or "trace" in answer or "roundtrip" in answer or "reset" in answer or "status" in answer, f"{wrong!r} answers {answer!r}")
            error = json.loads(n.stasis(wrong + " --json"))
            check("error" in error, f"{wrong!r} --json answers {error}")
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


@case(command=["poweroff", "reboot"])
def ends(log, command):
    with Node(log=log) as n:
        n.boot()
        n.send(ESCAPE)
        n.expect(STASIS_PROMPT)
        n.send(command + "\r")
        if command == "poweroff":
            check(n.wait(120) == 0, "poweroff does not switch the machine off")
        else:
            n.expect("iPXE")
            n.boot()
            n.power_off()
