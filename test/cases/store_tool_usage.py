# SPDX-License-Identifier: GPL-2.0-or-later
"""stasis-store's command line: what is refused, and in which words; its JSON, and its manual."""
import json
import os
import re

from cases import case
from node import check
from paths import ROOT
from store_tool import DISK, MIB, Bench

VALUES = {"golden": "x", "point": "x", "format": "raw", "onto": "x", "keep": "x", "partition": "1", "offset": "512", "length": "512"}
SWITCHES = ["chain", "drop", "update", "force", "json", "progress"]
EVERYWHERE = {"golden", "offset", "length"}
ALLOWED = {
    "info": {"json"},
    "tree": {"json"},
    "check": {"json", "progress"},
    "compact": set(),
    "export": {"point", "format", "chain", "force", "progress"},
    "import": {"point", "format", "onto", "keep", "drop", "progress"},
    "seal": set(),
    "rollback": {"keep"},
    "merge": set(),
    "free": {"partition", "progress"},
    "hash": {"update", "json", "progress"},
    "format": {"force"},
}


def manual():
    with open(os.path.join(ROOT, "docs", "stasis-store.1")) as f:
        return f.read()


@case()
def options_belong_to_commands(log):
    """An option that a command does not take is refused, and both are named; every other is taken."""
    with Bench(log) as b:
        for command, allowed in ALLOWED.items():
            taken = allowed | EVERYWHERE
            words = {option: f"--{option} {VALUES.get(option, '')}" for option in [*VALUES, *SWITCHES]}
            out = b.run(f"{command} nowhere nothing {' '.join(words[option] for option in taken)}", status=2)
            check("does not take" not in out, f"{command}, all that it takes: {out}")
            for option in words.keys() - taken:
                b.refused(f"{command} nowhere {words[option]}", f"{command} does not take --{option}")


@case()
def options_that_exclude_each_other(log):
    """Nothing is ignored silently, and nothing happens."""
    with Bench(log) as b:
        b.changed("golden", "a.raw", 5)
        for arguments, words in [
            ("rollback store base --drop", "rollback does not take --drop"),
            ("export store out --golden golden --format raw --chain", "leave out --chain"),
            ("import store a.raw --format raw --golden golden --point a --keep x --drop", "one of them"),
        ]:
            b.refused(arguments, words)
        check(b.tree() == {"(open)": "golden"}, "a mistake has changed the store")
        check(not os.path.exists(b.path("out")), "a mistake has left a file")


