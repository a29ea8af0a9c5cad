# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's disk: a stock driver's view of it, sealed points, and a freeze in the middle of I/O."""
import contextlib
import hashlib
import os
import re
import subprocess
import tempfile

import gptdisk
from cases import case
from images import golden
from nbdserver import NbdServer
from node import ESCAPE, FIRMWARE, STASIS_PROMPT, Node, check
from paths import BUILD, KERNEL_CLOUD, STASIS_STORE

SIZE = 8 << 20
BIND = "/sys/bus/virtio/drivers/virtio_blk"


def sectors(n):
    """The disk is as large as its image, and shows its bytes; the driver has interrupts by messages."""
    check(n.run("cat /sys/block/vda/size") == str(SIZE // 512), "the disk has not the image's size")
    check(n.run("cat /sys/block/vda/serial") == "stasis-disk", "the disk's serial number")
    for sector in (0, 12345, SIZE // 512 - 1):
        text = n.run(f"dd if=/dev/vda bs=512 skip={sector} count=1 2>/dev/null | head -c 16")
        check(text == f"{sector:08d}" * 2, f"sector {sector} reads {text!r}")
    check("PCI-MSI" in n.run("grep virtio0-req /proc/interrupts"), "the disk has no MSI-X")


def write(n, seed):
    """Patterns of several sizes all over the disk; their sum as written."""
    n.run(f"yes {seed} | head -c 70000 >/tmp/pattern")
    for bs, seek in ((512, 999), (4096, 77), (65536, 20)):
        n.run(f"dd if=/tmp/pattern of=/dev/vda bs={bs} seek={seek} conv=notrunc,fsync 2>/dev/null")


def sum_of(n):
    n.run("echo 3 >/proc/sys/vm/drop_caches")
    return n.run("md5sum </dev/vda", timeout=900).split()[0]


def unbind(n):
    n.run(f"echo virtio0 >{BIND}/unbind")


def bind(n):
    n.run(f"echo virtio0 >{BIND}/bind; while [ ! -b /dev/vda ]; do usleep 10000; done")


def points(n):
    return {p["name"]: p for p in n.ask("disk tree")["points"]}


def sealed_points(n):
    """What was sealed can be had back, and what was written since is in a branch of its own."""
    write(n, "one")
    one = sum_of(n)
    check(n.ask("disk seal one").get("ok"), "disk seal")
    check("there is a point" in n.ask("disk seal one")["error"], "two points of one name")
    write(n, "two")
    two = sum_of(n)
    check(one != two, "what was written is not there")
    check("unbind" in n.ask("disk rollback one")["error"], "a disk in use is exchanged")
    unbind(n)
    check(not n.ask("disk status")["in_use"], "the disk is still in use")
    check("no point" in n.ask("disk rollback none")["error"], "a point that is not there")
    check(n.ask("disk branch one two").get("ok"), "disk branch")
    bind(n)
    check(sum_of(n) == one, "after the branch the disk is not what was sealed")
    tree = points(n)
    check(set(tree) == {"one", "two", None} and tree["two"]["parent"] == tree["one"]["id"] == tree[None]["parent"], f"the tree is {tree}")
    write(n, "three")
    unbind(n)
    check(n.ask("disk rollback two").get("ok"), "disk rollback")
    bind(n)
    check(sum_of(n) == two, "the other branch is not what was sealed")
    check(n.ask("disk merge one").get("ok"), "disk merge")
    check(set(points(n)) == {"two", None}, "a merged point is still in the tree")
    check(sum_of(n) == two, "merging changed what a branch shows")


def discarded(n):
    n.run("blkdiscard -o 1048576 -l 1048576 /dev/vda")
    n.run("dd if=/dev/vda bs=1M skip=1 count=1 2>/dev/null | cmp -n 1048576 - /dev/zero")


def roundtrips(n, times):
    """The machine's state is saved, destroyed and loaded while the disk is at work."""
    n.run("dd if=/dev/urandom of=/tmp/much bs=1M count=6 2>/dev/null")
    mark = len(n.transcript)
    n.send(
        "for i in 0 16 32; do dd if=/tmp/much of=/tmp/sent bs=64k skip=$i count=64; dd if=/tmp/sent of=/dev/vda bs=64k seek=16 oflag=direct; "
        "dd if=/dev/vda of=/tmp/back bs=64k skip=16 count=64 iflag=direct; cmp /tmp/sent /tmp/back || echo diff''ers; done 2>/dev/null; echo work''ed\r"
    )
    for _ in range(times):
        check(n.ask("selftest roundtrip").get("ok"), "selftest roundtrip with a disk at work")
    n.expect("work" + "ed", 600)
    check("differs" not in n.transcript[mark:], "a round trip damaged what was on its way to the disk")
    n.expect("guest# ")
    check(not n.run("dmesg | grep -E 'I/O error|needs reset|timeout' || true"), "the guest's driver complains")


@case(long=True)
def in_a_boot(log):
    """Everything that a guest and an operator do with the disk."""
    with golden(SIZE >> 20) as image, Node(icount=True, log=log, append="quiet", disk=image.name, memory=768) as n:
        n.boot()
        sectors(n)
        sealed_points(n)
        discarded(n)
        roundtrips(n, 3)


@case(long=True)
def on_vtx(log):
    """The same driver under VT-x, on two CPUs: a queue for each."""
    with golden(SIZE >> 20) as image, Node(emu="bochs", cpus=2, log=log, append="quiet", disk=image.name, memory=768) as n:
        n.boot()
        check(n.run("ls /sys/block/vda/mq").split() == ["0", "1"], "there is not a queue for each CPU")
        sectors(n)
        write(n, "one")
        n.run("echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=65536 skip=20 count=1 2>/dev/null | cmp -n 65536 - /tmp/pattern")
        check(n.ask("disk seal one").get("ok"), "disk seal")
        check(n.ask("selftest roundtrip").get("ok"), "selftest roundtrip")


def write_and_seal(n):
    """What is sealed as `one` and what was written afterwards, as sums."""
    write(n, "one")
    one = sum_of(n)
    check(n.ask("disk seal one").get("ok"), "disk seal")
    write(n, "two")
    two = sum_of(n)
    check(one != two, "what was written is not there")
    return one, two


def both_are_there(n, one, two):
    check(sum_of(n) == two, "what was written is not there after a restart")
    unbind(n)
    check(n.ask("disk rollback one").get("ok"), "disk rollback")
    bind(n)
    check(sum_of(n) == one, "what was sealed is not there after a restart")


def file_sum(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def on_drives(log, image, golden_bus, store, store_bus, emu="qemu"):
    """A node whose golden image and store lie on disks of the machine."""
    return Node(emu=emu, log=log, kernel=KERNEL_CLOUD, append="quiet", memory=768, disk=f"{image},bus={golden_bus}", store=f"{store},bus={store_bus}")


@case(buses=[("nvme", "ahci"), ("ide", "ide")], long=[("ide", "ide")])
def kept(log, buses):
    """What a guest wrote and flushed, and what was sealed, is there when the node has been switched off and on; the golden image is as it was."""
    restarted(log, *buses)


@case(long=True)
def kept_on_nvme(log):
    """The same, the other way round."""
    restarted(log, "ahci", "nvme")


@case()
def kept_on_vtx(log):
    """The same in Bochs: its IDE controller is that of an i440FX."""
    restarted(log, "ide", "ide", "bochs")


def restarted(log, golden_bus, store_bus, emu="qemu"):
    with golden(SIZE >> 20) as image, tempfile.TemporaryDirectory(prefix="store-") as directory:
        store, before = os.path.join(directory, "store.img"), file_sum(image.name)
        with on_drives(log, image.name, golden_bus, store, store_bus, emu) as n:
            console = n.boot()
            check(f"in {store_bus}" in console and "it has been formatted" in console, "a new store was not formatted")
            sectors(n)
            one, two = write_and_seal(n)
            n.power_off()
        with on_drives(log, image.name, golden_bus, store, store_bus, emu) as n:
            console = n.boot()
            check("it has been formatted" not in console, "a store was formatted a second time")
            both_are_there(n, one, two)
            n.power_off()
        check(file_sum(image.name) == before, "the golden image has been written to")


def over_nbd(log, golden_url, store_url=None, config=()):
    """A node whose golden image (and store) a server on the host has. Time is real here: the network's is."""
    config = [*config, f"golden={golden_url}"] + ([f"store={store_url}"] if store_url else [])
    return Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=768, control="user", config=config)


LOAD = (
    "rm -f /tmp/enough /tmp/errors; i=0; while [ ! -e /tmp/enough ]; do echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null || echo read >>/tmp/errors; "
    "dd if=/tmp/pattern of=/dev/vda bs=4k seek=700 conv=notrunc,fsync 2>/dev/null || echo write >>/tmp/errors; i=$((i+1)); done; echo roun''ds=$i"
)


def interrupted(n, servers):
    """Servers that crash and come back under load: the guest sees none of it."""
    n.run("yes three | head -c 2000000 >/tmp/pattern")
    n.run(f"({LOAD}) >/tmp/load 2>&1 &")
    n.send(ESCAPE)
    n.expect(re.escape(STASIS_PROMPT))
    for server in servers * 2:
        server.kill()
        n.expect("nbd: disk: .*trying again", 120)
        server.start()
        n.expect("nbd: disk: connected", 120)
    n.send(ESCAPE)
    n.run("touch /tmp/enough; wait; grep rounds= /tmp/load")
    n.run("test ! -e /tmp/errors")
    n.run("dd if=/dev/vda bs=4k skip=700 count=488 iflag=direct 2>/dev/null | cmp -n 1998848 - /tmp/pattern")
    check(not n.run("dmesg | grep -E 'I/O error|blocked for more' || true"), "the guest's driver complains")


@case()
def kept_by_nbdkit(log):
    kept_by_servers(log, "nbdkit")


@case(long=True)
def kept_by_qemu_nbd(log):
    kept_by_servers(log, "qemu-nbd")


def kept_by_servers(log, server):
    """Golden image and store lie on NBD servers, which crash and come back: no error reaches the guest, nothing is lost, the image is as it was."""
    with golden(SIZE >> 20) as image, tempfile.NamedTemporaryFile(prefix="store-") as store:
        store.truncate(512 << 20)
        before = file_sum(image.name)
        with NbdServer(image.name, server, read_only=True) as a, NbdServer(store.name, server) as b:
            with over_nbd(log, a.url, b.url) as n:
                check("it has been formatted" in n.boot(), "a new store was not formatted")
                sectors(n)
                one, two = write_and_seal(n)
                interrupted(n, [a, b])
                n.run("dd if=/dev/zero of=/dev/vda bs=4k seek=700 count=489 conv=notrunc,fsync 2>/dev/null")
                two = sum_of(n)
                n.power_off()
            with over_nbd(log, a.url, b.url) as n:
                n.expect("nbd: disk: connected")
                check("it has been formatted" not in n.boot(), "a store was formatted a second time")
                both_are_there(n, one, two)
                n.power_off()
        check(file_sum(image.name) == before, "the golden image has been written to")


@case(long=True)
def waits_for_its_server(log):
    """A server that is away when the node boots is waited for; one that never comes, or has not the export, costs the guest its disk, and a line says why."""
    with golden(SIZE >> 20) as image:
        server = NbdServer(image.name, read_only=True)
        with over_nbd(log, server.url) as n:
            n.expect("nbd: waiting for the server")
            with server:
                n.boot()
                sectors(n)
        with over_nbd(log, server.url) as n:
            text = n.boot()
            check(f"disk: NBD server {server.address}, export disk: the server can't be reached: start it, or correct the key; the guest gets no disk" in text, "no line says that the server is away")
            check("NBD server" in n.ask("disk status")["error"], "disk status does not say why")
        with server, over_nbd(log, server.url + "x") as n:
            check("export diskx: the server refuses the export: correct its name" in n.boot(), "no line says that there is no such export")


def e2fsck(log, store, image, out):
    """What the open delta holds, as a file, has a file system without a fault."""
    for command in (
        [STASIS_STORE, "export", store, out, "--golden", image, "--format", "raw"],
        ["/sbin/e2fsck", "-f", "-n", out],
    ):
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        log.write(f"$ {' '.join(command)}\n{r.stdout}")
        check(r.returncode == 0, f"{command[0]}: status {r.returncode}: {r.stdout[-500:]}")


@contextlib.contextmanager
def places(bus, image, store):
    """Node's options for a golden image and a store: on disks of this bus, or on servers of the host."""
    if bus != "nbd":
        yield {"disk": f"{image},bus={bus}", "store": f"{store},bus={bus}"}
        return
    with open(store, "wb") as f:
        f.truncate(gptdisk.STORE_BYTES)
    with NbdServer(image, read_only=True) as a, NbdServer(store) as b:
        yield {"control": "user", "config": [f"golden={a.url}", f"store={b.url}"]}


SYSTEMS = [("qemu", bus, cpus) for bus in ("nvme", "ahci", "nbd") for cpus in (1, 2)] + [("bochs", "ide", 1), ("bochs", "ide", 2)]


@case(long=True, machine=SYSTEMS)
def a_debian_system(log, machine):
    """A Debian system from a golden image: a package that is installed outlives reboots, the file system stays clean, and the image as it was."""
    emu, bus, cpus = machine
    image = os.path.join(BUILD, "debian", "disk.img")
    check(os.path.exists(image), f"no {image}: run make debian")
    boot = {name: os.path.join(BUILD, "debian", file) for name, file in (("kernel", "vmlinuz"), ("initrd", "initrd"))}
    before = file_sum(image)
    with tempfile.TemporaryDirectory(prefix="debian-", dir=BUILD) as directory:
        store = os.path.join(directory, "store.img")
        options = dict(emu=emu, cpus=cpus, log=log, append="root=/dev/vda rw quiet", memory=1024, timeout=900 if emu == "qemu" else 7200, **boot)
        with places(bus, image, store) as disks, Node(**options, **disks) as n:
            n.boot()
            n.run("dpkg -i /root/hello_*.deb")
            check("Hello, world" in n.run("hello"), "the package does not work")
            check(n.ask("disk seal installed").get("ok"), "disk seal")
            n.send("systemctl reboot\r")
            n.expect(FIRMWARE[emu])
            n.boot()
            check("Hello, world" in n.run("hello"), "the package is gone after a reboot")
            check(n.run("findmnt -n -o FSTYPE,SOURCE /").split() == ["ext4", "/dev/vda"], "/ is not on the disk")
            check(not n.run("dmesg | grep -E 'I/O error|EXT4-fs (error|warning)|blocked for more' || true"), "the kernel complains about the disk")
            n.send("systemctl poweroff\r")
            check(n.wait() == 0, "the guest did not power off")
        e2fsck(log, store, image, os.path.join(directory, "disk.raw"))
        check(file_sum(image) == before, "the golden image has been written to")
