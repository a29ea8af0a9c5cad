# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of a guest when its disk's back end is away, silent, full, or not what the configuration says."""
import contextlib
import os
import re
import tempfile

import gptdisk
from cases import case
from disk import over_nbd, sectors, write
from images import golden
from nbdserver import NbdServer
from node import ESCAPE, STASIS_PROMPT, Node, check
from paths import KERNEL_CLOUD

SIZE = 8 << 20
READ_ALL = "echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null && echo all''-read"


def says(n, pattern, timeout=60):
    """In a line of the log at the prompt, which is shown anew after it."""
    n.expect(pattern, timeout)
    n.expect(re.escape(STASIS_PROMPT))


def frozen(n):
    return n.ask_here("status")["state"] == "frozen"


@case()
def a_server_away_freezes_the_node(log):
    """disk_errors=freeze: the node freezes itself while the server is away, as often as it is thawed; with the server back the guest has seen nothing."""
    with golden(SIZE >> 20) as image, NbdServer(image.name, read_only=True) as server, over_nbd(log, server.url, config=["disk_errors=freeze"]) as n:
        n.boot()
        sectors(n)
        n.to_prompt()
        server.kill()
        says(n, "nbd: disk: .*trying again")
        n.send(ESCAPE)
        n.send(READ_ALL + "\r")
        n.to_prompt()
        says(n, "disk: the NBD server is away .* the node freezes")
        check(frozen(n), "the node is not frozen")
        n.stasis_command("thaw")
        says(n, "disk: the NBD server is away .* the node freezes")
        check(frozen(n), "the node did not freeze again")
        server.start()
        says(n, "nbd: disk: connected")
        n.stasis_command("thaw")
        n.send(ESCAPE)
        n.expect("all-read", 120)
        n.expect("guest# ")
        check(not n.run("dmesg | grep -E 'I/O error|blocked for more|stall' || true"), "the guest has noticed")
        status = n.ask("disk status")
        check(status["errors"] == "freeze" and status["golden"]["resets"] == 1, f"disk status says {status}")


@case()
def a_silent_server_delays_no_freeze(log):
    """A freeze does not wait for a back end that has not answered; the request is begun anew at the thaw, and what it writes is there."""
    with golden(SIZE >> 20) as image, tempfile.NamedTemporaryFile(prefix="store-") as store:
        store.truncate(256 << 20)
        with NbdServer(store.name) as server, Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=768, control="user", disk=image.name, config=[f"store={server.url}"]) as n:
            n.boot()
            write(n, "one")
            server.pause()
            n.send("dd if=/tmp/pattern of=/dev/vda bs=4096 seek=300 conv=notrunc,fsync 2>/dev/null && echo writ''ten\r")
            n.to_prompt()
            check(any(n.ask_here("disk status")["waiting"] for _ in range(100)), "no request waits for a server that is silent")
            n.stasis_command("freeze")
            ticks = n.ask_here("freezes")["freezes"][-1]["latency_ticks"]
            hz = n.ask_here("time")["tsc_hz"]
            check(ticks < hz / 2, f"the freeze took {ticks / hz} s: it has waited for the server")
            check(n.ask_here("selftest roundtrip").get("ok"), "selftest roundtrip with a request left behind")
            n.stasis_command("thaw")
            n.send(ESCAPE)
            server.go_on()
            n.expect("written", 120)
            n.expect("guest# ")
            n.run("dd if=/dev/vda bs=4096 skip=300 count=17 iflag=direct 2>/dev/null | cmp -n 69632 - /tmp/pattern")
            check(not n.run("dmesg | grep -E 'I/O error|needs reset' || true"), "the guest's driver complains")