@case()
def golden_is_a_raw_disk(log):
    """What is no raw image of whole sectors is no golden image, wherever it is given."""
    with Bench(log) as b:
        b.fresh("new", 64 * MIB)
        for name, size in ("empty", 0), ("bytes100", 100), ("bytes1000", 1000):
            b.write(name, bytes(size))
        for form in "qcow2", "vmdk":
            b.qemu_img(f"convert -f raw -O {form} golden {form}")
            os.truncate(b.path(form), -(-os.path.getsize(b.path(form)) // 512) * 512)
        for name, words in [
            ("empty", "0 bytes are no disk"),
            ("bytes100", "100 bytes are no disk"),
            ("bytes1000", "1000 bytes are no disk"),
            ("qcow2", "qcow2 file"),
            ("vmdk", "vmdk file"),
        ]:
            for command in "format new", "info store", "hash store":
                out = b.refused(f"{command} --golden {name}", words)
                check("qemu-img convert -O raw" in out, f"{command} --golden {name}: {out}")
        check(not any(b.read("new")), "something was formatted")


@case()
def places_in_a_file(log):
    """Offset and length that can't be are refused in words of their own."""
    with Bench(log) as b:
        b.fresh("empty", 0)
        b.fresh("tiny", 512)
        for arguments, words in [
            ("info store --offset 77", "offset 77 is no multiple of 512"),
            ("info store:77", "offset 77 is no multiple of 512"),
            ("info store --length 1000", "length 1000 is no multiple of 512"),
            ("info store --length 128M", "beyond its end"),
            ("info store --offset 64M", "beyond its end"),
            ("info store --length x", "no number of bytes"),
            ("info store --length -512", "no number of bytes"),
            ("format empty --golden golden", "truncate"),
            ("format tiny --golden golden", "too small"),
        ]:
            b.refused(arguments, words)


@case()
def no_store(log):
    """Where no store is, or one that can't be opened, each command says so, with status 2 and without advice that can't be followed."""
    with Bench(log) as b:
        b.run("seal store a")
        good = b.read("store")
        here = "there is no store here"
        b.fresh("blank", 64 * MIB)
        b.write("text", b"not a store\n" * 9999)
        b.write("short-text", b"not a store\n")
        b.write("cut-off", good[: 32 * MIB])
        b.write("cut-short", good[:4096])
        good[100] ^= 1
        good[4096 + 100] ^= 1
        b.write("both-damaged", good)
        for name, words in [
            ("blank", here),
            ("text", here),
            ("short-text", here),
            ("store:1M", here),
            ("cut-short", here),
            ("cut-off", "it was cut off"),
            ("both-damaged", "restore the store from a copy"),
        ]:
            for command in "info", "check":
                out = b.refused(f"{command} {name}", words)
                check("disk format" not in out and "xport" not in out, f"{command} {name}: {out}")
                check(words != here or ("stasis-store format" in out and "--offset" in out), f"{command} {name}: {out}")
                check("damage:" not in out, f"{command} {name} is no damage: {out}")


@case()
def partition_numbers(log):
    """A partition's number is none of bytes, and is not cut."""
    with Bench(log) as b:
        for text in "0", "-1", "1K", "x", "1x", "4294967296", "4294967297", "99999999999999999999":
            b.refused(f"free store --golden golden --partition {text}", f"'{text}' is no partition's number")


def answer(b, arguments, status=0):
    """The one JSON object."""
    objects = [line for line in b.run(arguments, status).splitlines() if line.startswith("{")]
    check(len(objects) == 1, f"{arguments}: {len(objects)} objects")
    a = json.loads(objects[0])
    check(a["version"] == 1, f"{arguments}: version {a['version']}")
    return a


def members(value):
    if isinstance(value, dict):
        return set(value).union(*map(members, value.values()))
    return set().union(*map(members, value)) if isinstance(value, list) else set()


@case()
def json_is_documented(log):
    """The members of each command's JSON are those that the manual lists and explains."""
    text = manual()
    said = re.sub(r'^\.\\".*$', "", text, flags=re.M)
    listed = {command: set(names.split()) for command, names in re.findall(r'^\.\\" json (\S+): (.*)$', text, re.M)}
    with Bench(log) as b:
        b.run("seal store a")
        good = b.read("store")
        seen = {command: members(answer(b, f"{command} store --golden golden --json")) for command in ("info", "tree", "check", "hash")}
        check(answer(b, "info store --json")["format"] == 1, "the format's version is another")
        check([p["name"] for p in answer(b, "tree store --json")["points"]] == ["a", None], "the open delta has a name")
        check(answer(b, "hash store --golden golden --update --json")["verdict"] == "kept", "the hash is not kept")
        check(answer(b, "hash store --golden golden --json")["verdict"] == "matches", "the hash was not kept")
        b.write("store", good[: DISK // 2])
        seen["check"] |= members(answer(b, "check store --json", status=2))
    check(seen == listed, f"the manual lists {listed}, and there are {seen}")
    for names in listed.values():
        for name in names:
            check(re.search(rf"^\.(B|BR|BI) .*\b{name}\b", said, re.M), f"the manual does not explain {name}")


@case()
def json_of_errors(log):
    """With --json what went wrong is an object on stdout, too, whatever it was."""
    with Bench(log) as b:
        b.fresh("blank", 64 * MIB)
        b.fresh("wrong-size", DISK + MIB)
        for arguments, words in [
            ("info nowhere --json", "No such file"),
            ("info blank --json", "there is no store here"),
            ("check blank --json", "there is no store here"),
            ("tree store --golden wrong-size --json", "another image"),
            ("export store out --golden golden --json", "export does not take --json"),
            ("info store --bogus --json", "--help"),
            ("info store --length x --json", "no number of bytes"),
            ("frobnicate store --json", "no command"),
            ("--json", "are needed"),
            ("hash store --json", "--golden"),
        ]:
            a = answer(b, arguments, status=2)
            check(words in a["error"] and set(a) <= {"version", "error", "damage"}, f"{arguments}: {a}")
        a = answer(b, os.fsdecode(b"info \xff --json"), status=2)
        check(a["error"].startswith("?: No such file"), str(a))


@case()
def exit_statuses(log):
    """The manual names each command that ends with status 1."""
    status = re.search(r"^\.SH EXIT STATUS\n(.*?)^\.SH", manual(), re.M | re.S)[1]
    for command in "check", "compact", "hash":
        check(f".B {command}\n" in status, f"nothing is said of {command}")
