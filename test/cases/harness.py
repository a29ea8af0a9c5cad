# SPDX-License-Identifier: GPL-2.0-or-later
"""test/node itself: its exit statuses, what it says to wrong options, and that it relays every byte. No emulator runs long."""
import hashlib
import os
import signal
import subprocess
import sys
import threading

from cases import case
from node import check
from paths import INITRD, KERNEL, ROOT

NODE = os.path.join(ROOT, "test", "node")
LIB = os.path.join(ROOT, "test", "lib")
GOOD = ["--kernel", KERNEL, "--initrd", INITRD]

# An emulator that does what a test says: relay.run() with a Python program as the machine.
FAKE = """
import sys, subprocess
sys.path.insert(0, {lib!r})
import relay

class Machine:
    command = [sys.executable, "-c", {program!r}]
    marks = {{}}
    child_stdin = child_stdout = subprocess.PIPE
    child_stderr = None
    run_dir = "/"
    child_fds = ()
    def started(self, process):
        self.output_fd, self.input_fd = process.stdout.fileno(), process.stdin.fileno()
    def powered_off(self, status):
        return status == 0
    def last_words(self):
        return "the emulator's last words"

sys.exit(relay.run(Machine(), {timeout}))
"""


def fake(program, keys=None, timeout=60, end=False):
    """Runs such an emulator; its status, output and errors. keys: on stdin, a pipe that stays open. end: SIGTERM once it prints something."""
    command = [sys.executable, "-c", FAKE.format(lib=LIB, program=program, timeout=timeout)]
    stdin = subprocess.DEVNULL if keys is None else subprocess.PIPE
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        feeder = threading.Thread(target=lambda: (p.stdin.write(keys), p.stdin.flush()) if keys else None)
        feeder.start()
        out = b""
        if end:
            out = p.stdout.read(1)
            p.terminate()
        out += p.stdout.read()
        err = p.stderr.read().decode(errors="replace")
        feeder.join()
        return p.wait(), out, err


@case()
def statuses(log):
    """Each end of a run has its exit status."""
    wait = "; sys.stdout.flush(); sys.stdin.read()"
    for what, program, status in (
        ("power-off", "print('bye')", 0),
        ("panic", "import sys; print('stasis: PANIC: x')" + wait, 1),
        ("panic in two pieces", "import sys, os, time; os.write(1, b'stasis: PA'); time.sleep(0.5); os.write(1, b'NIC: x')" + wait, 1),
        ("firmware", "import sys; print('node: the firmware goes on')" + wait, 3),
        ("failure", "import sys; sys.exit(5)", 3),
    ):
        got, out, err = fake(program)
        log.write(f"{what}: {got}\n{out.decode()}{err}")
        check(got == status, f"{what}: exit status {got}, wanted {status}: {err}")
        check((status == 3 and what == "failure") == ("last words" in err), f"{what}: stderr is {err!r}")
    got, _, err = fake("import sys; sys.stdin.read()", timeout=0.5)
    check(got == 124, f"time-out: exit status {got}: {err}")
    got, _, err = fake("import sys; print('up')" + wait, end=True)
    check(got not in (0, 1, 124), f"a run that was ended: exit status {got}: {err}")


@case()
def every_byte(log):
    """A megabyte each way at once: neither side waits for the other, nothing is lost."""
    size = 1 << 20
    keys = bytes(i * 7 & 0xFF for i in range(size))
    # It writes all before it reads anything.
    program = f"""
import sys, os, hashlib
sys.stdout.buffer.write(bytes(i * 11 & 0xff for i in range({size}))); sys.stdout.flush()
data = sys.stdin.buffer.read({size})
print(hashlib.sha256(data).hexdigest())
"""
    status, out, err = fake(program, keys)
    check(status == 0, f"exit status {status}: {err}")
    check(out[:size] == bytes(i * 11 & 0xFF for i in range(size)), "the node's output is damaged")
    check(out[size:].strip().decode() == hashlib.sha256(keys).hexdigest(), "what was typed is damaged")


def node(*options):
    r = subprocess.run([NODE, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=120)
    return r.returncode, r.stderr


WRONG = [
    ([], "required: --kernel, --initrd"),
    (["--kernel", "/nowhere", "--initrd", INITRD], "--kernel /nowhere: no such file"),
    ([*GOOD, "--emu", "vmware"], "--emu"),
    ([*GOOD, "--cpus", "0"], "--cpus"),
    ([*GOOD, "--cpus", "two"], "--cpus"),
    ([*GOOD, "--memory", "16"], "--memory"),
    ([*GOOD, "--icount", "--cpus", "2"], "one CPU"),
    ([*GOOD, "--icount", "--emu", "bochs"], "deterministic anyway"),
    ([*GOOD, "--emu", "bochs", "--boot", "ipxe"], "ESP only"),
    ([*GOOD, "--emu", "bochs", "--accel", "kvm"], "QEMU"),
    ([*GOOD, "--config", "novalue"], "KEY=VALUE"),
    ([*GOOD, "--append", "two\nlines"], "one line"),
    ([*GOOD, "--timeout", "0"], "--timeout"),
    ([*GOOD, "--image", "/nowhere"], "run make"),
    ([*GOOD, "--before", "/nowhere"], "--boot esp"),
    ([*GOOD, "--frobnicate"], "--frobnicate"),
]


@case()
def wrong_options(log):
    """Status 2 and a line that says what is wrong."""
    for options, says in WRONG:
        status, err = node(*options)
        log.write(f"{options}: {status}\n{err}")
        check(status == 2, f"{options}: exit status {status}: {err}")
        check(says in err.splitlines()[-1], f"{options}: no {says!r} in: {err}")


@case()
def time_out(log):
    """The time runs out while the firmware starts; nothing is left behind. Without nested virtualization --accel kvm says so, and TCG runs."""
    status, err = node(*GOOD, "--timeout", "1", "--accel", "kvm")
    log.write(err)
    check(status == 124, f"exit status {status}: {err}")
    check(err == "" or "TCG instead" in err, f"stderr is {err!r}")


@case()
def ended_by_a_signal(log):
    """QEMU ends with status 0 then; the node did not power off."""
    command = [NODE, *GOOD]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        check(p.stdout.read(1), "no firmware")
        with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
            os.kill(int(f.read().split()[0]), signal.SIGTERM)
        p.stdout.read()
        err = p.stderr.read().decode(errors="replace")
        log.write(err)
        check(p.wait() == 3, f"exit status {p.returncode}: {err}")
