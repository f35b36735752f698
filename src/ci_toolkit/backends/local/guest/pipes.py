"""The two pipes that a long-lived kernel prints into; between its process and an `Output`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
import time
from collections.abc import Iterable

from output import Output

_PIECE = 1024 * 1024
_SET_PIPE_SIZE = 1031
_KEPT_BETWEEN_CALLS = 64 * 1024


class Pipes:
    """The stdout and stderr of a kernel's process, read by a thread of their own.

    What is printed while no output is attached is kept, up to 64 KiB, for the next one.

    Attributes:
        stdout_fd: Write end for `Popen`; see `started`.
        stderr_fd: Write end for `Popen`; see `started`.
    """

    def __init__(self) -> None:
        out, self.stdout_fd = _pipe()
        err, self.stderr_fd = _pipe()
        self._streams = {out: "stdout", err: "stderr"}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._output: Output | None = None
        self._between: list[tuple[str, bytes]] = []
        self._between_left = _KEPT_BETWEEN_CALLS
        self._closed = False
        self._thread = threading.Thread(target=self._read_on, daemon=True)
        self._thread.start()

    def started(self) -> None:
        """Closes the write ends on this side; to be called once the process has them."""
        os.close(self.stdout_fd)
        os.close(self.stderr_fd)

    def attach(self, output: Output) -> None:
        """Sends what is printed from now on into a call's output."""
        with self._lock:
            self._output = output
            for stream, data in self._between:
                output.write(stream, data)
            self._between.clear()
            self._between_left = _KEPT_BETWEEN_CALLS

    def detach(self) -> None:
        """Ends the attachment."""
        with self._lock:
            self._output = None

    def drain(self, timeout: float) -> None:
        """Takes in all that has been printed; gives up on a process that never stops printing."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while sum(self._take(fd) for fd in tuple(self._streams)):
                if time.monotonic() > deadline:
                    return

    def settle(self, quiet: float, timeout: float) -> None:
        """Like `drain`, but also waits until both are closed or nothing came for a while."""
        deadline = time.monotonic() + timeout
        self.drain(timeout)
        while self._streams and time.monotonic() < deadline:
            with self._lock:
                poll = _poll_of(self._streams)
            if not poll.poll(quiet * 1000):
                return
            self.drain(timeout)

    @property
    def ended(self) -> bool:
        """Whether every process has closed its ends."""
        return not self._streams

    def close(self) -> None:
        """Ends the thread and closes the read ends."""
        self._closed = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for fd in (*self._streams, self._wake):
            os.close(fd)
        self._streams.clear()

    def _take(self, fd: int) -> bool:
        try:
            data = os.read(fd, _PIECE)
        except BlockingIOError:
            return False
        stream = self._streams[fd]
        if not data:
            del self._streams[fd]
            os.close(fd)
        elif self._output:
            self._output.write(stream, data)
        elif self._between_left > 0:
            self._between.append((stream, data[: self._between_left]))
            self._between_left -= len(data)
        return bool(data)

    def _read_on(self) -> None:
        while not self._closed:
            output = self._output
            pause = output.tick() if output else None
            with self._lock:
                poll = _poll_of((*self._streams, self._wake))
            poll.poll(None if pause is None else pause * 1000)
            with self._lock:
                for fd in tuple(self._streams):
                    self._take(fd)


def _poll_of(descriptors: Iterable[int]) -> select.poll:
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return poll


def _pipe() -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read, False)
    with contextlib.suppress(OSError):
        fcntl.fcntl(read, _SET_PIPE_SIZE, _PIECE)
    return read, write
