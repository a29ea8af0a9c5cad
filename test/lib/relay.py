# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs an emulator, relays its serial line to stdin and stdout, and tells from both how the run ended."""
import ctypes
import os
import selectors
import signal
import stat
import subprocess
import sys
import termios
import time
import tty

STATUS_OFF = 0
STATUS_PANIC = 1
STATUS_USAGE = 2
STATUS_FAILED = 3
STATUS_TIMEOUT = 124

PANIC = b"stasis: PANIC"
FIRMWARE = b"node: the firmware goes on"
PANIC_GRACE = 1.0  # seconds for the rest of a panic's report
LONGEST_MARK = 64
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """This process gets SIGTERM when its parent ends. Also run in the emulator's process before it starts."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Keyboard:
    """stdin: raw if it is a terminal, and then Ctrl-A x ends the run."""

    def __init__(self):
        self.fd = sys.stdin.fileno()
        self.terminal = os.isatty(self.fd)
        self.saved = termios.tcgetattr(self.fd) if self.terminal else None
        self.escape = False
        # At the end of a pipe nobody is there any more; the end of /dev/null or a file says nothing.
        mode = os.fstat(self.fd).st_mode
        self.end_means_gone = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or self.terminal

    def __enter__(self):
        if self.terminal:
            tty.setraw(self.fd)
        return self

    def __exit__(self, *_):
        if self.terminal:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)

    def read(self):
        """Bytes for the node; None when the run is to end; b"" at the end of a file."""
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            return None
        if not data:
            return None if self.end_means_gone else b""
        if not self.terminal:
            return data
        out = bytearray()
        for b in data:
            if self.escape:
                self.escape = False
                if b in b"xX":
                    return None
                out += bytes([b]) if b == 1 else bytes([1, b])
            elif b == 1:
                self.escape = True
            else:
                out.append(b)
        return bytes(out)


class Watcher:
    """Looks for marks in the console's output, across reads."""

    def __init__(self, marks):
        self.marks = marks
        self.tail = b""

    def feed(self, data):
        text = self.tail + data
        self.tail = text[-LONGEST_MARK:]
        for mark, status in self.marks.items():
            if mark in text:
                return status
        return None


def _start(machine):
    return subprocess.Popen(
        machine.command,
        stdin=machine.child_stdin,
        stdout=machine.child_stdout,
        stderr=machine.child_stderr,
        cwd=machine.run_dir,
        preexec_fn=die_with_parent,
        start_new_session=True,
    )


def _stop(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def _pump(machine, process, keyboard, deadline):
    """Relays until something ends the run; its exit status, or None if the emulator ended by itself."""
    sel = selectors.DefaultSelector()
    sel.register(machine.output_fd, selectors.EVENT_READ, "node")
    try:
        sel.register(keyboard.fd, selectors.EVENT_READ, "keys")
    except PermissionError:
        pass  # a regular file: nothing to relay
    watcher = Watcher({PANIC: STATUS_PANIC, FIRMWARE: STATUS_FAILED, **machine.marks})
    verdict = None
    while True:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return STATUS_TIMEOUT if verdict is None else verdict
        wait = 0.25 if deadline is None else min(0.25, deadline - now)
        for key, _ in sel.select(wait):
            if key.data == "node":
                try:
                    data = os.read(machine.output_fd, 65536)
                except OSError:  # a pty whose other side closed
                    data = b""
                if not data:
                    return verdict
                os.write(sys.stdout.fileno(), data)
                found = watcher.feed(data)
                if found is not None and verdict is None:
                    verdict = found
                    deadline = time.monotonic() + PANIC_GRACE
            else:
                data = keyboard.read()
                if data is None:
                    return STATUS_FAILED
                if not data:
                    sel.unregister(keyboard.fd)
                else:
                    os.write(machine.input_fd, data)
        if process.poll() is not None and not sel.select(0):
            return verdict


def run(machine, timeout):
    deadline = None if timeout is None else time.monotonic() + timeout
    process = _start(machine)
    try:
        machine.started(process)
        with Keyboard() as keyboard:
            verdict = _pump(machine, process, keyboard, deadline)
        if verdict is not None:
            return verdict
        process.wait()
        if machine.powered_off(process.returncode):
            return STATUS_OFF
        print(f"node: the emulator ended with status {process.returncode}", file=sys.stderr)
        sys.stderr.write(machine.last_words())
        return STATUS_FAILED
    finally:
        _stop(process)
