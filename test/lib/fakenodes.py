# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that only speak the protocols (test/ctl/fakenodes.c), and stasisctl to be run on them. No emulator."""
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from ctlclient import KEY
from node import check
from paths import BUILD
from stasisctl import CLEAN, CTL

FAKE = os.path.join(BUILD, "test", "fakenodes")
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
