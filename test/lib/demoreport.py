# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's page: build/demo/index.html, its figures as build/demo/report.json (docs/testing.md), its plots as SVG and PNG."""
import html
import json
import os
import subprocess

from node import Failure
from paths import BUILD, ROOT

OUT = os.path.join(BUILD, "demo")
SCRIPTS = os.path.join(ROOT, "test", "bench-plots")
TERMINALS = {"svg": "svg size 1000,420 dynamic background 'white' font 'DejaVu Sans,11'", "png": "pngcairo size 1500,630 fontscale 1.5 linewidth 1.5 font 'DejaVu Sans,11'"}


def output(name):
    os.makedirs(OUT, exist_ok=True)
    return os.path.join(OUT, name)


def draw(script, name, runs, **variables):
    settings = "".join(f"{k} = {json.dumps(v) if isinstance(v, str) else v}\n" for k, v in variables.items())
    settings += f"$runs << END\n{runs}\nEND\n"
    for suffix, terminal in TERMINALS.items():
        commands = f"set terminal {terminal}\nset output {json.dumps(output(f'{name}.{suffix}'))}\n{settings}load {json.dumps(os.path.join(SCRIPTS, script))}\n"
        r = subprocess.run(["gnuplot", "-"], input=commands, text=True, capture_output=True)
        if r.returncode != 0:
            raise Failure(f"gnuplot {script}: {r.stderr.strip()}")


def rows(points):
    return "\n".join(" ".join(f"{x:.6f}" for x in p) for p in points) or "0 0"


def plots(runs):
    """runs: by name, in the order of the page, each an Observed."""
    for name, run in runs.items():
        distances = run.distances()
        start, first = distances[0]
        run.drift = [(s - start, (d - first) / 1e6) for s, d in distances]
        first_ping = run.pings[0][0]
        run.ping_points = [(t - first_ping, ms) for t, ms in run.pings]
    names = list(runs)
    titles = " ".join(f"'{n}'" for n in names)
    for script, figure, points in (("demo-drift.gp", "clocks", lambda r: r.drift), ("demo-ping.gp", "ping", lambda r: r.ping_points)):
        draw(script, figure, "\n\n\n".join(rows(points(runs[n])) for n in names), titles=titles)


STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.3em .9em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}.what{color:#555}"""


def page(title, intro, heads, table, figures):
    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    body = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(intro)}</p>", "<table>", row(heads, "th"), *(row(r, "td") for r in table), "</table>"]
    for name, what in figures:
        body.append(f'<p><img src="{name}.svg" alt="{html.escape(what)}"><br><span class="what">{html.escape(what)}</span></p>')
    text = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head><body>\n' + "\n".join(body) + "\n</body></html>\n"
    with open(output("index.html"), "w") as f:
        f.write(text)


def text_table(heads, table):
    cells = [heads, *table]
    widths = [max(len(str(r[i])) for r in cells) for i in range(len(heads))]
    return "\n".join("  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(r, widths))) for r in cells)


def save(report):
    with open(output("report.json"), "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
