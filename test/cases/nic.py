# SPDX-License-Identifier: GPL-2.0-or-later
"""An experiment's network card: the guest's stock driver has it to itself, by every kind of interrupt, frozen or not."""
import contextlib
import hashlib
import http.server
import random
import re
import threading

import far
import hub
from cases import case
from node import Node, check
from paths import KERNEL

GATEWAY = "10.0.2.2"
BYTES = 4 << 20
TRACED = 1024  # the exits that a CPU keeps
STATISTICS = 4  # the page of registers that is always trapped: drivers read it every second or two


@contextlib.contextmanager
def server(data):
    """A web server of this host, which the guest finds at the gateway's address; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield s.server_address[1]
        s.shutdown()


def up(n, driver, *options):
    """Loads the driver anew, with these options; its log has no complaint."""
    n.run(f"rmmod {driver}; modprobe {driver} {' '.join(options)} && ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up")
    n.wait_for_link()


def ping(n, count, address=GATEWAY):
    """No reply is missing, and none is there twice."""
    answer = n.run(f"ping -c {count} -i 0.1 {address}", timeout=300)
    check(f"{count} packets transmitted, {count} packets received, 0% packet loss" in answer, f"ping:\n{answer}")


def transfer(n, port, data):
    got = n.run(f"wget -q -O - http://{GATEWAY}:{port}/ | sha256sum", timeout=600).split()[0]
    check(got == hashlib.sha256(data).hexdigest(), "what was transferred is not what was sent")


def registers(n):
    """Where the card has them: first and last byte."""
    return [int(word, 16) for word in n.run("head -n 1 /sys/class/net/eth0/device/resource").split()[:2]]


def without_exits(n, start, end):
    """Of the latest exits, none is at the card's registers but its statistics (AMD-V: the address is in the trace).
    Each character of the console's is some of them, so that nothing is typed first."""
    trace = n.ask(f"trace dump {TRACED}")["trace"]
    faults = [t["info"] - start for t in trace if t["reason"] == "NPF"]
    bad = [hex(f) for f in faults if 0 <= f <= end - start and f // 4096 != STATISTICS]
    check(len(trace) >= TRACED and not bad, f"exits at its registers {bad}")


def frozen(n):
    """Frozen again and again under ping: whatever was under way comes, and it goes on."""
    before = n.ask("freezes")["total"]
    answer = n.stasis("freeze --in 300ms --for 200ms --every 700ms --count 3")
    check(answer.startswith("armed"), f"freeze answers {answer!r}")
    ping(n, 40)
    check(n.ask("freezes")["total"] == before + 3, "there were not three freezes")


def roundtrip(n):
    answer = n.ask("selftest roundtrip")
    check(answer.get("ok"), f"selftest roundtrip: {answer}")
    ping(n, 5)


def interrupts(n, kind, count):
    lines = [line for line in n.run("grep eth0 /proc/interrupts").splitlines() if kind in line]
    check(len(lines) == count, f"{len(lines)} interrupts of kind {kind}, not {count}:\n{lines}")


def only_its_own(n):
    """The card is there with its address, and no other."""
    cards = n.run("cat /sys/bus/pci/devices/*/class").split().count("0x020000")
    check(cards == 1, f"the guest sees {cards} network cards")
    check(n.run("cat /sys/class/net/eth0/address") == "52:54:00:00:01:00", "it has another's address")


def used(n, port, data):
    ping(n, 5)
    where = registers(n)
    transfer(n, port, data)
    if n.emu == "qemu":
        without_exits(n, *where)
    frozen(n)
    roundtrip(n)
    bad = n.run("dmesg | grep -E 'Hang|nobody cared|Reset adapter|transmit queue .* timed out' || true")
    check(not bad, f"the guest's driver complains:\n{bad}")


@case(cpus=[1, 2], long=[1])
def e1000e_on_qemu(log, cpus):
    """MSI-X, and the wire, which the card's MSI stands for. The driver does not trust QEMU's MSI itself: its test of it fails bare, too."""
    data = random.Random(1).randbytes(BYTES)
    with server(data) as port, Node(cpus=cpus, log=log, append="quiet", extra=["--nic", "e1000e"]) as n:
        n.boot()
        only_its_own(n)
        for mode, kind, count in ((2, "PCI-MSI", 3), (0, "IO-APIC", 1)):
            up(n, "e1000e", f"IntMode={mode}")
            interrupts(n, kind, count)
            used(n, port, data)
        n.power_off()


@case(cpus=[1, 2], long=[2])
def e1000_on_qemu(log, cpus):
    """A card that has but the wire."""
    data = random.Random(2).randbytes(BYTES)
    with server(data) as port, Node(cpus=cpus, log=log, append="quiet", extra=["--nic", "e1000"]) as n:
        n.boot()
        only_its_own(n)
        up(n, "e1000")
        interrupts(n, "IO-APIC", 1)
        used(n, port, data)
        n.power_off()


@case(long=True)
def e1000_on_vtx(log):
    """The same under VT-x."""
    data = random.Random(3).randbytes(BYTES // 8)
    with server(data) as port, Node(emu="bochs", kernel=KERNEL, log=log, append="quiet", extra=["--nic", "e1000"]) as n:
        n.boot()
        only_its_own(n)
        up(n, "e1000")
        used(n, port, data)
        n.power_off(timeout=600)


@case()
def without_a_card(log):
    """A key that names no card says so, and the guest boots."""
    with Node(log=log, append="quiet", config=["nic.52:54:00:00:09:09=experiment", "nic.00:1f.0=experiment", "nic.3f:00.0=experiment"]) as n:
        text = n.boot()
        for wanted in (
            r"nic\.52:54:00:00:09:09=experiment: no Intel 82540EM or 82574L has this address: correct the key",
            r"nic\.00:1f\.0=experiment: 8086:2918 can't be passed through: use an",
            r"nic\.3f:00\.0=experiment: there is nothing: correct the key",
        ):
            check(re.search(wanted, text), f"the console does not say {wanted}")
        check(n.run("ls /sys/class/net") == "lo", "the guest sees a network card")
        n.power_off()


# --- what is on the wire at a freeze ---

COUNT, INTERVAL = 200, 0.005


def cards(n):
    return n.ask("nic status")["cards"]


def joined(n, driver, mtu=1500):
    n.run(f"modprobe {driver}; ip addr add {far.NODE_ADDRESS}/24 dev eth0 && ip link set eth0 mtu {mtu} && ip link set eth0 up")
    n.wait_for_link()
    n.run(f"ping -c 3 -i 0.1 {far.ADDRESS}", timeout=300)


def all_caught(n, count):
    """Waits until that many frames are; the card's status."""
    for _ in range(100):
        card = cards(n)[0]
        if card["frames_caught"] >= count:
            break
    return card


def caught(log, n, peer, driver, count, mtu=1500, size=64):
    """A host goes on sending while the node is frozen: every frame comes after the thaw, in order, through an image of the node."""
    joined(n, driver, mtu)
    hub.listen(n)
    n.stasis("freeze")
    sender, stream = peer.stream(count, INTERVAL, size)
    sender.join()
    before = all_caught(n, count)  # selftest resets the card: a frame that came then would be lost
    answer = n.ask("selftest roundtrip")
    check(answer.get("ok"), f"selftest roundtrip: {answer}")
    n.stasis("thaw")
    ping(n, 20, far.ADDRESS)
    after = cards(n)[0]
    v = hub.verdicts(n)[stream]
    log.write(f"\n{before}\n{after}\n{v}\n")
    check(before["phase"] == "catching" and before["frames_caught"] >= count, f"it has not caught them: {before}")
    check(after["phase"] == "running" and after["frames_delivered"] == after["frames_caught"], f"it has not delivered them: {after}")
    check(after["frames_missed"] == after["damaged"] == after["overflows"] == after["left_alone"] == after["tx_stuck"] == 0, f"there was trouble: {after}")
    check(v["frames"] == count and v["missing"] == v["reordered"] == v["duplicate"] == 0, f"the guest has got {v}")


@case(card=["e1000e", "e1000"])
def caught_on_qemu(log, card):
    """What arrives while the node is frozen is caught, and delivered after the thaw."""
    with far.Far("--delay", "5") as peer, Node(log=log, append="quiet", extra=["--nic", f"{card},{peer.netdev}"]) as n:
        n.boot()
        caught(log, n, peer, card, COUNT)
        n.power_off()


@case(long=True, card=[("e1000e", 4000), ("e1000", 8000)])
def large_frames_are_caught(log, card):
    """Frames over the buffers of a split descriptor, and over several descriptors."""
    model, mtu = card
    with far.Far("--delay", "5") as peer, Node(log=log, append="quiet", extra=["--nic", f"{model},{peer.netdev}"]) as n:
        n.boot()
        caught(log, n, peer, model, 100, mtu, mtu - 100)
        n.power_off()


@case(long=True)
def caught_on_vtx(log):
    """The same under VT-x."""
    with far.Far("--delay", "5", kind="udp") as peer, Node(emu="bochs", kernel=KERNEL, log=log, append="quiet", extra=["--nic", f"e1000,{peer.netdev}"]) as n:
        n.boot()
        caught(log, n, peer, "e1000", 50)
        n.power_off(timeout=600)


# What freezes may add to the longest gaps. One or two are the guest's own: its driver's watchdog comes every two seconds.
FREEZES, WORSE_NS, WATCHDOG_NS = 5, 30000, 250000


@case()
def both_ends_frozen(log):
    """Two cards joined by a hub, in deterministic time: a stream and pings through five freezes, none lost, none late."""
    with Node(log=log, append="quiet", icount=True, extra=hub.CARDS) as n:
        n.boot()
        other = hub.join(n)
        reference = hub.streamed(n, other, lambda: None)
        frozen = hub.streamed(n, other, lambda: n.stasis(f"freeze --in 200ms --for 300ms --every 800ms --count {FREEZES}"))
        total = n.ask("freezes")["total"]
        log.write(f"\n{reference}\n{frozen}\n{cards(n)}\n")
        check(total == FREEZES, f"{total} freezes, not {FREEZES}")
        for v in (reference, frozen):
            hub.check_whole(v)
        for rank, worse in (0, WATCHDOG_NS), (FREEZES - 1, WORSE_NS):
            gap, without = frozen["gaps"][rank], reference["gaps"][rank]
            check(gap <= without + worse, f"gap {rank + 1} is {gap} ns, {without} without freezes")
        n.power_off()
