# SPDX-License-Identifier: GPL-2.0-or-later
"""Two e1000e of one guest on a hub of QEMU's, the second in a network namespace; numbered streams that the guest receives (test/guest/flow.c)."""
from far import PORT
from node import check

CARDS = ["--nic", "e1000e,hubport,hubid=7"] * 2
JOIN = """(unshare -n sleep 1000000 & echo $! >/tmp/other)
modprobe e1000e
while ! ip link set eth1 netns $(cat /tmp/other); do usleep 10000; done
ip addr add 10.7.0.1/24 dev eth0; ip link set eth0 up
nsenter -t $(cat /tmp/other) -n sh -c 'ip addr add 10.7.0.2/24 dev eth1; ip link set eth1 up'
until ping -c 1 -W 1 10.7.0.2 >/dev/null; do :; done"""
STREAM = 3000  # datagrams, one a millisecond


def join(n):
    for line in JOIN.splitlines():
        n.run(line, timeout=300)


def streamed(n, during):
    """A stream and pings from one card to the other, deterministic time; `during` comes when they run. The stream's verdict."""
    listen(n, "nsenter -t $(cat /tmp/other) -n")
    n.run("(ping -c 30 -i 0.1 10.7.0.2 >/tmp/ping &)")
    n.run(f"(/tests/flow send 10.7.0.2 {PORT} 1 {STREAM} 1000 >/tmp/sent &)")
    during()
    n.run("while pidof ping || [ ! -s /tmp/sent ]; do usleep 100000; done >/dev/null; cat /tmp/sent", timeout=600)
    pings = n.run("cat /tmp/ping")
    check("30 packets transmitted, 30 packets received, 0% packet loss" in pings, f"ping:\n{pings}")
    return verdicts(n)[1]


def listen(n, space=""):
    n.run(f"{space} /tests/flow recv {PORT} 0 >/tmp/flow &")
    n.run("until grep -q listens /tmp/flow; do usleep 10000; done")


def verdicts(n):
    """What the receiver in the guest says of each stream, once it is told to end."""
    n.run("kill -INT $(pidof flow); while pidof flow >/dev/null; do usleep 10000; done", timeout=300)
    lines = n.run("cat /tmp/flow").splitlines()
    check(lines and lines[-1] == "flow ok", f"the receiver: {lines}")
    return {int(line.split()[1]): {k: int(v) for k, v in (w.split("=") for w in line.split()[2:])} for line in lines[1:-1] if line.startswith("flow ")}
