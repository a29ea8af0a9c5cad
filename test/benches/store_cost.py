# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request of 4 KiB to the guest's disk costs with the store in memory, from the guest's system call to its completion; and beside the emulator's own
virtio-blk, by the host's clock."""
import collections
import csv
import re
import statistics

from benches import bench, output
from images import golden
from node import Failure, Node
from paths import KERNEL_CLOUD

DEPTHS = (1, 32)
OPERATIONS = ("write", "read")
# The difference of two runs has neither the program's start nor its end, nor what the shell did.
SHORT, LONG = 200, 1200  # requests of 4 KiB
# At most, for each request: ticks of all (guest, exits, and the slices in which the store works, which no exit is charged with), and in exits alone; and
# what depth 32 may cost of depth 1.
LIMITS = {
    "qemu": {"write": {"all": 57000, "exits": 12700}, "read": {"all": 42500, "exits": 12700}},
    "bochs": {"write": {"all": 54000, "exits": 9900}, "read": {"all": 44000, "exits": 9900}},
}
DEEP_OF_SHALLOW = 1.05
PAIRS, PAIR_REQUESTS = 5, 5000  # of the comparison by the host's clock


def ticks(n, operation, depth, count):
    """From the first submission to the last completion."""
    out = n.run(f"/tests/diskload /dev/vda {operation} {depth} {count}", timeout=1200)
    found = re.search(rf"diskload requests={count} ticks=(\d+)", out)
    if not found:
        raise Failure(f"the guest's program says {out!r}")
    return int(found[1])


def spent(n, operation, depth, count):
    """Ticks, of these in exits; and exits by reason."""
    n.stasis("exits reset")
    figures = collections.Counter({"all": ticks(n, operation, depth, count)})
    exits = n.ask("exits")["exits"]
    figures.update({e["reason"]: e["count"] for e in exits})
    figures["exits"] = sum(e["ticks"] for e in exits)
    return figures


def each(n, operation, depth):
    """For one request."""
    ticks(n, operation, depth, SHORT)  # pages, caches and the store's blocks are there
    figures = spent(n, operation, depth, LONG)
    figures.subtract(spent(n, operation, depth, SHORT))
    return {name: value / (LONG - SHORT) for name, value in figures.items() if value > 0}


def show(emu, costs):
    print(f"ticks for each request of 4 KiB, {LONG - SHORT} requests")
    print(f"{emu:8}{'depth':>6}{'all':>9}{'limit':>9}{'in exits':>10}{'limit':>9}{'exits':>8}")
    for (operation, depth), c in costs.items():
        limits = LIMITS[emu][operation]
        reasons = {name: value for name, value in c.items() if name not in limits}
        listed = ", ".join(f"{r} {v:.2f}" for r, v in sorted(reasons.items(), key=lambda rv: -rv[1]) if v >= 0.01)
        print(f"{operation:8}{depth:>6}{c['all']:>9.0f}{limits['all']:>9}{c['exits']:>10.0f}{limits['exits']:>9}{sum(reasons.values()):>8.2f}  {listed}", flush=True)


def judge(emu, costs):
    missed = []
    for operation, limits in LIMITS[emu].items():
        shallow, deep = (costs[operation, depth]["all"] for depth in DEPTHS)
        if deep > shallow * DEEP_OF_SHALLOW:
            missed.append(f"{emu} {operation}: {deep:.0f} ticks at depth {DEPTHS[1]}, {shallow:.0f} at depth {DEPTHS[0]}")
        missed += [f"{emu} {operation}, depth {d}, {what}: {costs[operation, d][what]:.0f} ticks" for d in DEPTHS for what, limit in limits.items() if costs[operation, d][what] > limit]
    return missed


@bench(*LIMITS)
def cost(emu):
    machine = {"emu": emu, "icount": emu == "qemu", "kernel": KERNEL_CLOUD, "append": "quiet", "memory": 768, "timeout": 1500}
    with golden(16) as image, Node(disk=image.name, config=["disk_room=64"], **machine) as n:
        n.boot()
        costs = {(operation, depth): each(n, operation, depth) for operation in OPERATIONS for depth in DEPTHS}
        n.power_off(600)
    with open(output(f"store-cost-{emu}.csv"), "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["operation", "depth", "ticks", "ticks_in_exits"])
        for key, c in costs.items():
            w.writerow([*key, round(c["all"], 1), round(c["exits"], 1)])
    show(emu, costs)
    return judge(emu, costs)


def by_the_host(**options):
    """Ticks, which are the host's time here, of each operation and depth."""
    with Node(kernel=KERNEL_CLOUD, append="quiet", memory=768, **options) as n:
        n.boot()
        took = {}
        for key in ((operation, depth) for operation in OPERATIONS for depth in DEPTHS):
            ticks(n, *key, SHORT)
            took[key] = ticks(n, *key, PAIR_REQUESTS)
        n.power_off(600)
    return took


@bench()
def beside_plain_virtio():
    """For information: the host's clock judges nothing."""
    with golden(16) as image:
        plain = ["-drive", f"if=none,id=plain,format=raw,snapshot=on,file={image.name}", "-device", "virtio-blk-pci,drive=plain"]
        pairs = [(by_the_host(disk=image.name, config=["disk_room=64"]), by_the_host(bare=True, extra=[f"--emu-arg={a}" for a in plain])) for _ in range(PAIRS)]
    print(f"time of {PAIR_REQUESTS} requests of 4 KiB under Stasis / with the emulator's virtio-blk, of {PAIRS} pairs: median (least to most)")
    for operation, depth in pairs[0][0]:
        ratios = sorted(ours[operation, depth] / plain[operation, depth] for ours, plain in pairs)
        print(f"{operation:8}{depth:>6}  {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return []
