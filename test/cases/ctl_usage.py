# SPDX-License-Identifier: GPL-2.0-or-later
"""Mistakes of the operator: command line, experiment file, key; and the shell that helps."""
import json
import os
import subprocess

from cases import case
from ctlclient import KEY
from fakenodes import Nodes
from node import check
from paths import ROOT
from stasisctl import USAGE

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
        check("experiment.conf:2: key: " in err and "key: No such file" in err, err)
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
                            (["console"], "one node"), (["console", "n0", "--json"], "no --json"),
                            (["status", "--bogus"], "no option --bogus"), (["-x", "status"], "no option -x"), (["status", "--json=1"], "no option --json=1"),
                            (["freeze", "--for"], "--for takes an argument"), (["status", "-e"], "-e takes an argument"),
                            (["freeze", "--at", "2027-02-31 10:00"], "--at takes"), (["freeze", "--at", "5000000000000000000"], "--at takes"),
                            (["run", "n0", "x" * 1025], "at most 1024"), (["freeze", "--every", "0s", "--for", "0s"], "shorter")):
            _, err = n.run(*words, status=USAGE)
            check(said in err, f"{words}: {err}")
        for words in (["status", "--bogus", "--json"], ["dance", "--json"], ["--json", "freeze", "--in", "5"]):
            (a,) = (json.loads(line) for line in n.run(*words, status=USAGE)[0].splitlines())
            check(a["version"] == 1 and a["error"], f"{words}: {a}")
        out, _ = n.run("--help")
        check(out.startswith("usage: stasisctl"), out)
        _, err = n.run(status=USAGE)
        check(err.startswith("usage: stasisctl"), err)


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
        os.rename(os.path.join(n.dir, "experiment.conf"), os.path.join(n.dir, "other"))
        for e in (["-e", "other"], ["-eother"], ["--experiment", "other"], ["--experiment", "=", "other"]):
            check(complete(*e, "console", "") == {"n0", "n1"} and complete(*e, "fr") == {"freeze"}, f"{e}: no nodes, or no command")
        check("other" in complete("--experiment", "=") and "other" in complete("--experiment", "=", "ot"), "no file behind =")
        check({"--for", "--every"} <= complete("freeze", "--"), "no options")
        check(complete("thaw", "--f") == {"--force"}, "no --force")
