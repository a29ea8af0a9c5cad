# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's writes cost the devices below: the branching store, qcow2 overlays and dm-snapshot on the same traces, in bytes."""
import contextlib
import csv
import itertools
import json
import os
import re
import subprocess
import tempfile

from benches import bench, output
from node import Failure, Node
from paths import BUILD, INITRD_DISK, KERNEL_CLOUD

TRACE = os.path.join(BUILD, "bench", "storetrace")
DISK = 8 << 30  # the golden image: all of it reads as data
PATTERNS = {"sequential 1 MiB": ("sequential", 1 << 20, 256), "random 4 KiB": ("random", 4096, 20000), "random 512 B": ("random", 512, 20000)}
FLUSHES = {"at the end": 0, "every 64": 64, "every write": 1}
DEPTHS = (1, 32)
QCOW2 = {"qcow2 64 KiB": "cluster_size=64k", "qcow2 extended_l2": "cluster_size=64k,extended_l2=on"}
DM_SNAPSHOT = {"dm-snapshot 64 KiB": 64 << 10, "dm-snapshot 4 KiB": 4 << 10}  # chunks
DM_SHARE = 10  # in an emulated guest, which is slow: the first so many-th of each trace's writes
# Bytes written below for each of the guest's, at queue depth 1 and 32.
LIMITS = {
    "at the end": {"sequential 1 MiB": 1.01, "random 4 KiB": 1.03, "random 512 B": 1.5},
    "every write": {"sequential 1 MiB": 1.01, "random 4 KiB": 1.3, "random 512 B": 3.0},
}


def trace(target, pattern, depth, flush):
    kind, request, count = PATTERNS[pattern]
    argv = [TRACE, target, kind, request, count, DISK, depth, FLUSHES[flush]]
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=1200)
    if r.returncode:
        raise Failure(f"{' '.join(map(str, argv))}: {r.stderr}")
    return json.loads(r.stdout)


