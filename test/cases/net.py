# SPDX-License-Identifier: GPL-2.0-or-later
"""The control network: the hypervisor's own card, its addresses, what a stranger may send, and that the guest sees nothing of it."""
import random
import struct

from cases import case
from node import Node, check
from peer import BROADCAST, IPV4, NODE_IP, PEER_IP, PEER_MAC, UDP, ARP, Peer, ethernet, ip, udp

SYSLOG = "syslog=10.9.0.1"


def status(n):
    return n.ask("net status")


def unseen(n):
    """No network function on the guest's PCI bus, no interface but lo."""
    classes = n.run("cat /sys/bus/pci/devices/*/class").split()
    check(not [c for c in classes if c.startswith("0x02")], f"the guest sees a network card: {classes}")
    check(n.run("ls /sys/class/net") == "lo", "the guest has a network interface")


def leased(n):
    s = status(n)
    check(s["lease"] == "bound" and s["ip"] == "10.9.0.77" and s["prefix"] == 24 and s["gateway"] == "10.9.0.1", f"the lease is {s}")
    check(s["link"] and not s["failed"] and s["resets"] == 0, f"the card is not well: {s}")
    return s


@case(card=["e1000e", "e1000", "virtio-net-pci"])
def lives(log, card):
    """An address by DHCP, answers to pings of all sizes, each line of the log to syslog; while the guest runs, and while it is frozen."""
    with Peer() as peer, Node(log=log, append="quiet", control=peer.netdev, control_card=card, config=[SYSLOG]) as n:
        n.boot()
        s = leased(n)
        check(s["wired"] != "polled", "no interrupt was found for the card")
        for i, size in enumerate((0, 1, 56, 1000, 1472)):
            peer.ping(i, size)
        peer.wait("the log", lambda: any("the guest starts" in line for line in peer.syslog))
        lines = [line.partition(" - - - ") for line in peer.syslog]
        check(all(head.startswith("<134>1 20") and head.endswith("Z 10.9.0.77 stasis") for head, _, _ in lines if "error" not in head), f"not RFC 5424: {lines}")
        texts = [text for _, _, text in lines]
        check(len(texts) == len(set(texts)), "a line of the log was sent twice")
        logged = [line.partition("] ")[2] for line in n.stasis("log").splitlines()]
        check(texts == logged[: len(texts)], f"syslog is not the log: {texts}")
        unseen(n)
        n.stasis("freeze")
        peer.ping(100)
        check(n.ask("status")["state"] == "frozen", "a ping has ended the freeze")
        n.stasis("thaw")
        check(n.run("echo alive") == "alive", "the guest does not go on")
        check(status(n)["interrupts"] > 0, "the card has never interrupted")
        n.power_off()


@case()
def static_address(log):
    """ip= and gateway=: no DHCP request is sent."""
    with Peer() as peer, Node(log=log, append="quiet", control=peer.netdev, config=["ip=10.9.0.77/24", "gateway=10.9.0.1", SYSLOG]) as n:
        n.boot()
        peer.ping(1)
        peer.wait("the log", lambda: any("the guest starts" in line for line in peer.syslog))
        s = status(n)
        check(not s["dhcp"] and s["lease"] == "none" and s["ip"] == "10.9.0.77" and s["gateway"] == "10.9.0.1", f"the address is {s}")
        check(peer.requests == 0, "an address was asked for")
        n.power_off()


def hostile_frames(peer, seed):
    """Whatever a stranger can think of, most of it damaged in some way."""
    r = random.Random(seed)
    to = peer.node_mac

    def anything(n):
        return r.randbytes(r.randrange(n))

    def damaged(frame):
        frame = bytearray(frame)
        for _ in range(r.randrange(1, 6)):
            frame[r.randrange(12, len(frame))] = r.randrange(256)
        return bytes(frame[: r.randrange(14, len(frame) + 1)])

    makers = [
        lambda: to + PEER_MAC + anything(1500),
        lambda: ethernet(BROADCAST, r.choice((ARP, IPV4, 0x86DD, 0x8100, r.randrange(65536))), anything(1400)),
        lambda: ethernet(to, ARP, struct.pack("!HHBBH", 1, 0x800, 6, 4, r.randrange(4)) + r.randbytes(20)),
        lambda: ethernet(to, IPV4, ip(r.choice((1, 2, 6, 17, r.randrange(256))), r.randbytes(4), NODE_IP, anything(1400))),
        lambda: ethernet(to, IPV4, ip(UDP, PEER_IP, NODE_IP, udp(r.randrange(65536), r.choice((67, 68, 319, 514)), anything(1200)))),
        lambda: damaged(ethernet(to, IPV4, ip(UDP, PEER_IP, NODE_IP, udp(67, 68, r.randbytes(236) + bytes.fromhex("63825363") + anything(300))))),
        lambda: damaged(ethernet(to, IPV4, ip(6, PEER_IP, NODE_IP, struct.pack("!HHIIHHHH", 9, r.randrange(65536), 1, 1, r.randrange(65536), 9, 0, 0) + anything(40)))),
        lambda: damaged(ethernet(to, IPV4, ip(2, PEER_IP, NODE_IP, anything(60)))),
        # fragments that overlap, or never end
        lambda: ethernet(to, IPV4, struct.pack("!BBHHHBBH4s4s", 0x45, 0, 100, r.randrange(4), 0x2000 | r.randrange(8191), 64, 17, 0, PEER_IP, NODE_IP) + r.randbytes(80)),
        lambda: bytes(r.randrange(1, 14)),  # of none QEMU takes for the end
    ]
    return [r.choice(makers)() for _ in range(20000)]


@case()
def hostile(log):
    """20,000 damaged and senseless frames as fast as they go: the node lives, keeps its address, and answers afterwards."""
    with Peer() as peer, Node(log=log, append="quiet", control=peer.netdev) as n:
        n.boot()
        peer.ping(1)
        for frame in hostile_frames(peer, 1):
            peer.send(frame)
        peer.ping(2)
        s = leased(n)
        check(s["rx_frames"] > 10000, f"the frames did not arrive: {s}")
        check(n.run("echo alive") == "alive", "the guest does not answer")
        n.power_off()


@case()
def on_bochs(log):
    """VT-x and the emulator's 82540EM, whose wire is found by trying: a lease from its own server; the guest sees no card."""
    with Node(emu="bochs", log=log, append="quiet", control="slirp") as n:
        n.boot()
        s = status(n)
        check(s["model"] == "82540EM" and s["wired"] == "intx" and s["interrupts"] > 0, f"the card is {s}")
        check(s["lease"] == "bound" and s["ip"].startswith("10.0.2."), f"the lease is {s}")
        unseen(n)
        check(n.ask("selftest roundtrip").get("ok"), "selftest roundtrip")
        n.power_off(timeout=300)


@case()
def no_such_card(log):
    """A key that no card is what it asks for: an error that says so, and a node that runs."""
    with Node(log=log, append="quiet", config=["nic.52:54:00:aa:bb:cc=control"]) as n:
        n.boot()
        text = n.stasis("log")
        check("no card is what nic.WHICH=control asks for" in text and "52:54:00:00:00:01" in text, f"the log says {text}")
        check("nic.WHICH=control" in n.stasis("net status"), "net status on a node without a control card")
        n.power_off()
