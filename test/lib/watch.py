# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest programs that watch its clocks (test/guest), started, ended and read; and the load beside them."""
import re

from node import check

LOAD_LINE = r"load line (\d+)\."


class Watch:
    """One run of some of the programs, in the background from here on; `stop` gives what they measured.
    The load's lines go to the console."""

    EACH = "/tmp/timeouts.each"
    JIFFIES_MS = 1000  # which come in leaps where the host does not run a CPU for a while

    def __init__(self, n, programs, real_time):
        self.node = n
        self.programs = programs
        arguments = {"load": "0 /dev/console", "timeouts": f"0 {self.EACH}" + real_time * f" {self.JIFFIES_MS}"}
        for name in programs:
            n.run(f"/tests/{name} {arguments.get(name, '')} >/tmp/{name} 2>&1 &")

    def stop(self):
        """{(program, gauge): {field: number}}. Fails if a program itself found something wrong."""
        self.node.run(f"killall -TERM {' '.join(self.programs)}; wait", timeout=1800)
        output = ""
        for name in self.programs:
            said = self.node.run(f"cat /tmp/{name}", timeout=300)
            check(f"{name} ok" in said, f"{name} found fault:\n{said}")
            output += said + "\n"
        return parse(output)


def parse(output):
    """The lines of numbers, of which a gauge may have several; those of what the machine does not have are left out."""
    gauges = {}
    for line in output.splitlines():
        words = line.split()
        fields = dict(re.findall(r"(\w+)=(-?[\d.]+)", line))
        if len(words) > 2 and fields:
            gauges.setdefault((words[0], words[1]), {}).update((k, float(v)) for k, v in fields.items())
    return gauges
