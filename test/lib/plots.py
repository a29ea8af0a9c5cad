# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots of what was measured, by the gnuplot scripts in test/bench-plots/: build/bench/NAME.svg and NAME.png."""
import collections
import math
import os
import re
import statistics
import subprocess

from benches import OUT, output
from node import Failure
from paths import ROOT

SCRIPTS = os.path.join(ROOT, "test", "bench-plots")
TERMINALS = {"svg": "svg size 1000,{height} dynamic background 'white' font 'DejaVu Sans,11'", "png": "pngcairo size 1500,{scaled} fontscale 1.5 pointscale 1.3 linewidth 1.5 font 'DejaVu Sans,11'"}
MACHINE_NAMES = {"qemu": "AMD-V in QEMU", "bochs": "VT-x in Bochs"}


def quoted(value):
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else f"{value:g}"


def spaced(length):
    return re.sub(r"(?<=\d)(?=[a-z])", " ", length)


def draw(script, name, height, blocks=None, **variables):
    """Runs a script with variables, and blocks of data by name."""
    settings = "".join(f"{k} = {quoted(v)}\n" for k, v in variables.items())
    settings += "".join(f"${k} << END\n{v}END\n" for k, v in (blocks or {}).items())
    for suffix, terminal in TERMINALS.items():
        terminal = terminal.format(height=height, scaled=height * 3 // 2)
        commands = f"set terminal {terminal}\nset output {quoted(output(f'{name}.{suffix}'))}\n{settings}load {quoted(os.path.join(SCRIPTS, script))}\n"
        r = subprocess.run(["gnuplot", "-"], input=commands, cwd=OUT, text=True, capture_output=True)
        if r.returncode != 0 or not os.path.getsize(output(f"{name}.{suffix}")):
            raise Failure(f"gnuplot {script}: {r.stderr.strip()}")


# What the original system (EuroSys 2009) reached, in ms, and what the figure shows beside it.
LOOPS = {
    "sleep": {
        "what": "Sleep loop: usleep(10 ms), gettimeofday",
        "wide": (0, 15),
        "paper": 0.080,
        "paper_name": "original system at checkpoints, worst: +80 µs",
        "calm": 0.028,
        "calm_name": "original system without checkpoints: 28 µs",
        "named": 2,
        "note": "KVM's pause, for comparison: 3 s of it make an iteration 3.0039 s longer.",
    },
    "cpu": {
        "what": "CPU loop: 236.6 ms of work, gettimeofday",
        "wide": (200, 280),
        "paper": 27,
        "paper_name": "original system at checkpoints, worst: +27 ms",
        "calm": 0,
        "calm_name": "",
        "named": 1,
        "note": "The close-ups are far below the line of the original system.",
    },
}


def loops(kind, emu, cpus, name_of, runs):
    """One figure for one loop on one machine. runs: by length of freezes, None among them first; name_of(length): its files."""
    style = LOOPS[kind]
    none, short, long = runs
    usual = statistics.median(runs[none].us) / 1000
    least = min(min(r.us) for r in runs.values()) / 1000
    most = max(max(r.us) for r in runs.values()) / 1000
    if style["paper"] < 1:  # close enough to be seen
        most = max(most, usual + style["paper"] * 1.25)  # with room for the name of its line
    room = (most - least) * 0.08
    decade = 10 ** math.floor(math.log10((most - least) / 3))
    step = next(decade * f for f in (1, 2, 5, 10) if (most - least) / (decade * f) <= 6)
    titles = [f"the whole scale, with freezes of {spaced(long)}", "close up: without freezes", f"close up: with freezes of {spaced(short)}", f"close up: with freezes of {spaced(long)}"]
    draw(
        "loops.gp",
        f"{kind}-{emu}{cpus}",
        900,
        heading=f"{style['what']}; {len(runs[long].freezes)} freezes, one every 5 s; {MACHINE_NAMES[emu]}, {cpus} vCPU{'s' * (cpus > 1)}",
        note=style["note"],
        files=" ".join(name_of(length) for length in (long, none, short, long)),
        titles=" ".join(f"'{t}'" for t in titles),
        usual=usual,
        step=step,
        low=least - room,
        high=most + room,
        wide_low=style["wide"][0],
        wide_high=style["wide"][1],
        paper=style["paper"],
        paper_name=style["paper_name"],
        calm=style["calm"],
        calm_name=style["calm_name"],
        named=style["named"],
    )


BINS_PER_DECADE = 20


def bins(values):
    """Lines of from, to, number; logarithmic."""
    counts = collections.Counter(math.floor(math.log10(max(v, 1)) * BINS_PER_DECADE) for v in values)
    edge = [10 ** (b / BINS_PER_DECADE) for b in range(max(counts) + 2)]
    return "".join(f"{edge[b]:.6g} {edge[b + 1]:.6g} {n}\n" for b, n in sorted(counts.items()))


def latency(name, emu, cpus, heading, note, series, limit):
    """How often each series, by its name, had which number of ticks."""
    draw(
        "latency.gp",
        name,
        450,
        blocks={"bins": "\n\n".join(bins(v) for v in series.values())},
        heading=f"{heading}; {MACHINE_NAMES[emu]}, {cpus} vCPU{'s' * (cpus > 1)}",
        note=note,
        series=" ".join(f"'{s}'" for s in series),
        limit=limit or 0,
        limit_name=f"limit for 99 % of the freezes: {limit:,}" if limit else "",
    )


def packets(name, files, heading):
    """Times between the packets of a stream, in a panel for each file: without freezes, and with."""
    draw("packets.gp", name, 600, heading=heading, files=" ".join(files), titles="'without freezes' 'with freezes'")
