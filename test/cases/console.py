# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial line: every byte typed for the guest and every byte of its output arrives, whatever happens meanwhile."""
import hashlib
import random
import re
import string
import subprocess
import time

from cases import case
from node import ESCAPE, GUEST_PROMPT, STASIS_PROMPT, Node, check, boot_medium

PASTE = 65536
# All bytes but Ctrl-], which is the prompt's, and Ctrl-A, which is the emulator harness's.
BYTES = bytes(b for b in range(256) if b not in (0x1D, 0x01))


def _typing(log, emu, cpus, commands, icount=False, burners=0):
    """Short commands, each with an answer that only it has; idle and busy guests, frozen and taken apart between. burners: host programs that compete."""
    rng = random.Random(emu + str(cpus))
    load = [subprocess.Popen(["nice", "sh", "-c", "while :; do :; done"]) for _ in range(burners)]
    try:
        with Node(emu=emu, cpus=cpus, icount=icount, boot=boot_medium(icount), log=log, append="quiet") as n:
            n.boot()
            for i in range(commands):
                if i == commands // 2:
                    n.run("while :; do :; done & true")
                word = "".join(rng.choices(string.ascii_lowercase + string.digits, k=rng.randrange(1, 60)))
                answer = n.run(f"echo {word}", timeout=120)
                check(answer == word, f"command {i}: the guest heard {answer!r} instead of {word!r}")
                if i % 10 == 5:
                    n.stasis("selftest roundtrip" if i % 20 == 5 else "freeze --for 1ms")
            counts = n.ask("status")["console"]
            check(counts["input_lost"] == 0 and counts["input_waiting"] == 0, f"lost input: {counts}")
            n.power_off(timeout=300)
    finally:
        for p in load:
            p.kill()
            p.wait()


@case()
def typing(log):
    _typing(log, "qemu", 1, 200, icount=True)


@case(machine=[("qemu", 1, 5000, True), ("qemu", 1, 5000), ("qemu", 2, 5000), ("bochs", 1, 500), ("bochs", 2, 300)], long=True)
def typing_long(log, machine):
    _typing(log, *machine, burners=1)


def _paste(n, cpus):
    """Binary, to a reader that begins late and asks for patience by RTS; the prompt is visited in the middle."""
    data = bytes(random.Random(cpus).choices(BYTES, k=PASTE))
    n.send(f"stty raw -echo crtscts; echo re''ady; sleep 1; head -c {PASTE} | sha256sum; stty sane -crtscts -echo; echo pas''ted\r")
    n.expect("ready")
    n.send_bytes(data[: PASTE // 2])
    n.send(ESCAPE)
    n.expect(re.escape(STASIS_PROMPT), 120)
    n.stasis_command("selftest roundtrip 3")
    n.send(ESCAPE)
    n.send_bytes(data[PASTE // 2 :])
    n.expect("pasted", timeout=600)
    check(hashlib.sha256(data).hexdigest() in n.before, "the guest got something else")
    n.run("true")
    counts = n.ask("status")["console"]
    check(counts["input_lost"] == 0 and counts["overruns"] == 0, f"lost input: {counts}")


def _frozen(n):
    """What is typed while the guest is frozen waits for the thaw."""
    n.stasis("freeze")
    n.expect("the guest is frozen")
    n.send("echo typed''-while-frozen\r")
    n.send(ESCAPE)
    n.expect(re.escape(STASIS_PROMPT), 60)
    waiting = n.ask_here("status")["console"]["input_waiting"]
    check(waiting == 26, f"{waiting} bytes wait")
    n.stasis_command("thaw")
    n.send(ESCAPE)
    n.expect("typed-while-frozen")
    n.run("true")


LINES = 12000  # of 15 bytes


def _flood(n):
    """Heavy output while the prompt is open: the oldest goes, the rest keeps its order, and nobody waits for the prompt."""
    count = f"for (i = 1; i <= {LINES}; i++) printf \"line %08d.\\n\", i"
    n.send(f"awk 'BEGIN {{ {count} }}' && echo flood''ed >/tmp/flooded; echo al''l\r")
    n.expect("line ")
    n.send(ESCAPE)
    n.expect(re.escape(STASIS_PROMPT), 120)
    deadline = time.monotonic() + 300
    while n.ask_here("status")["console"]["output_lost"] < 1000:
        check(time.monotonic() < deadline, "the guest has stopped printing")
    n.stasis_command("time")
    n.send(ESCAPE)
    n.expect(r"\[stasis: (\d+) bytes of the guest's output were dropped\]")
    lost = int(n.child.match.group(1))
    n.expect("all\r?\n", timeout=300)
    numbers = [int(x) for x in re.findall(r"line (\d{8})\.\r?\n", n.child.before)]
    check(numbers[-1] == LINES, f"the last line is {numbers[-1]}")
    check(numbers == list(range(numbers[0], LINES + 1)), "lines are out of order, or missing")
    check(lost >= 1000, f"{lost} bytes dropped")
    n.expect(re.escape(GUEST_PROMPT))
    check(n.run("cat /tmp/flooded") == "flooded", "the guest's program failed")


def _line(log, emu, cpus, icount=False):
    with Node(emu=emu, cpus=cpus, icount=icount, boot=boot_medium(icount), log=log, append="quiet") as n:
        n.boot()
        n.child.logfile_read = None  # 400 KB of noise
        for part in (lambda: _paste(n, cpus), lambda: _frozen(n), lambda: _flood(n)):
            start = time.monotonic()
            part()
            log.write(f"\n{time.monotonic() - start:.1f} s\n")
        n.power_off(timeout=300)


@case()
def line(log):
    _line(log, "qemu", 2)


@case(machine=[("qemu", 1, True), ("bochs", 1), ("bochs", 2)], long=True)
def line_long(log, machine):
    _line(log, *machine)
