# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs an emulator, relays its serial line to stdin and stdout, and tells from both how the run ended."""
import ctypes
import os
import select
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
LAST_WORDS = 5.0  # seconds for the user to read them
LONGEST_MARK = 64
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """This process gets SIGTERM when its parent ends. Also run in the emulator's process before it starts."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Keyboard:
    """stdin: raw if it is a terminal, and then Ctrl-A x ends the run, and Ctrl-A twice is one for the node."""

    def __init__(self):
        self.fd = sys.stdin.fileno()
        self.terminal = os.isatty(self.fd)
        self.saved = termios.tcgetattr(self.fd) if self.terminal else None
        self.escape = self.ended = False
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
        """Bytes for the node, none at the end of a file; None when the run is to end."""
        try:
            data = os.read(self.fd, 4096)
        except BlockingIOError:
            return b""
        except OSError:
            return None
        self.ended = not data
        if self.ended:
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
        pass_fds=machine.child_fds,
        cwd=machine.run_dir,
        preexec_fn=die_with_parent,
        start_new_session=True,
    )


def _stop(process):
    if process.poll() is None:
        process.kill()
    process.wait()


class Pipe:
    """One direction of the serial line: what was read and could not be written yet. Nobody is ever waited for, or both sides could wait for each other."""

    LIMIT = 1 << 16

    def __init__(self, fd):
        self.fd = fd
        self.waiting = bytearray()
        self.nonblocking = not os.get_blocking(fd)
        os.set_blocking(fd, False)

    def put(self, data):
        self.waiting += data

    def full(self):
        return len(self.waiting) >= self.LIMIT

    def write(self):
        """False if nobody is there any more."""
        try:
            while self.waiting:
                del self.waiting[: os.write(self.fd, self.waiting)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def finish(self):
        """All that is left, if somebody still reads it; and the descriptor, which others may share, as it was."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        end = time.monotonic() + LAST_WORDS
        while self.write() and self.waiting and time.monotonic() < end:
            poll.poll(250)
        os.set_blocking(self.fd, not self.nonblocking)


class Line:
    """The node's serial line, relayed; watches for marks in its output."""

    def __init__(self, machine, keyboard, deadline):
        self.machine, self.keyboard, self.deadline = machine, keyboard, deadline
        self.to_node, self.to_user = Pipe(machine.input_fd), Pipe(sys.stdout.fileno())
        self.watcher = Watcher({PANIC: STATUS_PANIC, FIRMWARE: STATUS_FAILED, **machine.marks})
        self.verdict = None
        # The end of a regular file says nothing, and it can't be polled.
        self.keys = not stat.S_ISREG(os.fstat(keyboard.fd).st_mode)

    def _ready(self):
        """What can be read or written now, as sets of file descriptors."""
        poll = select.poll()
        if not self.to_user.full():
            poll.register(self.machine.output_fd, select.POLLIN)
        if self.keys and not self.to_node.full():
            poll.register(self.keyboard.fd, select.POLLIN)
        # One descriptor may serve both directions.
        if self.to_node.waiting:
            both = self.to_node.fd == self.machine.output_fd and not self.to_user.full()
            poll.register(self.to_node.fd, select.POLLOUT | (select.POLLIN if both else 0))
        if self.to_user.waiting:
            poll.register(self.to_user.fd, select.POLLOUT)
        wait = 0.25 if self.deadline is None else max(0.0, min(0.25, self.deadline - time.monotonic()))
        events = poll.poll(wait * 1000)
        readable = {fd for fd, e in events if e & (select.POLLIN | select.POLLHUP | select.POLLERR)}
        return readable, {fd for fd, e in events if e & (select.POLLOUT | select.POLLERR)}

    def _from_node(self):
        """False when it has ended."""
        try:
            data = os.read(self.machine.output_fd, 65536)
        except BlockingIOError:
            return True
        except OSError:  # a pty whose other side closed
            return False
        self.to_user.put(data)
        found = self.watcher.feed(data)
        if found is not None and self.verdict is None:
            self.verdict = found
            self.deadline = time.monotonic() + PANIC_GRACE
        return bool(data)

    def _from_keys(self):
        """False when the run is to end."""
        data = self.keyboard.read()
        if data is None:
            return False
        self.keys = not self.keyboard.ended
        self.to_node.put(data)
        return True

    def pump(self, process):
        """Relays until something ends the run; its exit status, or None if the emulator ended by itself."""
        while self.deadline is None or time.monotonic() < self.deadline:
            readable, writable = self._ready()
            if self.machine.output_fd in readable and not self._from_node():
                return self.verdict
            if self.keyboard.fd in readable and not self._from_keys():
                return STATUS_FAILED
            if self.to_node.fd in writable:
                self.to_node.write()  # a node that has ended is seen at its output
            if (self.to_user.waiting or self.to_user.fd in writable) and not self.to_user.write():
                return STATUS_FAILED
            if not readable and process.poll() is not None:
                return self.verdict
        return STATUS_TIMEOUT if self.verdict is None else self.verdict


def run(machine, timeout):
    deadline = None if timeout is None else time.monotonic() + timeout
    process = _start(machine)
    try:
        machine.started(process)
        with Keyboard() as keyboard:
            line = Line(machine, keyboard, deadline)
            try:
                verdict = line.pump(process)
            finally:
                line.to_user.finish()
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
