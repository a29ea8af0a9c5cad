# SPDX-License-Identifier: GPL-2.0-or-later
"""stasisctl against a real node in an emulator."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time

import pexpect

from cases import case
from ctlclient import KEY, forwarded
from node import SLOWNESS, Node, check
from ports import free_port
from stasisctl import CLEAN, CTL, FAILED

# an emulator shares its host with others: how late it is, is nothing that is judged here
FILE = "experiment = demo/17\nkey = file:key\nmargin = 500ms\nlead = 1s\nlate_clean = 1s\nlate_limit = 5s\nclock_bound = 500ms\npatience = 20s\nconnect = 60s\n"


@contextlib.contextmanager
def operator(port):
    with tempfile.TemporaryDirectory(prefix="stasis-ctl-") as d:
        with open(os.open(os.path.join(d, "key"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(KEY)
        with open(os.path.join(d, "experiment.conf"), "w") as f:
            f.write(FILE + f"node only 127.0.0.1:{port}\n")
        yield d


def ctl(d, log, *args, status=CLEAN):
    r = subprocess.run([CTL, *args], cwd=d, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    log.write(f"$ stasisctl {' '.join(args)}: {r.returncode}\n{r.stdout}{r.stderr}")
    check(r.returncode == status and "runtime error" not in r.stderr, f"{args}: status {r.returncode}: {r.stdout}{r.stderr}")
    return r.stdout


def wait_for_clock(d, log):
    """Alone, the node becomes the master after some seconds; until then it refuses to be frozen."""
    end = time.monotonic() + 60 * SLOWNESS
    while json.loads(ctl(d, log, "status", "--json"))["nodes"][0]["bound_ns"] is None:
        check(time.monotonic() < end, "the node does not know the time")
        time.sleep(0.5)  # it takes four new connections a second (docs/control.md)


@case()
def a_real_node(log):
    """Every command of stasisctl on a node: status, time, run, log, console, freeze, thaw, a series; SIGINT while frozen."""
    port = free_port()
    keys = [f"control_key={KEY}", "experiment=17", "node=0", "ptp=master"]
    with Node(log=log, append="quiet", control=forwarded(port), config=keys) as n, operator(port) as d:
        n.boot()
        a = json.loads(ctl(d, log, "status", "--json"))
        check(a["running"] == 1 and a["nodes"][0]["state"] == "running" and a["nodes"][0]["boot"] > 0, str(a))
        check(json.loads(ctl(d, log, "time", "--json"))["votes"] == 1, "time")
        check(ctl(d, log, "run", "only", "version") == n.stasis("version").replace("\r", "") + "\n", "version is another by run")
        a = json.loads(ctl(d, log, "--json", "run", "all", "status", "--json"))
        check(a["nodes"][0]["json"]["state"] == "running", str(a))
        ctl(d, log, "run", "only", "frobnicate", status=FAILED)
        check("stasisctl@" in ctl(d, log, "log"), "the log does not name stasisctl")
        wait_for_clock(d, log)
        a = json.loads(ctl(d, log, "freeze", "--for", "1s", "--json"))
        check(a["outcome"] == "clean" and a["nodes"] == 1, str(a))
        ctl(d, log, "freeze")
        check(json.loads(ctl(d, log, "status", "--json"))["frozen"] == 1, "it is not frozen")
        ctl(d, log, "thaw")
        check(n.run("echo alive") == "alive", "the guest does not go on")
        lines = ctl(d, log, "freeze", "--every", "4s", "--count", "3", "--for", "500ms", "--json").splitlines()
        check([json.loads(x)["outcome"] for x in lines] == ["clean"] * 3, str(lines))
        p = subprocess.Popen([CTL, "freeze", "--for", "20s", "--progress"], cwd=d, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        seen = ""
        while "1 frozen" not in seen:
            piece = os.read(p.stderr.fileno(), 4096).decode()
            check(piece, f"it ended: {seen}")
            seen += piece
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
        check(p.returncode == FAILED and "thaw by themselves" in err, err)
        a = json.loads(ctl(d, log, "thaw", "--json"))
        check(a["inherited"] and a["outcome"] == "clean", str(a))
        c = pexpect.spawn(CTL, ["console", "only"], cwd=d, timeout=60, encoding="utf-8", logfile=log)
        c.expect_exact("Ctrl-] leaves it")
        c.send("echo one''two\r")
        c.expect_exact("onetwo")
        c.send("\x1d")
        c.expect_exact("left the console")
        c.expect(pexpect.EOF)
        p = subprocess.Popen([CTL, "log", "-f"], cwd=d, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "the guest starts" not in (line := p.stdout.readline()):
            check(line, "log -f ended")
        ctl(d, log, "run", "only", "net status")
        p.kill()
        p.communicate()
        with open(os.path.join(d, "key"), "w") as f:
            f.write("ee" * 32)
        a = json.loads(ctl(d, log, "status", "--json", status=FAILED))
        check("does not take the key" in a["nodes"][0]["error"], str(a))
        n.expect("onetwo")
        check("alive" in n.run("echo alive"), "the guest does not answer")  # behind a prompt that was left open
        n.power_off()
