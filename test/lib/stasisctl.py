# SPDX-License-Identifier: GPL-2.0-or-later
"""stasisctl as tests run it: the program, with sanitizers, and its exit statuses."""
import os

from paths import BUILD

CTL = os.path.join(BUILD, "test", "stasisctl")
CLEAN, FAILED, USAGE, LATE, PARTIAL = range(5)
