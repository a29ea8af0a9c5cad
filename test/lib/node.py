# SPDX-License-Identifier: GPL-2.0-or-later
"""A running node for tests: test/node under pexpect, driven by what its console says, never by sleeping."""
import json
import os
import re
import shlex
import signal
import time

import pexpect

from paths import INITRD, KERNEL, KERNEL_CLOUD, ROOT

GUEST_PROMPT = "guest# "
STASIS_PROMPT = "stasis> "
ESCAPE = "\x1d"  # Ctrl-]
# Host seconds from power-on to the guest's prompt, on a busy host. Bochs spends over a minute unpacking a stock kernel.
BOOT_TIMEOUT = {"qemu": 240, "bochs": 900}
SLOWNESS = float(os.environ.get("STASIS_SLOWNESS", "1"))  # of this host: all time-outs are so many times longer
FIRMWARE = {"qemu": "iPXE", "bochs": "BdsDxe: starting"}  # what the console says when the machine starts (again)
UNTIL = 600  # host seconds until an answer is as it should be
APPEND = "console=ttyS0,115200"
QUICK = "cryptomgr.notests"  # the kernel's tests of its ciphers are half of all that is executed until the shell is there
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]")
LOG_LINE = re.compile(r"\nstasis: \[[^\n]*\n")
TROUBLE = re.compile(r"\[Firmware Bug\]|unchecked MSR|[Uu]nstable|WARNING:|BUG:|Oops|Call Trace|soft lockup|rcu_.*stall")


class Failure(Exception):
    """A test's expectation does not hold."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def boot_medium(icount):
    """test/node's --boot: iPXE waits for two seconds in all, which is half a minute of the host under --icount."""
    return "esp" if icount else None


def usual_kernel(emu):
    return KERNEL_CLOUD if emu == "bochs" else KERNEL


