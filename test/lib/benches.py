# SPDX-License-Identifier: GPL-2.0-or-later
"""How measurements in test/benches/*.py are declared: @bench; the function prints its figures and returns the limits they miss."""
import os

from paths import BUILD

OUT = os.path.join(BUILD, "bench")
BENCHES = []


class Bench:
    def __init__(self, name, function):
        self.name = name
        self.function = function


def bench(*machines):
    """Registers a measurement, one for each machine; the function is called with it (or nothing, if none is given)."""

    def register(function):
        base = f"{function.__module__}.{function.__name__}"
        for m in machines:
            label = "-".join(map(str, m)) if isinstance(m, tuple) else str(m)
            BENCHES.append(Bench(f"{base}[{label}]", lambda m=m: function(m)))
        if not machines:
            BENCHES.append(Bench(base, function))
        return function

    return register


def output(name):
    """Path of a file of results, under build/bench/."""
    os.makedirs(OUT, exist_ok=True)
    return os.path.join(OUT, name)
