"""What one call prints: head and tail kept, everything spilled to a file, live pieces sent on.

Lies between the processes that print (kernels, commands) and the frames that go to the host. All
of it works in bounded memory, however much is printed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_LIVE_EVERY = 0.05
_LIVE_BYTES = 1024 * 1024
_SPILLS_KEPT = 20
# What the host accepts: no more than nine digits.
_SPILL_NAME = re.compile(r"output-([0-9]{1,9})\.txt")
_MOST_SPILLS = 10**9

Live = Callable[[str, bytes], None]


@dataclass
class Printed:
    """All that is known of a call's output once it has ended."""

    stdout: bytes
    stderr: bytes
    file: str = ""
    total: int = 0


class HeadAndTail:
    """The first and the last bytes of a stream, half of the allowance each."""

    def __init__(self, keep: int) -> None:
        self._room = keep // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    @property
    def complete(self) -> bool:
        """Whether nothing has been left out."""
        return self.total <= 2 * self._room

    def add(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        self.total += len(data)
        room = self._room - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail_size - len(self._tail[0]) >= self._room:
                self._tail_size -= len(self._tail.popleft())
            if len(self._tail) > 256:
                # Many small pieces would each cost more than they hold.
                self._tail = deque([b"".join(self._tail)])

    def text(self) -> bytes:
        """The stream, or its two ends around a line that says how much is missing."""
        tail = b"".join(self._tail)
        if self.complete:
            return bytes(self._head) + tail
        head = _whole_end(bytes(self._head))
        tail = _whole_start(tail[-self._room :])
        left_out = self.total - len(head) - len(tail)
        return head + b"\n[... %d bytes left out ...]\n" % left_out + tail


class Spill:
    """The file that holds the whole output; made only when memory does not."""

    def __init__(self, working_directory: str, cap: int) -> None:
        self._path = os.path.join(working_directory, ".ci")
        self._left = cap
        self._folder = self._descriptor = -1
        self.name = ""

    def open(self) -> None:
        """Makes the file; where that is impossible, nothing is spilled."""
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._path)
            # The user's programs may have put anything there: a link is not followed, and no
            # pipe is waited for.
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._folder = os.open(self._path, flags)
            name = f"output-{self._make_room()}.txt"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(name, flags, 0o644, dir_fd=self._folder)
            self.name = f".ci/{name}"

    def _make_room(self) -> int:
        """Removes the oldest files of earlier calls; gives the next number."""
        matches = filter(None, map(_SPILL_NAME.fullmatch, os.listdir(self._folder)))
        earlier = sorted((int(match[1]), match[0]) for match in matches)
        for _, name in earlier[: 1 - _SPILLS_KEPT]:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
        following = earlier[-1][0] + 1 if earlier else 1
        if following < _MOST_SPILLS:
            return following
        taken = {number for number, _ in earlier}
        return next(number for number in itertools.count(1) if number not in taken)

    def write(self, data: bytes) -> None:
        """Appends as much as the cap and the disk allow."""
        data = data[: self._left]
        self._left -= len(data)
        view = memoryview(data)
        try:
            while view and self._descriptor >= 0:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            # Part of an output would be taken for the whole, and may be what fills the disk.
            with contextlib.suppress(OSError):
                os.unlink(os.path.basename(self.name), dir_fd=self._folder)
            self.name = ""
            self.close()

    def close(self) -> None:
        """Ends the file."""
        for descriptor in {self._descriptor, self._folder} - {-1}:
            os.close(descriptor)
        self._descriptor = self._folder = -1


class Output:
    """One call's output; may be written to from several threads.

    Args:
        keep: Bytes of each stream that are kept in memory and answered.
        spill: Where all of it goes once that is not enough.
        live: Receives pieces while the call runs, at most every 50 ms and 1 MiB in all.
    """

    def __init__(self, *, keep: int, spill: Spill, live: Live | None) -> None:
        self._lock = threading.Lock()
        self._streams = {"stdout": HeadAndTail(keep), "stderr": HeadAndTail(keep)}
        self._spill = spill
        self._early: list[bytes] | None = []
        self._live = live
        self._live_left = _LIVE_BYTES if live else 0
        self._pending: list[tuple[str, bytes]] = []
        self._sent = 0.0

    def write(self, stream: str, data: bytes) -> None:
        """Takes what was printed to `stdout` or `stderr`."""
        if not data:
            return
        with self._lock:
            self._streams[stream].add(data)
            self._keep_all(data)
            if self._live_left > 0:
                self._pending.append((stream, data[: self._live_left]))
                self._live_left -= len(data)
                self._send_when_due()

    def tick(self) -> float | None:
        """Sends pieces that are due; gives the seconds until the next are, None for never."""
        with self._lock:
            self._send_when_due()
            if not self._pending:
                return None
            return max(0.0, self._sent + _LIVE_EVERY - time.monotonic())

    def finish(self) -> Printed:
        """Sends the rest; gives what is kept."""
        with self._lock:
            self._send()
            self._live_left = 0
            self._spill.close()
            out, err = self._streams["stdout"], self._streams["stderr"]
            name = self._spill.name
            return Printed(out.text(), err.text(), name, out.total + err.total if name else 0)

    def _keep_all(self, data: bytes) -> None:
        if self._early is None:
            self._spill.write(data)
            return
        self._early.append(data)
        if not all(stream.complete for stream in self._streams.values()):
            self._spill.open()
            for piece in self._early:
                self._spill.write(piece)
            self._early = None

    def _send_when_due(self) -> None:
        if self._pending and time.monotonic() - self._sent >= _LIVE_EVERY:
            self._send()

    def _send(self) -> None:
        pending, self._pending = self._pending, []
        self._sent = time.monotonic()
        joined: list[tuple[str, bytearray]] = []
        for stream, data in pending:
            if not joined or joined[-1][0] != stream:
                joined.append((stream, bytearray()))
            joined[-1][1].extend(data)
        if self._live:
            for stream, text in joined:
                self._live(stream, bytes(text))


def reason_of(error: Exception) -> str:
    """What went wrong, in words for somebody who does not know this program."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _whole_end(data: bytes) -> bytes:
    """Without a last character that is cut in the middle."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
    return data


def _whole_start(data: bytes) -> bytes:
    """Without a first character that is cut in the middle."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]