@case()
def a_full_room(log):
    """disk_errors=freeze: the node freezes when what is written has no room; with `disk errors report` the guest gets its error after all."""
    with golden(48) as image, Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=768, disk=image.name, config=["disk_room=32", "disk_errors=freeze"]) as n:
        n.boot()
        n.send("dd if=/dev/urandom of=/dev/vda bs=64k count=700 oflag=direct 2>/tmp/error; echo writ''ten=$?\r")
        n.expect("disk: its room is full .* the node freezes", 300)
        n.to_prompt()
        check(frozen(n), "the node is not frozen")
        n.stasis_command("thaw")
        says(n, "disk: its room is full .* the node freezes", 120)
        check(n.ask_here("disk errors report").get("ok"), "disk errors")
        n.stasis_command("thaw")
        n.send(ESCAPE)
        n.expect("written=1", 300)
        n.expect("guest# ")
        check("Input/output error" in n.run("cat /tmp/error"), "the guest got no error")
        check(n.run("dd if=/dev/vda bs=512 skip=98303 count=1 2>/dev/null | head -c 16") == "00098303" * 2, "the disk can't be read any more")


# An error of the emulated disk when a sector is written for the first time; QEMU's docs/devel/blkdebug.rst.
ONE_ERROR = '[inject-error]\nevent = "none"\niotype = "write"\nerrno = "5"\nonce = "on"\nsector = "{sector}"\n'
SECTOR_OF_THE_LOG = 40000  # by then the guest has written some MiB
CHUNK, CHUNKS = 65536, 400
WRITE = f"dd if=/tmp/pattern of=/dev/vda bs={CHUNK} count=1 skip=$i seek=$i oflag=direct conv=notrunc,fsync 2>/dev/null"


@case()
def one_error_is_reported_once(log):
    """disk_errors=report: of the guest's requests one fails as the store's disk does, and when it is made again it does not; all is there after a restart."""
    with golden(32) as image, tempfile.NamedTemporaryFile("w+", prefix="error-") as rule, tempfile.NamedTemporaryFile(prefix="store-") as store:
        gptdisk.make(store.name, [gptdisk.STORE], 256 << 20)
        rule.write(ONE_ERROR.format(sector=SECTOR_OF_THE_LOG))
        rule.flush()
        machine = {"log": log, "kernel": KERNEL_CLOUD, "append": "quiet", "memory": 768, "disk": image.name, "store": f"{store.name},bus=ahci"}
        with Node(extra=["--emu-arg=-set", f"--emu-arg=drive.store.file=blkdebug:{rule.name}:{store.name}"], **machine) as n:
            n.boot()
            n.run(f"dd if=/dev/urandom of=/tmp/pattern bs={CHUNK} count={CHUNKS} 2>/dev/null")
            failed = n.run(f"for i in $(seq 0 {CHUNKS - 1}); do {WRITE} || echo $i; done", timeout=300).split()
            check(len(failed) == 1, f"of {CHUNKS} requests these failed: {failed}")
            n.run(f"i={failed[0]}; {WRITE}")
            written = n.run("md5sum </tmp/pattern")
            n.power_off()
        with Node(**machine) as n:
            n.boot()
            check(n.run(f"head -c {CHUNK * CHUNKS} /dev/vda | md5sum", timeout=300) == written, "not all that was written is there")


# --- what is not as the configuration says: nothing is written, and a line says what to do ---


@contextlib.contextmanager
def refused(log, image, store, why, bus="nvme", place=None):
    """A node that does not start its guest, at the prompt, after it said `why`."""
    config = ["on_no_disk=stop"] + ([f"store={place}"] if place else [])
    with Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=512, disk=f"{image},bus=ahci", store=f"{store},bus={bus}", config=config) as n:
        n.expect("disk: .*" + re.escape(why) + ".*; the guest gets no disk")
        n.expect("the guest does not start without its disk")
        n.to_prompt()
        check(why in n.ask_here("disk status")["error"], "disk status says something else")
        yield n


def accepted(log, image, store):
    """It boots with that store, which was not made just now."""
    with Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=512, disk=f"{image},bus=ahci", store=f"{store},bus=nvme") as n:
        text = n.boot()
        check("formatted" not in text, "the store was made again")
        sectors(n)


def head_of(path, first=0, n=1 << 20):
    with open(path, "rb") as f:
        f.seek(first * gptdisk.SECTOR)
        return f.read(n)