class Node:
    """One run of test/node. Use as a context manager: leaving it ends the emulator."""

    def __init__(self, emu="qemu", kernel=None, initrd=INITRD, append="", quick=True, config=(), timeout=None, extra=(), log=None, **options):
        self.emu = emu
        self.patience = timeout or BOOT_TIMEOUT[emu]
        kernel = kernel or usual_kernel(emu)
        words = (APPEND, QUICK, append) if quick else (APPEND, append)
        args = ["--emu", emu, "--kernel", kernel, "--initrd", initrd, "--append", " ".join(filter(None, words))]
        for c in config:
            args += ["--config", c]
        for name, value in options.items():
            option = "--" + name.replace("_", "-")
            if value is True:
                args.append(option)
            elif value not in (None, False):
                args += [option, str(value)]
        args += extra
        command = os.path.join(ROOT, "test", "node")
        self.command = shlex.join([command] + args)
        self.child = pexpect.spawn(command, args, timeout=self.patience, encoding="utf-8", codec_errors="replace", maxread=65536)
        self.child.delaybeforesend = None
        self.child.logfile_read = log
        self.transcript = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.isalive():
            self.child.kill(signal.SIGTERM)  # it takes its emulator and its files with it
            try:
                self.child.expect(pexpect.EOF, timeout=10)
            except pexpect.TIMEOUT:
                pass
        self.child.close(force=True)

    # --- what the console says ---
    def expect(self, pattern, timeout=None):
        """Waits for a regular expression (or a list: returns which); the text before it is kept in `before`."""
        try:
            which = self.child.expect(pattern, timeout=(timeout or self.patience) * SLOWNESS)
        except pexpect.TIMEOUT:
            raise Failure(f"no {pattern!r} within {timeout or self.patience} s; the console ends with:\n{self._end()}") from None
        except pexpect.EOF:
            raise Failure(f"the run ended (status {self.wait()}) before {pattern!r}; the console ends with:\n{self._end()}") from None
        self.transcript += self.child.before + str(self.child.after)
        self.before = plain(self.child.before)
        return which

    def _end(self, size=2000):
        """The end of what was printed, after the latest that Stasis said before that."""
        text = plain(self.child.before or "")
        said = [line for line in text[:-size].splitlines() if line.startswith("stasis: [")]
        return "\n".join(said[-12:] + [text[-size:]])

    def boot(self, timeout=None):
        """To the guest's shell; returns everything on the console so far."""
        self.expect(re.escape(GUEST_PROMPT), timeout)
        self.quiet_shell()
        return plain(self.transcript)

    def quiet_shell(self):
        # The kernel's late messages would land between commands and answers.
        self.run("dmesg -n 1; stty -echo")

    # --- talking to the guest ---
    def send(self, text):
        self.child.send(text)

    def send_bytes(self, data):
        """As they are; all but Ctrl-A, which test/node takes."""
        while data:
            data = data[os.write(self.child.child_fd, data) :]

    def start(self, command):
        """Gives a command to the guest's shell; `finish` must follow. Nothing may run behind a prompt: busybox's shell leaves when a child ends then."""
        self._sequence = getattr(self, "_sequence", 0) + 1
        self._command = command
        # Quotes keep the echoed command from looking like its own answer.
        separator = "" if command.endswith("&") else ";"
        self.child.send(f"{command}{separator} echo \"\"done''-{self._sequence}=$?\r")

    def finish(self, timeout=None, status=0):
        """Waits for the end of a command; its output. Fails if its exit status is another (None: any)."""
        if self.expect([rf"done-{self._sequence}=(\d+)\r?\n", "reset: triple fault"], timeout) == 1:
            raise Failure(f"the guest died in {self._command!r}:\n{self._end(6000)}")
        output, got = self.before, int(self.child.match.group(1))
        self.expect(re.escape(GUEST_PROMPT), timeout)
        if status is not None and got != status:
            raise Failure(f"guest command {self._command!r} exited with {got}, wanted {status}:\n{output}")
        lines = output.splitlines()
        if lines and "done''" in lines[0]:
            lines = lines[1:]
        return "\n".join(lines).strip()

    def run(self, command, timeout=None, status=0):
        """Runs a shell command in the guest; its output. Fails if its exit status is another (None: any)."""
        self.start(command)
        return self.finish(timeout, status)

    def interrupt(self, program):
        """Ends a program in the guest as Ctrl-C would, and waits for its end."""
        self.run(f"kill -INT $(pidof {program}); while pidof {program} >/dev/null; do usleep 10000; done", timeout=300)

    def wait_for_link(self):
        """Until the guest's card has one; it has been set up."""
        carrier = "[ $(cat /sys/class/net/eth0/carrier) = 1 ]"
        self.run(f"for i in $(seq 200); do {carrier} && break; usleep 50000; done; {carrier}", timeout=300)

    # --- talking to Stasis ---
    def to_prompt(self, timeout=None):
        self.child.send(ESCAPE)
        self.expect(re.escape(STASIS_PROMPT), timeout)

    def stasis(self, command, timeout=60):
        """Switches to the prompt, gives a command, switches back; the command's output."""
        self.to_prompt(timeout)
        output = self.stasis_command(command, timeout)
        self.child.send(ESCAPE)
        return output

    def stasis_command(self, command, timeout=60):
        """At the prompt already. What the log says there meanwhile is not the command's."""
        self.child.send(command + "\r")
        self.expect(re.escape(STASIS_PROMPT), timeout)
        while command not in self.before and LOG_LINE.search(self.before):  # the prompt is drawn once more after such a line
            self.expect(re.escape(STASIS_PROMPT), timeout)
        lines = LOG_LINE.sub("", self.before).splitlines()
        return "\n".join(lines[1:]).strip()  # the first is the echoed command

    def ask(self, command):
        """From the guest: what the command answers with --json."""
        return json.loads(self.stasis(f"{command} --json", 600))

    def ask_here(self, command):
        """The same at the prompt already."""
        return json.loads(self.stasis_command(f"{command} --json", 600))

    def until(self, command, there, pause=0):
        """Asks at the prompt until the answer is as it should be, and returns it. Each question costs the guest some time: `pause` (host seconds) between them."""
        end = time.monotonic() + UNTIL * SLOWNESS
        while not there(answer := self.ask_here(command)):
            check(time.monotonic() < end, f"{command} still answers {answer}")
            time.sleep(pause)
        return answer

    # --- the end ---
    def wait(self, timeout=None):
        """Until the run is over; its exit status."""
        try:
            self.child.expect(pexpect.EOF, timeout=(timeout or self.patience) * SLOWNESS)
            self.transcript += self.child.before
        except pexpect.TIMEOUT:
            raise Failure(f"the node is still running; the console ends with:\n{self._end()}") from None
        self.child.close()
        return self.child.exitstatus

    def power_off(self, timeout=120):
        self.child.send("poweroff -f\r")
        status = self.wait(timeout)
        check(status == 0, f"exit status {status} after the guest's power-off, wanted 0")


def plain(text):
    return TERMINAL_CODES.sub("", text).replace("\r", "")


def trouble(dmesg):
    """The lines of a kernel log that a healthy machine does not have, without their time stamps."""
    return [re.sub(r"^\[ *[0-9.]+\] *", "", line) for line in dmesg.splitlines() if TROUBLE.search(line)]
