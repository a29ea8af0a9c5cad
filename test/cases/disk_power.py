# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts: whatever a guest has been told is stable is on the store's device when node and device have lost their power."""
import contextlib
import random
import re
import subprocess
import tempfile
import threading

import gptdisk
from cases import case
from images import golden
from nbdserver import VolatileServer
from node import ESCAPE, GUEST_PROMPT, STASIS_PROMPT, Failure, Node, check
from paths import KERNEL_CLOUD, STASIS_STORE

DISK_MIB = 4
STORE_BYTES = 96 << 20  # so small that the cleaner has work
# The power fails in this write or flush of the back end: while the guest writes, or while the node opens its store.
WRITING, OPENING = (60, 1200), (1, 6)
OPENING_ONE_IN = 5
GONE = r"nbd: disk: .*trying again"


class Nbd:
    """The node's own NBD client. A server with FUA has stable what it acknowledged; from one without, FLUSH asks for that."""

    cuts = 20
    fua = (False, True)

    def prepare(self, path):
        pass

    def node(self, log, image, server):
        return Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=768, control="user", disk=image, config=[f"store={server.url}"])


class Nvme:
    """A drive of the machine, whose medium QEMU keeps on the server."""

    cuts = 10
    fua = (False,)

    def prepare(self, path):
        gptdisk.make(path, [gptdisk.STORE], STORE_BYTES)

    def node(self, log, image, server):
        drive = f"if=none,id=medium,format=raw,cache=writeback,file=nbd://127.0.0.1:{server.port}/disk"
        extra = [f"--emu-arg={a}" for a in ("-drive", drive, "-device", "nvme,serial=medium,drive=medium")]
        return Node(log=log, kernel=KERNEL_CLOUD, append="quiet", memory=768, disk=image, config=["store=nvme0"], extra=extra)


PLACES = {"nbd": Nbd(), "nvme": Nvme()}


class Cuts:
    """One store, and a guest that writes to it, cut off again and again."""

    def __init__(self, log, place, seed, image, path, lies):
        self.log, self.place, self.seed, self.image, self.path, self.lies = log, place, seed, image, path, lies
        self.chance = random.Random(seed)
        self.flushed = []  # the last number of each generation
        self.kept = self.lost = 0

    def server(self, cut):
        return VolatileServer(self.path, self.chance.randrange(1 << 32), cut, self.chance.choice(self.place.fua), self.lies)

    def after(self, generation, opening):
        """One boot: what was flushed is there; then the power fails."""
        cut = self.chance.randint(*(OPENING if opening else WRITING))
        self.log.write(f"\n--- cut {generation}: in request {cut}\n")
        with self.server(cut) as server:
            with self.place.node(self.log, self.image, server) as n:
                self.flushed.append(self.written(n, server, generation))
            kept, lost = server.lost()
        self.log.write(f"\n--- {self.flushed[-1]} numbers flushed; of the disk's cache {kept} sectors were kept, {lost} lost\n")
        self.kept, self.lost = self.kept + kept, self.lost + lost
        self.check_store()

    def written(self, n, server, generation):
        """Until the power fails: the last number that the guest says it has flushed."""
        key = [ESCAPE]
        typed = threading.Thread(target=lambda: server.process.wait() and n.send(key[0]))
        typed.start()
        if n.expect([re.escape(GUEST_PROMPT), GONE, re.escape(STASIS_PROMPT)]) or server.has_failed():
            return 0  # before the guest had its disk
        n.quiet_shell()
        self.check_guest(n)
        n.start(f"/tests/seqwrite write /dev/vda {self.seed} {generation}")
        key[0] = "\r"  # answered behind all that the guest had to say until then
        n.expect(rf"seqwrite last {generation} (\d+)\r?\n")
        typed.join()
        last = int(n.child.match[1])
        said = [int(number) for number in re.findall(rf"seqwrite flushed {generation} (\d+)\n", n.before)]
        check(said == list(range(1, len(said) + 1)) and last - 1 <= len(said) <= last, f"{last} numbers flushed, {len(said)} said")
        return last

    def check_guest(self, n):
        words = " ".join(f"{g}:{number}" for g, number in enumerate(self.flushed, 1))
        n.run(f"/tests/seqwrite check /dev/vda {self.seed} {words}", timeout=300)

    def check_store(self):
        command = [STASIS_STORE, "check", self.path, "--golden", self.image]
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.log.write(f"$ {' '.join(command)}\n{r.stdout}")
        check(r.returncode == 0, f"stasis-store check: status {r.returncode}: {r.stdout[-500:]}")

    def at_last(self):
        """Once more without a cut."""
        with self.server(0) as server, self.place.node(self.log, self.image, server) as n:
            n.boot()
            self.check_guest(n)
            n.power_off()
        self.check_store()


@contextlib.contextmanager
def said_with(words):
    try:
        yield
    except Failure as e:
        raise Failure(f"{words}: {e}") from None


def cut_off(log, place, seed, cuts, lies=False):
    with golden(DISK_MIB) as image, tempfile.NamedTemporaryFile(prefix="store-") as store:
        store.truncate(STORE_BYTES)
        place.prepare(store.name)
        c = Cuts(log, place, seed, image.name, store.name, lies)
        for i in range(1, cuts + 1):
            with said_with(f"seed {seed}, cut {i}"):
                c.after(i, i > 1 and i % OPENING_ONE_IN == 0)
        with said_with(f"seed {seed}, after {cuts} cuts"):
            c.at_last()
        return c


@case()
def survives_a_cut(log):
    """A guest writes, fsyncs, and says so; the power of node and drive fails, and what was not flushed is lost in part: all that was said is there."""
    cut_off(log, PLACES["nvme"], 2, 1)


@case(long=True)
def a_lying_disk_is_found_out(log):
    """What the above is worth: with a drive whose FLUSH does nothing, something that was said is found missing."""
    try:
        cut_off(log, PLACES["nvme"], 3, 4, lies=True)
    except Failure as e:
        found = re.search("stasis-store check: |seqwrite check|store=nvme0", str(e))
        check(found, f"a run with a lying drive failed otherwise: {e}")
    else:
        raise Failure("a drive whose FLUSH does nothing lost nothing")


@case(long=True, place=list(PLACES))
def survives_cuts(log, place):
    """The same again and again, with one store; now and then while the node opens it."""
    seed, cuts = 1, PLACES[place].cuts
    c = cut_off(log, PLACES[place], seed, cuts)
    check(sum(c.flushed) > 50 * cuts and c.lost > 0, f"seed {seed}: {sum(c.flushed)} numbers flushed, {c.lost} sectors lost: too few to show anything")
