"""A guest that runs, and how to end it with everything in it; made by `isolation`."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ci_toolkit.backends.local.cgroup import PidsGroup
from ci_toolkit.backends.local.wire import Wire

__all__ = ["Confined", "Loose", "Running", "end", "kill_marked"]

_PATIENCE = 10.0


class Running(Protocol):
    """A guest's processes and the wire to it."""

    @property
    def wire(self) -> Wire:
        """The way to the guest."""
        ...

    def kill(self) -> None:
        """Ends all processes of the sandbox, and waits until they have gone. Idempotent."""
        ...


class Confined:
    """A guest in a PID namespace of its own: when the first process ends, all do.

    Args:
        popen: The program that made the namespace.
        wire: The way to the guest.
        first: A descriptor of the namespace's first process, which is the guest.
        group: What bounds its processes.
    """

    def __init__(
        self, popen: "subprocess.Popen[bytes]", wire: Wire, first: int, group: PidsGroup | None
    ) -> None:
        self.wire = wire
        self._popen = popen
        self._group = group
        # As long as this is open the number cannot come to mean another process.
        self._first = first

    def kill(self) -> None:
        """Ends the namespace; the kernel leaves nothing of it behind."""
        if self._first < 0:
            return
        first, self._first = self._first, -1
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(first, signal.SIGKILL)
        with contextlib.suppress(OSError):
            # Not `select`, which takes no descriptor above 1023.
            gone = select.poll()
            gone.register(first, select.POLLIN)
            gone.poll(_PATIENCE * 1000)
        os.close(first)
        end(self._popen)
        if self._group:
            self._group.remove()


class Loose:
    """A guest without isolation; its processes are known by a mark in their environment."""

    def __init__(self, popen: "subprocess.Popen[bytes]", wire: Wire, mark: str) -> None:
        self.wire = wire
        self._popen = popen
        self._mark = mark.encode()
        self._ended = False

    def kill(self) -> None:
        """Ends the guest and everything that carries the mark."""
        if self._ended:
            return
        self._ended = True
        end(self._popen)
        kill_marked(self._mark)


def kill_marked(mark: bytes) -> None:
    """Kills all processes that carry a mark in their environment, until there are none."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        living = list(_living(mark))
        if not living:
            return
        for pid in living:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _living(mark: bytes) -> Iterator[int]:
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        folders = list(Path("/proc").iterdir())
    for folder in folders:
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # An ended process has an empty environment, so it is not found again.
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def end(popen: "subprocess.Popen[bytes]") -> None:
    """Kills a program that leads a group of processes, and takes its exit status; never raises."""
    if popen.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(popen.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        popen.wait(_PATIENCE)
