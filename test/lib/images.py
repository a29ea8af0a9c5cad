# SPDX-License-Identifier: GPL-2.0-or-later
"""Golden images for the guest's disk."""
import tempfile


def golden(mib):
    """An open file, gone when it is closed, of which every sector of 512 bytes says its number."""
    f = tempfile.NamedTemporaryFile(prefix="golden-", suffix=".img")
    for sector in range(mib << 11):
        f.write(b"%08d" % sector * 64)
    f.flush()
    return f
