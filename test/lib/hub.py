# SPDX-License-Identifier: GPL-2.0-or-later
"""Two cards of one guest on a hub of QEMU's or on a wire, the second in a network namespace; numbered streams that the guest receives (test/guest/flow.c)."""
from far import PORT
from node import check

CARDS = ["--nic", "e1000e,hubport,hubid=7"] * 2
STREAM = 3000  # datagrams, one a millisecond


def apart(n, card, address):
    """Gives a card to a network namespace of its own; what a command there begins with."""
    inside = f"nsenter -t $(cat /tmp/with-{card}) -n"
    n.run(f"(unshare -n sleep 1000000 & echo $! >/tmp/with-{card})")
    n.run(f"until [ $(readlink /proc/$(cat /tmp/with-{card})/ns/net) != $(readlink /proc/self/ns/net) ]; do usleep 10000; done", timeout=300)
    n.run(f"ip link set {card} netns $(cat /tmp/with-{card})")
    n.run(f"{inside} sh -c 'ip addr add {address}/24 dev {card}; ip link set {card} up'")
    return inside


def join(n, driver="e1000e"):
    """Gives each card its address, the second one in a namespace of its own; what a command there begins with."""
    n.run(f"modprobe {driver}")
    # A bare guest has the control network's card, too, which comes first.
    here, there = n.run(f"cd /sys/bus/pci/drivers/{driver}; for c in 0*; do ls $c/net; done").split()[-2:]
    n.run(f"ip addr add 10.7.0.1/24 dev {here}; ip link set {here} up")
    inside = apart(n, there, "10.7.0.2")
    n.run("until ping -c 1 -W 1 10.7.0.2 >/dev/null; do :; done", timeout=300)
    return inside


def streamed(n, other, during, count=STREAM, interval_us=1000):
    """A stream and pings from one card to the `other` (join); `during` comes when they run. The stream's verdict."""
    listen(n, other)
    begin(n, "ping -c 30 -i 0.1 10.7.0.2", "/tmp/ping")
    begin(n, f"/tests/flow send 10.7.0.2 {PORT} 1 {count} {interval_us}", "/tmp/sent")
    during()
    n.run("while pidof ping || [ ! -s /tmp/sent ]; do usleep 100000; done >/dev/null; cat /tmp/sent", timeout=600)
    pings = n.run("cat /tmp/ping")
    check("30 packets transmitted, 30 packets received, 0% packet loss" in pings, f"ping:\n{pings}")
    return verdicts(n)[1]


def check_whole(v, count=STREAM):
    """All of the stream has arrived, once and in order, by its verdict."""
    check(v["frames"] == count and v["missing"] == v["reordered"] == v["duplicate"] == 0, f"the receiver has got {v}")


def serve(n, other):
    """An iperf3 server behind the other card, for one test."""
    n.run(f"({other} iperf3 -s -1 >/tmp/server &)")
    n.run(f"until {other} netstat -lnt | grep -q :5201; do usleep 100000; done", timeout=300)


def listen(n, space=""):
    begin(n, f"{space} /tests/flow recv {PORT} 0", "/tmp/flow", "listens")


def begin(n, command, output, word=None):
    """Starts it in the background, and waits until it has said the word. What an earlier one has left there is gone before anybody looks."""
    n.run(f"rm -f {output}; ({command} >{output} 2>&1 &)")
    if word:
        n.run(f"until grep -q {word} {output} 2>/dev/null; do usleep 10000; done", timeout=300)


def verdicts(n):
    """What the receiver in the guest says of each stream, once it is told to end; `gaps` are the longest, longest first, `lost` the first numbers that are missing."""
    n.interrupt("flow")
    lines = n.run("cat /tmp/flow").splitlines()
    check(lines and lines[-1] == "flow ok", f"the receiver: {lines}")
    found = {}
    for line in lines[1:-1]:
        kind, stream, *rest = line.split()
        values = {k: int(v) for k, v in (w.split("=") for w in rest)}
        if kind == "flow":
            found[int(stream)] = values | {"gaps": [], "lost": []}
        elif kind == "flow-gap":
            found[int(stream)]["gaps"].append(values["ns"])
        elif kind == "flow-missing":
            found[int(stream)]["lost"].append(values["number"])
    return found
