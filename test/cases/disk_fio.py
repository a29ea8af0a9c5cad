# SPDX-License-Identifier: GPL-2.0-or-later
"""fio with verification on the guest's disk, while the node is frozen, its disk sealed and the node thawed, every second."""
import json

from cases import case
from disk import points
from freeze import BY_TICKS
from images import golden
from node import ESCAPE, Node, check
from paths import INITRD_DISK, KERNEL_CLOUD
from watch import parse

SECONDS, REFERENCE_SECONDS = 300, 60  # of the guest: frozen each second, and before that without freezes
WATCHED_SECONDS = {"clocks": 10, "timeouts": 20}  # they keep the guest busy
S = 1000000000  # ns
DISK_MIB, ROOM_MIB = 64, 800  # the disk is not written twice; a sealed delta takes 2 MiB
# Each block is read back, and its checksum compared, 64 writes later at most; 8 requests are under way.
FIO = (
    "fio --name=verified --filename=/dev/vda --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=2k --rate_iops=100 --fsync=50 "
    "--verify=crc32c --verify_backlog=64 --verify_fatal=1 --time_based --randseed=7 --clocksource=clock_gettime "
    "--output-format=json --output=/tmp/fio.json --runtime={seconds}"
)
# Freezes last 100 ms and more, by the host's clock. What they may add to the latest I/O, time-out and step of a clock is what the store's own work
# after a seal takes, a little at once, where a freeze was too short for it.
MORE = S // 1000
VERIFIED_SHARE = 0.4  # of all blocks that are written, at least
PAUSE = 0.2  # host seconds from question to question


def sealed(n, i):
    """Frozen in a second, by the node itself, and sealed."""
    n.ask_here("freeze --in 1s")
    n.until("status", lambda status: status["state"] == "frozen", PAUSE)
    for command in (f"disk seal second-{i}", "thaw"):
        answer = n.ask_here(command)
        check(answer.get("ok"), f"{command}: {answer}")


def looked_at(n, i):
    """As much typing, without a freeze."""
    end = n.ask_here("time")["virtual_ns"] + S
    n.until("time", lambda time: time["virtual_ns"] >= end, PAUSE)
    for command in ("help disk", "version"):
        n.ask_here(command)


def watched(n):
    """The latest time-out, and the largest step of a clock, of those that do not go by ticks."""
    gauges = {}
    for name in WATCHED_SECONDS:
        said = n.run(f"cat /tmp/{name}", timeout=300)
        check(f"{name} ok" in said, f"{name} found fault:\n{said}")
        gauges |= {key: g for key, g in parse(said).items() if key[1] not in BY_TICKS}
    return {"time-out": max(g.get("late_ns", 0) for g in gauges.values()), "step of a clock": max(g.get("step_ns", 0) for g in gauges.values())}


def lap(n, seconds, do):
    """The latest I/O, time-out and step of a clock meanwhile, in ns."""
    for name, some in WATCHED_SECONDS.items():
        n.run(f"/tests/{name} {some} >/tmp/{name} 2>&1 &")
    n.start(FIO.format(seconds=seconds) + "; wait")
    n.to_prompt()
    for i in range(seconds - 2):
        do(n, i)
    n.send(ESCAPE)
    n.finish(timeout=1200)
    job, = json.loads(n.run("cat /tmp/fio.json", timeout=300))["jobs"]
    check(job["error"] == 0, f"fio: error {job['error']}")
    check(job["read"]["total_ios"] > 100 * seconds * VERIFIED_SHARE, f"fio verified only {job['read']['total_ios']} blocks")
    return watched(n) | {kind: job[kind]["clat_ns"]["max"] for kind in ("read", "write")}


@case(long=True)
def freeze_seal_thaw(log):
    """fio verifies for 5 minutes what it has written, frozen and sealed every second: no error, no time that jumps, no I/O later than without; each seal is in the tree."""
    options = {"icount": True, "kernel": KERNEL_CLOUD, "initrd": INITRD_DISK, "append": "quiet", "memory": 2048, "config": [f"disk_room={ROOM_MIB}"]}
    with golden(DISK_MIB) as image, Node(log=log, disk=f"{image.name},bus=ahci", **options) as n:
        n.boot()
        unfrozen = lap(n, REFERENCE_SECONDS, looked_at)
        frozen = lap(n, SECONDS, sealed)
        for name, value in frozen.items():
            log.write(f"\nwith freezes (without), at most: {name} {value:.0f} ns ({unfrozen[name]:.0f})")
        names = set(points(n))
        check(names == {None, *(f"second-{i}" for i in range(SECONDS - 2))}, f"the tree has {len(names)} points: {sorted(map(str, names))}")
        check(n.ask("freezes")["total"] == SECONDS - 2, "so many freezes have not been")
        later = [f"{name}: {frozen[name]:.0f} ns, without freezes {unfrozen[name]:.0f}" for name in frozen if frozen[name] > unfrozen[name] + MORE]
        check(not later, "with freezes:\n" + "\n".join(later))
        check(not n.run("dmesg | grep -E 'I/O error|blocked for more|stall|nstable' || true"), "the guest's kernel complains")
