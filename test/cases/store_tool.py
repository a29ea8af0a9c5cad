# SPDX-License-Identifier: GPL-2.0-or-later
"""stasis-store, on the host: what goes in comes out, in every format, and damage is found and named."""
import json
import os
import random
import shutil
import struct
import subprocess
import tempfile

import gptdisk
from cases import case
from node import Failure, check
from paths import STASIS_STORE

MIB = 1 << 20
DISK = 24 * MIB


class Bench:
    """A directory with a golden image and an empty store of 64 MiB; `run` is the tool in it."""

    def __init__(self, log):
        self.log = log
        self.random = random.Random(4)

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="stasis-store-")
        image = bytearray(DISK)
        image[4 * MIB : 12 * MIB] = self.random.randbytes(8 * MIB)
        self.write("golden", image)
        self.fresh("store", 64 * MIB)
        self.run("format store --golden golden")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return bytearray(f.read())

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)

    def fresh(self, name, size):
        with open(self.path(name), "wb") as f:
            f.truncate(size)

    def command(self, argv):
        r = subprocess.run(argv, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120)
        self.log.write(f"$ {' '.join(argv)}\n{r.stdout}")
        return r

    def run(self, arguments, status=0):
        r = self.command([STASIS_STORE, *arguments.split()])
        check(r.returncode == status, f"stasis-store {arguments}: status {r.returncode}, not {status}: {r.stdout}")
        return r.stdout

    def refused(self, arguments, words):
        """Status 2, and these words in what it says, which is returned."""
        out = self.run(arguments, status=2)
        check(words in out, f"stasis-store {arguments}: no '{words}' in: {out}")
        return out

    def qemu_img(self, arguments):
        r = self.command(["qemu-img", *arguments.split()])
        if r.returncode:
            raise Failure(f"qemu-img {arguments}: {r.stdout}")

    def changed(self, source, name, changes):
        """The image `source` with random data and zeros here and there, down to single sectors."""
        image = self.read(source)
        for _ in range(changes):
            n = 512 * self.random.choice([1, 1, 3, 8, 64, 500])
            at = 512 * self.random.randrange((DISK - n) // 512 + 1)
            image[at : at + n] = bytes(n) if self.random.random() < 0.3 else self.random.randbytes(n)
        self.write(name, image)

    def tree(self):
        points = json.loads(self.run("tree store --json"))["points"]
        names = {p["id"]: p["name"] or "(open)" for p in points}
        return {names[p["id"]]: names.get(p["parent"], "golden") for p in points}

    def clean(self, store="store"):
        check(json.loads(self.run(f"check {store} --json"))["clean"], "the store is damaged")


@case()
def round_trips(log):
    """Raw and qcow2 images imported as branches come out of every kind of export as they went in, and QEMU finds nothing wrong with them."""
    with Bench(log) as b:
        b.changed("golden", "a.raw", 60)
        b.changed("a.raw", "b.raw", 60)
        b.changed("golden", "c.raw", 60)
        b.qemu_img("convert -f raw -O qcow2 c.raw c.qcow2")
        b.run("import store a.raw --format raw --golden golden --point a")
        b.run("import store b.raw --format raw --golden golden --point b --onto a")
        b.run("import store c.qcow2 --golden golden --point c")
        check(b.tree() == {"a": "golden", "b": "a", "c": "golden", "(open)": "c"}, f"the tree is {b.tree()}")
        b.clean()
        before = b.read("store")
        for name in "abc":
            b.run(f"export store {name}-out.raw --golden golden --point {name} --format raw")
            check(b.read(f"{name}-out.raw") == b.read(f"{name}.raw"), f"{name} as a raw image is another")
            b.run(f"export store {name}-out.qcow2 --golden golden --point {name}")
            b.qemu_img(f"check {name}-out.qcow2")
            b.qemu_img(f"compare {name}-out.qcow2 {name}.raw")
        files = b.run("export store chain.qcow2 --golden golden --point b --chain").split()
        check(len(files) == 2, f"a chain of two deltas is {files}")
        b.qemu_img(f"check {files[1]}")
        b.qemu_img(f"compare {files[0]} a.raw")
        b.qemu_img(f"compare {files[1]} b.raw")
        check(b.read("store") == before, "looking at a store has written to it")


@case()
def import_takes_only_what_differs(log):
    """One changed sector of an image costs 4 KiB of the store."""
    with Bench(log) as b:
        image = b.read("golden")
        image[5 * MIB : 5 * MIB + 512] = bytes([1]) * 512
        b.write("one", image)
        check("4.0 KiB differ" in b.run("import store one --format raw --golden golden --point one"), "the difference is not 4 KiB")
        point = json.loads(b.run("tree store --json"))["points"][0]
        check(point["bytes"] == 4096, f"the point has {point['bytes']} bytes")


@case()
def compact_gives_space_back(log):
    """What the open delta hides is gone after compaction, from the file, too; what it shows stays."""
    with Bench(log) as b:
        image = bytearray(x ^ 1 for x in b.read("golden"))
        b.write("a.raw", image)
        for at in range(0, DISK, 8192):  # every other block
            image[at : at + 4096] = bytes(x ^ 2 for x in image[at : at + 4096])
        b.write("b.raw", image)
        b.run("import store a.raw --format raw --golden golden --point a")
        b.run("import store b.raw --format raw --golden golden --point b --onto a")
        b.run("merge store b")
        b.run("merge store a")
        before = json.loads(b.run("info store --json"))
        blocks = os.stat(b.path("store")).st_blocks
        b.run("compact store")
        after = json.loads(b.run("info store --json"))
        check(after["free_bytes"] > before["free_bytes"] + DISK // 3, "what a had is still there")
        check(os.stat(b.path("store")).st_blocks * 512 < blocks * 512 - DISK // 3, "the file is as large as before")
        b.clean()
        b.run("export store out.raw --golden golden --format raw")
        check(b.read("out.raw") == image, "compaction has changed the disk")


@case()
def compact_does_not_launder_damage(log):
    """What is damaged is still found afterwards, and compact says that it has met it."""
    with Bench(log) as b:
        image = bytearray(b.random.randbytes(DISK))
        b.write("a.raw", image)
        for at in range(0, DISK, 8192):
            image[at : at + 4096] = b.random.randbytes(4096)
        b.write("b.raw", image)
        b.run("import store a.raw --format raw --golden golden --point a")
        b.run("import store b.raw --format raw --golden golden --point b --onto a")
        b.run("merge store b")
        b.run("merge store a")
        store = b.read("store")
        at = store.find(image[DISK // 2 + 4096 : DISK // 2 + 4096 + 512])  # of a, and still seen
        store[at + 7] ^= 0x80
        b.write("store", store)
        b.run("check store", status=1)
        check("segments hold damaged data" in b.run("compact store", status=1), "nothing was said")
        b.run("check store", status=1)


@case()
def looking_changes_nothing(log):
    """Commands that only look don't write, and no option makes them."""
    with Bench(log) as b:
        before = b.read("store")
        for arguments, status in (("info store", 0), ("tree store", 0), ("check store", 0), ("info store --update", 2)):
            b.run(arguments, status)
            check(b.read("store") == before, f"{arguments} has written to the store")


@case()
def an_export_under_way_is_not_overwritten(log):
    """FILE.part may be another export's."""
    with Bench(log) as b:
        b.write("out.raw.part", b"mine")
        check("--force" in b.run("export store out.raw --golden golden --format raw", status=2), "no advice")
        check(b.read("out.raw.part") == b"mine", "it was overwritten")
        b.run("export store out.raw --golden golden --format raw --force")


def damage(b, at, what=b"\xa5"):
    data = b.read("store")
    data[at : at + len(what)] = bytes(x ^ 0xA5 for x in data[at : at + len(what)])
    b.write("store", data)


def first_data(b):
    """Byte at which the data of the first record with any lie: the log begins at sector 16 (docs/store-format.md)."""
    data, at = b.read("store"), 16 * 512
    while True:
        magic, = struct.unpack_from("<I", data, at)
        kind, _, payload = struct.unpack_from("<HHI", data, at + 32)
        check(magic == 0x6C6F4753, f"no record at byte {at}")
        if kind == 1 and payload:
            return at + 512
        at += 512 * (1 + payload)


@case()
def check_names_the_damage(log):
    """A flipped bit in each structure is found, said where, and which sectors of which point it hits; status 1, or 2 if the store can't be opened with it."""
    with Bench(log) as b:
        b.changed("golden", "a.raw", 20)
        b.run("import store a.raw --format raw --golden golden --point a")
        good = b.read("store")
        data = first_data(b)
        generation = [struct.unpack_from("<Q", good, 4096 * i + 32)[0] for i in (0, 1)]
        best = generation.index(max(generation))
        manifest = struct.unpack_from("<Q", good, 4096 * best + 72)[0] * 512
        page = good.find(struct.pack("<I", 0x67705353))
        for where, status, words in [
            (4096 * (1 - best) + 100, 1, ["superblock"]),
            (manifest + 40, 2, ["manifest: its checksum", "restore the store from a copy"]),
            (page + 100, 1, ["index: run", "checksum is wrong", "Export the points"]),
            (data, 1, ["log: segment 0", "data of record", "disk: sectors", "as of 'a'"]),
            (data - 504, 1, ["no valid record"]),
        ]:
            b.write("store", good)
            damage(b, where)
            out = b.run("check store", status)
            check(status == 1 or "Export" not in out, f"advice that can't be followed: {out}")
            for w in words:
                check(w in out, f"damage at byte {where}: no '{w}' in: {out}")
        b.write("store", good)
        b.clean()


@case()
def bad_input(log):
    """Each mistake gets status 2 and a line that says what to do, and changes nothing."""
    with Bench(log) as b:
        b.fresh("small", MIB)
        b.fresh("other", DISK)
        b.fresh("wrong-size", DISK + MIB)
        b.write("text", b"not a store" * 9999)
        b.changed("golden", "a.raw", 5)
        image = b.read("golden")
        image[0:4096] = b"x" * 4096  # block 0 is a sample
        b.write("changed-golden", image)
        for arguments, words in [
            ("info nowhere", "No such file"),
            ("info text", "there is no store here"),
            ("info store:512", "there is no store here"),
            ("info store --offset 77", "multiple of 512"),
            ("frobnicate store", "no command"),
            ("info store --bogus", "--help"),
            ("export store", "a store and a file"),
            ("export store out.raw", "--golden"),
            ("export store golden --golden golden", "exists"),
            ("export store out --golden golden --format vmdk", "qcow2 or raw"),
            ("export store out --golden golden --point nobody", "no point 'nobody'"),
            ("import store a.raw --golden golden", "--point"),
            ("import store wrong-size --format raw --golden golden --point x", "qemu-img resize"),
            ("import store a.raw --format raw --golden golden --point x --onto nobody", "no point 'nobody'"),
            ("tree store --golden other", "not the one"),
            ("tree store --golden changed-golden", "bring the original back"),
            ("tree store --golden wrong-size", "another image"),
            ("seal store", "a store and a name"),
            ("merge store nobody", "no point 'nobody'"),
            ("rollback store nobody", "no point 'nobody'"),
            ("format store --golden golden", "--force"),
            ("format small --golden golden", "too small"),
            ("format text --golden golden --force", "wiped"),
        ]:
            b.refused(arguments, words)
        check(b.tree() == {"(open)": "golden"}, "a mistake has changed the store")
        b.clean()


@case()
def in_a_partition(log):
    """On a disk with a GPT the store is in the partition of its type, without being told; one without such a partition, or with two, is refused."""
    with Bench(log) as b:
        home = (gptdisk.LINUX_TYPE, "home", 4 * MIB)
        _, first = gptdisk.make(b.path("disk"), [home, gptdisk.STORE], 64 * MIB)
        before = b.read("disk")
        b.run("format disk --golden golden")
        after = b.read("disk")
        check(after[: first * 512] == before[: first * 512] and after != before, "the store is not in its partition")
        b.run("seal disk one")
        check("one" in b.run("tree disk"), "the store is not found again")
        check("one" in b.run(f"tree disk --offset {first * 512}"), "--offset does not lead there")
        gptdisk.make(b.path("foreign"), [home], 64 * MIB)
        check("none of a store's type" in b.run("format foreign --golden golden --force", status=2), "a disk without a store's partition is taken")
        gptdisk.make(b.path("two"), [(gptdisk.STORE_TYPE, "a", 25 * MIB), gptdisk.STORE], 64 * MIB)
        check("--offset says which" in b.run("format two --golden golden", status=2), "one of two partitions is taken")


@case()
def locked(log):
    """A store that QEMU or another stasis-store works on is refused."""
    with Bench(log) as b:
        holder = subprocess.Popen(["flock", "store", "cat"], cwd=b.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holder.stdin.write(b"x\n")
        holder.stdin.flush()
        holder.stdout.read(1)  # it has the lock
        for arguments in ("info store", "compact store"):
            check("in use" in b.run(arguments, status=2), "a locked store is opened")
        holder.stdin.close()
        holder.wait()
        b.run("info store")
        qemu = subprocess.Popen(["qemu-io", "-f", "raw", "store"], cwd=b.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        qemu.stdin.write("length\n")
        qemu.stdin.flush()
        qemu.stdout.readline()  # it has opened the image
        for arguments in ("info store", "compact store"):
            check("in use" in b.run(arguments, status=2), "a store that QEMU writes is opened")
        qemu.stdin.close()
        qemu.wait()
        b.run("compact store")


@case()
def golden_hash(log):
    """A change of the golden image outside of the samples is found by its hash."""
    with Bench(log) as b:
        check("unknown" in b.run("hash store --golden golden"), "a new store knows a hash")
        b.run("hash store --golden golden --update")
        check(json.loads(b.run("hash store --golden golden --json").splitlines()[0])["verdict"] == "matches", "the hash differs")
        image = b.read("golden")
        image[DISK // 64 // 2] ^= 1  # between two sampled blocks
        b.write("golden", image)
        b.run("tree store --golden golden")
        check("differs" in b.run("hash store --golden golden", status=1), "the change is not found")


@case()
def points(log):
    """Sealing, rolling back and merging work offline as they do on a node."""
    with Bench(log) as b:
        b.changed("golden", "a.raw", 10)
        b.run("import store a.raw --format raw --golden golden --point a")
        b.run("seal store b")
        b.run("rollback store a")
        check(b.tree() == {"a": "golden", "b": "a", "(open)": "a"}, f"the tree is {b.tree()}")
        check("several" in b.run("merge store a", status=2), "a point with two children is merged")
        check("is there already" in b.run("seal store b", status=2), "a name is given twice")
        check("'b' is there already" in b.run("rollback store a --keep b", status=2), "a name is given twice")
        b.run("rollback store b --keep c")
        check(b.tree() == {"a": "golden", "b": "a", "c": "a", "(open)": "b"}, f"the tree is {b.tree()}")
        b.run("rollback store a")
        b.run("rollback store b")
        b.run("merge store b")
        check(b.tree() == {"a": "golden", "c": "a", "(open)": "a"}, f"the tree is {b.tree()}")


def file_system(b, name, content):
    """An ext4 of 16 MiB as an image, with two files: one is kept, and the other is `content`."""
    os.makedirs(b.path("root"), exist_ok=True)
    b.write("root/big", content)
    b.write("root/small", b"kept" * 1000)
    b.fresh(name, 16 * MIB)
    e2fsprogs(b, ["mke2fs", "-q", "-F", "-t", "ext4", "-d", "root", name])


def e2fsprogs(b, argv):
    r = b.command([os.path.join("/sbin", argv[0]), *argv[1:]])
    check(r.returncode == 0, f"{argv[0]}: {r.stdout}")


def deleted_file(b, place):
    """A store "s" on the golden image "g", whose open delta has the data of a file that its file system no longer has. place: makes a disk of a file system."""
    file_system(b, "empty.fs", b"")
    file_system(b, "used.fs", b.random.randbytes(6 * MIB))
    shutil.copy(b.path("used.fs"), b.path("deleted.fs"))
    e2fsprogs(b, ["debugfs", "-w", "-R", "rm big", "deleted.fs"])
    for source, name in ("empty.fs", "g"), ("used.fs", "used"), ("deleted.fs", "deleted"):
        b.write(name, place(b.read(source)))
    b.fresh("s", 64 * MIB)
    b.run("format s --golden g")
    b.run("import s used --format raw --golden g --point used")
    b.run("import s deleted --format raw --golden g --point deleted --onto used")
    b.run("merge s used")
    b.run("merge s deleted")


def open_bytes(b):
    return json.loads(b.run("tree s --json"))["points"][-1]["bytes"]


@case()
def free_blocks(log):
    """What a deleted file left in the delta is dropped, the file system stays whole; one that needs its journal is refused."""
    with Bench(log) as b:
        deleted_file(b, bytes)
        before = open_bytes(b)
        check("6.0 MiB of them" in b.run("free s --golden g"), "the file's blocks are not what is dropped")
        b.run("compact s")
        check(open_bytes(b) <= before - 6 * MIB, "the delta is as large as before")
        check("; 0 B of them" in b.run("free s --golden g"), "they are dropped twice")
        b.clean("s")
        b.run("export s out --golden g --format raw")
        e2fsprogs(b, ["e2fsck", "-fn", "out"])
        e2fsprogs(b, ["debugfs", "-R", "dump small small", "out"])
        check(b.read("small") == b"kept" * 1000, "a file that was not deleted has changed")
        check("--partition" in b.run("free store --golden golden", status=2), "random data are a file system")
        shutil.copy(b.path("deleted.fs"), b.path("dirty"))
        e2fsprogs(b, ["debugfs", "-w", "-R", "feature needs_recovery", "dirty"])
        b.run("import s dirty --format raw --golden g --point dirty --keep freed")
        check("boot the guest once" in b.run("free s --golden g", status=2), "a journal that has to be replayed is ignored")


def in_mbr(fs):
    """The second primary partition, at 1 MiB."""
    disk = bytearray(MIB) + fs
    struct.pack_into("<B3sB3sII", disk, 446 + 16, 0, b"", 0x83, b"", 2048, len(fs) // 512)
    disk[510:512] = b"\x55\xaa"
    return disk


def in_gpt(fs):
    """Entry 2 of a GUID partition table, at 1 MiB."""
    disk = bytearray(MIB) + fs
    struct.pack_into("<B3sB3sII", disk, 446, 0, b"", 0xEE, b"", 1, len(disk) // 512 - 1)
    disk[510:512] = b"\x55\xaa"
    struct.pack_into("<8s64xQII", disk, 512, b"EFI PART", 2, 128, 128)
    struct.pack_into("<32xQQ", disk, 1024 + 128, 2048, len(disk) // 512 - 1)
    return disk


@case()
def free_in_partitions(log):
    """The file system is found in a partition of an MBR and of a GUID table; where none is, it says so."""
    for table in in_mbr, in_gpt:
        with Bench(log) as b:
            deleted_file(b, table)
            check("does not exist" in b.run("free s --golden g --partition 3", status=2), "there is a partition 3")
            check("--partition" in b.run("free s --golden g", status=2), "the disk is a file system")
            check("6.0 MiB of them" in b.run("free s --golden g --partition 2"), "the file's blocks are not what is dropped")
