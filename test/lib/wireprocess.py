# SPDX-License-Identifier: GPL-2.0-or-later
"""A run of test/wire, told what to do line by line."""
import json
import os
import subprocess

from node import Failure, check
from paths import ROOT

WIRE = os.path.join(ROOT, "test", "wire")


class WireProcess:
    """`ends` and options are the program's; leaving it as a context ends the run."""

    def __init__(self, ends, *options):
        self.command = [WIRE, *options, *ends]
        self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check(self._line()["up"], "the wire does not start")

    def _line(self):
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"the wire has ended with status {self._process.wait()}")
        return json.loads(line)

    def tell(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._line()

    def end(self):
        """The figures of the whole run."""
        self._process.stdin.close()
        figures = self._line()
        check(self._process.wait(10) == 0, "its exit status is not 0")
        return figures

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
