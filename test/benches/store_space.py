# SPDX-License-Identifier: GPL-2.0-or-later
"""What a delta holds after a source tree has been unpacked, built and cleaned, before and after `stasis-store` has dropped what the file system says is free."""
import json
import os
import subprocess
import tempfile

import gptdisk
from benches import bench
from node import Failure, Node
from paths import BUILD, INITRD_DISK, KERNEL_CLOUD, ROOT, STASIS_STORE

MIB = 1 << 20
GOLDEN_MIB, STORE_BYTES = 256, 512 * MIB
# This source tree, and what its build leaves: those files are the host's, since the guest has no compiler.
BUILT = ("hv", "boot", "tool", "test", "hv.elf", "hv.pass1", "hv.stripped", "hv.map", "stasis.efi", "stasis.efi.so", "stasis-store", "stasisctl")
SHRINKS = 5  # times, at least


def tool(*argv):
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env)
    if r.returncode:
        raise Failure(f"{' '.join(argv)}: status {r.returncode}: {r.stdout}")
    return r.stdout


def make_golden(directory):
    """An ext4 with two archives in it."""
    root, image = os.path.join(directory, "root"), os.path.join(directory, "golden.img")
    os.mkdir(root)
    tool("tar", "-C", ROOT, "--exclude=./build", "--exclude=./.git", "-cf", f"{root}/source.tar", ".")
    tool("tar", "-C", BUILD, "-cf", f"{root}/built.tar", *BUILT)
    tool("mke2fs", "-q", "-t", "ext4", "-d", root, "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0", image, f"{GOLDEN_MIB}m")
    return image


def delta(store):
    """Bytes of the open delta, without what it hides."""
    tool(STASIS_STORE, "compact", store)
    return json.loads(tool(STASIS_STORE, "tree", store, "--json"))["points"][-1]["bytes"]


def work(n):
    """Bytes that the guest has written, after each step."""
    n.run("modprobe ext4 && mkdir /mnt && mount -t ext4 /dev/vda /mnt && mkdir /mnt/tree && cd /mnt/tree")
    for name, step in (("unpacked", "tar xf ../source.tar"), ("built", "mkdir build && tar xf ../built.tar -C build"), ("cleaned", "rm -rf build")):
        n.run(f"{step} && sync", timeout=900)
        yield name, n.ask("disk status")["guest_written"]
    n.run("cd / && umount /mnt")


@bench()
def free_blocks():
    with tempfile.TemporaryDirectory(prefix="bench-space-", dir=BUILD) as d:
        image, store = make_golden(d), os.path.join(d, "store.img")
        gptdisk.make(store, [gptdisk.STORE], STORE_BYTES)
        machine = {"icount": True, "kernel": KERNEL_CLOUD, "initrd": INITRD_DISK, "append": "quiet", "memory": 1024, "timeout": 1500}
        with Node(disk=f"{image},bus=ahci", store=f"{store},bus=nvme", **machine) as n:
            n.boot()
            for name, written in work(n):
                print(f"{name:10} {written / MIB:7.1f} MiB written by the guest so far", flush=True)
            n.power_off(600)
        before = delta(store)
        tool(STASIS_STORE, "free", store, "--golden", image)
        after = delta(store)
        tool(STASIS_STORE, "check", store, "--golden", image)
        tool(STASIS_STORE, "export", store, os.path.join(d, "disk.raw"), "--golden", image, "--format", "raw")
        tool("e2fsck", "-f", "-n", os.path.join(d, "disk.raw"))
    print(f"the delta: {before / MIB:.1f} MiB; without what ext4 says is free {after / MIB:.1f} MiB, {before / after:.1f} times less; at least {SHRINKS}")
    return [] if before >= SHRINKS * after else [f"the delta shrinks from {before} to {after} bytes only"]