def patch(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


@contextlib.contextmanager
def scene():
    """A golden image, and a name for a store."""
    with golden(SIZE >> 20) as image, tempfile.TemporaryDirectory(prefix="store-") as directory:
        yield image.name, os.path.join(directory, "store.img")


@case()
def an_empty_disk(log):
    """An empty disk gets a partition table and a store by `disk format`, and nothing before; the next boot takes it."""
    with scene() as (image, store):
        with open(store, "wb") as f:
            f.truncate(64 << 20)
        with refused(log, image, store, "nvme0 has no GPT") as n:
            check(not any(head_of(store)), "an empty disk was written to unasked")
            check(n.ask_here("disk format").get("ok"), "disk format")
            check("a store has been made" in n.ask_here("disk status")["error"], "disk status")
        accepted(log, image, store)


@case()
def a_foreign_disk(log):
    """A disk, and a partition, that hold something else are refused by `disk format`, too, and are left alone."""
    with scene() as (image, store):
        with open(store, "wb") as f:
            f.write(b"\0" * 4096 + b"somebody's data")
            f.truncate(64 << 20)
        before = head_of(store)
        with refused(log, image, store, "nvme0 has no GPT") as n:
            check("nvme0 has no GPT" in n.ask_here("disk format")["error"], "another's disk is formatted")
            check("nvme0 has no GPT" in n.ask_here("disk format --erase")["error"], "another's disk is erased")
        check(head_of(store) == before, "another's disk was written to")
        os.unlink(store)
        first, = gptdisk.make(store, [(gptdisk.LINUX_TYPE, "home", None)], 64 << 20)
        with refused(log, image, store, "partition 1 of nvme0 (home) is not of the store's type: nothing is written there", place="nvme0:1") as n:
            check("not of the store's type" in n.ask_here("disk format --erase")["error"], "another's partition is erased")
        check(not any(head_of(store, first)), "another's partition was written to")


def made_store(log, image, store):
    """A store as a node makes it; the first sector of its partition."""
    first, = gptdisk.make(store, [gptdisk.STORE], 64 << 20)
    with Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=512, disk=f"{image},bus=ahci", store=f"{store},bus=nvme") as n:
        n.expect("it has been formatted")
        n.expect("the guest starts")
    return first


@case()
def damaged_superblocks(log):
    """One damaged superblock is no matter; two are said to be damaged; `disk format --erase` makes a new store of it."""
    with scene() as (image, store):
        first = made_store(log, image, store)
        patch(store, first * 512 + 24, b"\xff" * 16)
        accepted(log, image, store)
        patch(store, first * 512 + 24, b"\xff" * 16)
        patch(store, (first + 8) * 512 + 24, b"\xff" * 16)
        with refused(log, image, store, "both superblocks are damaged: restore the store from a copy") as n:
            check("disk format --erase" in n.ask_here("disk format")["error"], "what is there is replaced unasked")
            check(n.ask_here("disk format --erase").get("ok"), "disk format --erase")
        accepted(log, image, store)


@case()
def a_wrong_magic(log):
    """A partition of the store's type that holds no store is not written to unasked."""
    with scene() as (image, store):
        first, = gptdisk.make(store, [gptdisk.STORE], 64 << 20)
        patch(store, first * 512, b"not a store")
        before = head_of(store, first)
        with refused(log, image, store, "there is no store here: format it first (disk format)"):
            pass
        check(head_of(store, first) == before, "what is no store was written to")


@case()
def another_image(log):
    """Deltas are not shown over an image that they were not made for: one that has been changed, or has another size."""
    with scene() as (image, store):
        first = made_store(log, image, store)
        patch(image, 0, b"changed since")
        before = head_of(store, first)
        with refused(log, image, store, "the golden image is not the one that this store was made for, or has been changed: bring the original back"):
            pass
        with golden(2 * SIZE >> 20) as larger, refused(log, larger.name, store, f"the golden image has {2 * SIZE // 512} sectors, the one of this store had {SIZE // 512}: it is another image"):
            pass
        check(head_of(store, first) == before, "a store over another image was written to")
