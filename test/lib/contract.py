# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/commands.md as a contract: its table, read so that answers can be held against it.

The last column lists members: `name` is one of the answer itself, `name`: begins those of the object, or of each object of the list, of that name, up to
a semicolon. What is in parentheses explains. After a plain word ("while frozen `rip`") up to the next semicolon, members are there sometimes; after
"on failure", only then.
"""
import os
import re

from paths import ROOT

ITEM = re.compile(r"`(\w+)`(\s*:)?|(;)|(\w+(?: \w+)*)")


class Member:
    def __init__(self, always, on_failure):
        self.always, self.on_failure = always, on_failure


def _members(text):
    """Paths ("state", "cpus.rip") and when they are there."""
    found, prefix, always, failure = {}, "", True, False
    for name, opens, ends, words in ITEM.findall(re.sub(r"\([^)]*\)", "", text)):
        if ends:
            prefix, always, failure = "", True, False
        elif words:
            always, failure = False, words == "on failure"
        else:
            found[prefix + name] = Member(always, failure)
            if opens:
                prefix = name + "."
    return found


def table():
    """Of each row: the commands as documented (a list), and its members."""
    with open(os.path.join(ROOT, "docs", "commands.md")) as f:
        lines = [line.strip().replace("\\|", "\0") for line in f if line.startswith("| `")]
    rows = []
    for line in lines:
        commands, _, members = line.strip("|").split("|")
        rows.append((re.findall(r"`([^`]+)`", commands.replace("\0", "|")), _members(members)))
    return rows


def paths(answer, prefix=""):
    """The members of an answer, those of objects in it and in its lists included."""
    found = set()
    for name, value in answer.items():
        found.add(prefix + name)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found |= paths(inner, prefix + name + ".")
    return found
