# SPDX-License-Identifier: GPL-2.0-or-later
"""The store's host tests at full length; a part of each runs with the unit tests."""
import os
import subprocess

from cases import case
from node import check
from paths import BUILD

RUNS = {
    "histories": ("test_store", 10000, 1, 1000),
    "power_cuts": ("test_store_power", 10000),
    "scale": ("test_store_scale", 1024, 65536, 1024, 100),
}


@case(long=True, run=list(RUNS))
def store(log, run):
    """10,000 histories of 1000 random operations against a model; 10,000 power cuts; 64 GiB of deltas, and 1 GiB rewritten 100 times in 4 GiB."""
    program, *arguments = RUNS[run]
    argv = [os.path.join(BUILD, "unit", program), *map(str, arguments)]
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    log.write(r.stdout)
    check(r.returncode == 0, f"status {r.returncode}: {r.stdout[-500:]}")