@contextlib.contextmanager
def server(argv, socket):
    """A child that serves NBD on a socket, until the end."""
    p = subprocess.Popen([*argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not os.path.exists(socket):
            if p.poll() is not None:
                raise Failure(f"{argv[0]}: {p.stderr.read()}")
        yield
    finally:
        p.terminate()
        p.wait()
        p.stderr.close()


def logged(path, what):
    """Bytes of all requests of a kind in the log of nbdkit's log filter."""
    with open(path) as f:
        return sum(int(n, 16) for n in re.findall(rf" {what} id=\d+ offset=0x[0-9a-f]+ count=(0x[0-9a-f]+)", f.read()))


def nbdkit(directory, name, *plugin):
    """Serves a plugin on NAME.sock, and logs each request in NAME.log."""
    socket, log = (os.path.join(directory, f"{name}.{suffix}") for suffix in ("sock", "log"))
    return server(["nbdkit", "-f", "-U", socket, "--filter=log", *plugin, f"logfile={log}"], socket)


def on_qcow2(options, pattern, depth, flush):
    """An overlay of a golden image, both on NBD servers that log what they are asked for."""
    with tempfile.TemporaryDirectory(prefix="bench-store-") as d:
        uri = {name: f"nbd+unix:///?socket={d}/{name}.sock" for name in ("golden", "overlay", "disk")}
        with nbdkit(d, "golden", "pattern", f"size={DISK}"), nbdkit(d, "overlay", "memory", f"size={2 * DISK}", "allocator=zstd"):
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", uri["golden"], "-F", "raw", uri["overlay"], str(DISK)], check=True)
            before = logged(f"{d}/overlay.log", "Write")
            with server(["qemu-nbd", "-f", "qcow2", "--socket", f"{d}/disk.sock", uri["overlay"]], f"{d}/disk.sock"):
                guest = trace(uri["disk"], pattern, depth, flush)["guest"]
                written = logged(f"{d}/overlay.log", "Write") - before
                return {"guest": guest, "written": written, "golden_read": logged(f"{d}/golden.log", "Read")}


# A snapshot is made anew for each trace, so that its device holds nothing of the last one.
PREPARE = (
    "dmsetup remove snapshot 2>/dev/null; dd if=/dev/zero of=/dev/vdb bs=1M count=1 conv=fsync 2>/dev/null; "
    'dmsetup create snapshot --noudevsync --table "0 {sectors} snapshot /dev/vda /dev/vdb P {chunk}" && head -c {bytes} /dev/{trace} >/tmp/trace'
)
REPLAY = "fio --name=trace --read_iolog=/tmp/trace --direct=1 --ioengine=libaio --iodepth={depth} --output=/tmp/fio --replay_no_stall=1 || (cat /tmp/fio; false)"
FIRST_TRACE = "c"  # /dev/vdc, after the golden image and the snapshot's device


def fio_traces(directory):
    """Files of what fio is to replay on the snapshot, by pattern and flush."""
    files = {}
    for pattern, (kind, request, count) in PATTERNS.items():
        for flush, every in FLUSHES.items():
            path = files[pattern, flush] = os.path.join(directory, f"trace{len(files)}")
            with open(path, "w") as f:
                subprocess.run([str(a) for a in (TRACE, "/dev/dm-0", kind, request, count // DM_SHARE, DISK, 1, every)], stdout=f, check=True)
    return files


@contextlib.contextmanager
def bare_guest(directory, files):
    """A guest on the bare emulator whose disks are two NBD servers that log what they are asked for, and files to read."""
    disks = [f"file=nbd+unix:///?socket={directory}/golden.sock,readonly=on", f"file=nbd+unix:///?socket={directory}/overlay.sock"]
    disks += [f"file={file},readonly=on" for file in files]
    arguments = []
    for i, disk in enumerate(disks):
        arguments += ["-drive", f"if=none,id=disk{i},format=raw,{disk}", "-device", f"virtio-blk-pci,drive=disk{i}"]
    with nbdkit(directory, "golden", "pattern", f"size={DISK}"), nbdkit(directory, "overlay", "memory", f"size={2 * DISK}", "allocator=zstd"):
        with Node(bare=True, kernel=KERNEL_CLOUD, initrd=INITRD_DISK, append="quiet", extra=[f"--emu-arg={a}" for a in arguments]) as n:
            n.boot()
            yield n


def on_dm_snapshot(name):
    """All traces, one after the other."""
    with tempfile.TemporaryDirectory(prefix="bench-store-") as d:
        files = fio_traces(d)
        names = {key: f"vd{chr(ord(FIRST_TRACE) + i)}" for i, key in enumerate(files)}
        with bare_guest(d, files.values()) as n:
            n.run("modprobe dm_snapshot")
            for (pattern, flush), depth in itertools.product(files, DEPTHS):
                n.run(PREPARE.format(sectors=DISK // 512, chunk=DM_SNAPSHOT[name] // 512, bytes=os.path.getsize(files[pattern, flush]), trace=names[pattern, flush]))
                written, read = logged(f"{d}/overlay.log", "Write"), logged(f"{d}/golden.log", "Read")
                n.run(REPLAY.format(depth=depth), timeout=3600)
                _, request, count = PATTERNS[pattern]
                result = {"guest": request * (count // DM_SHARE), "written": logged(f"{d}/overlay.log", "Write") - written, "golden_read": logged(f"{d}/golden.log", "Read") - read}
                yield (name, pattern, flush, depth), result


def table():
    """(system, pattern, flush, depth) and bytes, as they are measured."""
    for name in DM_SNAPSHOT:
        yield from on_dm_snapshot(name)
    for flush in FLUSHES:
        for depth in DEPTHS:
            for pattern in PATTERNS:
                yield ("store", pattern, flush, depth), trace("store", pattern, depth, flush)
                for name, options in QCOW2.items():
                    yield (name, pattern, flush, depth), on_qcow2(options, pattern, depth, flush)


def amplification(r):
    return r["written"] / r["guest"]


def judge(results):
    """The limits and comparisons that do not hold."""
    missed = []
    for (system, pattern, flush, depth), r in results.items():
        where = f"{pattern}, flush {flush}, depth {depth}"
        if system != "store":
            ours = amplification(results["store", pattern, flush, depth])
            if ours > amplification(r):
                missed.append(f"{where}: {ours:.4f}, and {system} {amplification(r):.4f}")
            continue
        limit = LIMITS.get(flush, {}).get(pattern)
        if limit and amplification(r) > limit:
            missed.append(f"{where}: {amplification(r):.4f}, more than {limit}")
        if r["read"] or r["golden_read"]:
            missed.append(f"{where}: {r['read']} bytes of the store and {r['golden_read']} of the golden image were read for writes")
    return missed


def show(results, systems):
    print(f"bytes written below / bytes of the guest (bytes read from the golden image / bytes of the guest); 8 GiB, {PATTERNS['random 4 KiB'][2]} random writes, of which dm-snapshot has had one in {DM_SHARE}")
    print(f"{'':18}{'flush':>12}{'depth':>6}{'limit':>7}" + "".join(f"{s:>22}" for s in systems))
    for pattern in PATTERNS:
        for flush in FLUSHES:
            for depth in DEPTHS:
                row = f"{pattern:18}{flush:>12}{depth:>6}{LIMITS.get(flush, {}).get(pattern, '-'):>7}"
                for s in systems:
                    r = results[s, pattern, flush, depth]
                    row += f"{amplification(r):>12.4f} ({r['golden_read'] / r['guest']:7.3f})"
                print(row, flush=True)


@bench()
def write_amplification():
    results = dict(table())
    with open(output("store.csv"), "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["system", "pattern", "flush", "depth", "guest_bytes", "written_bytes", "golden_read_bytes", "closed_bytes"])
        for key, r in results.items():
            w.writerow([*key, r["guest"], r["written"], r["golden_read"], r.get("closed", "")])
    show(results, ["store", *QCOW2, *DM_SNAPSHOT])
    return judge(results)
