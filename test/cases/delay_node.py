# SPDX-License-Identifier: GPL-2.0-or-later
"""A delay node, Emulab's way to make a link: a bridge with a queue (netem) between two cards, frozen while the queue is full of packets."""

import hub
from cases import case
from node import Node, check
from observe import check_cards
from paths import INITRD_NETWORK

PORT = 7001
RATE, SECONDS = 5500, 2  # datagrams of 258 bytes: more than the link takes
LINK = "delay 20ms rate 10mbit limit 4000"
SPREAD_NS = 1_000_000  # by how much a packet's delay may be another than without freezes
# One kernel plays all three, so that it has one clock: eth1 sends, eth0 and eth2 are bridged, eth3 receives.
CARDS = [word for number in (7, 7, 8, 8) for word in ("--nic", f"e1000e,hubport,hubid={number}")]
BRIDGE = f"""modprobe sch_netem; modprobe bridge
/sbin/ip link add br0 type bridge && /sbin/ip link set eth0 master br0 && /sbin/ip link set eth2 master br0
for i in eth0 eth2 br0; do /sbin/ip link set $i up; done
/sbin/tc qdisc add dev eth2 root netem {LINK}"""


def transferred(n, sender, receiver, during):
    """Each datagram's way from the one to the other (ns, by number); `during` comes when they are under way."""
    hub.begin(n, f"{receiver} /tests/stream receive {PORT} /tmp/each each", "/tmp/received")
    n.run(f"until {receiver} netstat -lnu | grep -q :{PORT}; do usleep 100000; done", timeout=300)
    hub.begin(n, f"{sender} /tests/stream send 10.7.0.2 {PORT} {RATE} {SECONDS}", "/tmp/sent")
    during()
    n.run("while [ ! -s /tmp/sent ]; do usleep 100000; done; cat /tmp/sent", timeout=600)
    n.run("while /sbin/tc -s qdisc show dev eth2 | grep -q 'backlog [1-9]'; do usleep 100000; done", timeout=600)
    n.interrupt("stream")
    received = n.run("cat /tmp/received", timeout=300)
    check(f"received={RATE * SECONDS} lost=0 twice=0 disordered=0 drops=0" in received, f"the receiver says {received!r}")
    return {int(a): int(b) for a, b in (line.split() for line in n.run("cat /tmp/each", timeout=300).splitlines())}


@case(long=True)
def keeps_its_queue(log):
    """Every packet in the queue arrives, with the delay that it has without freezes (deterministic time)."""
    with Node(log=log, append="quiet", icount=True, initrd=INITRD_NETWORK, extra=CARDS) as n:
        n.boot()
        ends = hub.apart(n, "eth1", "10.7.0.1"), hub.apart(n, "eth3", "10.7.0.2")
        for line in BRIDGE.splitlines():
            n.run(line, timeout=300)
        n.run(f"until {ends[0]} /sbin/ping -c 1 -W 2 10.7.0.2 >/dev/null; do :; done", timeout=300)
        reference = transferred(n, *ends, lambda: None)
        frozen = transferred(n, *ends, lambda: n.stasis("freeze --in 300ms --for 300ms --every 700ms --count 4"))
        answer = n.ask("freezes")
        cards = n.ask("nic status")["cards"]
        moved = {i: frozen[i] - reference[i] for i in reference}
        worst = max(moved.values(), key=abs)
        caught = sum(c["frames_caught"] for c in cards)
        log.write(f"\nfreezes {answer['total']}, caught {caught}, ways {min(reference.values())} to {max(reference.values())} ns, moved by {worst} ns at most\n{cards}\n")
        check(answer["total"] == 4, f"{answer['total']} freezes, not 4")
        check(max(reference.values()) > 100_000_000, f"the queue was never long: the longest way is {max(reference.values())} ns")
        check(abs(worst) <= SPREAD_NS, f"a packet's delay has moved by {worst} ns")
        check_cards(cards)
        n.power_off()
