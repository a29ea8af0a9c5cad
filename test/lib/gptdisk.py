# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks with a GUID partition table (UEFI 2.10, chapter 5)."""
import os
import struct
import uuid
import zlib

SECTOR = 512
ENTRIES, ENTRY = 128, 128
ALIGN = 2048  # sectors
STORE_TYPE = "5f7a9c1e-3b64-4d0f-8e21-c6d2a95b1470"
LINUX_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4"
STORE_BYTES = 2 << 30
STORE = (STORE_TYPE, "stasis-store", None)  # the rest of the disk


def _header(lba, other, last, entries_lba, entries, disk):
    def pack(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, lba, other, 34, last, disk, entries_lba, ENTRIES, ENTRY, zlib.crc32(entries))

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")


def make(path, partitions, size=STORE_BYTES):
    """A sparse file. `partitions`: (type, name, bytes or None: all that is left). Returns the first sector of each."""
    sectors = size // SECTOR
    last = sectors - 34
    entries, firsts, at = b"", [], ALIGN
    for kind, name, length in partitions:
        n = length // SECTOR if length else last + 1 - at
        text = name.encode("utf-16-le").ljust(72, b"\0")
        entries += uuid.UUID(kind).bytes_le + uuid.uuid4().bytes_le + struct.pack("<QQQ", at, at + n - 1, 0) + text
        firsts.append(at)
        at = -(-(at + n) // ALIGN) * ALIGN
    entries = entries.ljust(ENTRIES * ENTRY, b"\0")
    disk = uuid.uuid4().bytes_le
    protective = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF))
    with open(path + ".new", "wb") as f:
        f.truncate(size)
        f.write(bytes(446) + protective + bytes(48) + b"\x55\xaa")
        f.write(_header(1, sectors - 1, last, 2, entries, disk) + entries)
        f.seek((sectors - 33) * SECTOR)
        f.write(entries + _header(sectors - 1, 1, last, sectors - 33, entries, disk))
    os.rename(path + ".new", path)
    return firsts
