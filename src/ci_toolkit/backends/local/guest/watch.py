"""Keeps the sandbox within its memory: the sum that no limit of a single process can bound."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Callable
from typing import Any

import processes

_SLOW, _FAST = 0.2, 0.03
_PAGE = resource.getpagesize()


def limit_processes(settings: dict[str, Any]) -> None:
    """Sets the limits that each process of the sandbox inherits from here on."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: settings["memory_bytes"],
        resource.RLIMIT_FSIZE: settings["file_bytes"],
        resource.RLIMIT_NPROC: settings["processes"],
    }
    for kind, wish in limits.items():
        if wish is not None:
            _, most = resource.getrlimit(kind)
            value = wish if most == resource.RLIM_INFINITY else min(wish, most)
            resource.setrlimit(kind, (value, value))


class MemoryWatch:
    """Ends the largest process when all of them together use too much.

    Args:
        most: Bytes.
        tell: Called with a line for whoever waits for a run.
    """

    def __init__(self, most: int, tell: Callable[[str], None]) -> None:
        self._most = most
        self._tell = tell

    def start(self) -> None:
        """Begins to watch."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        seconds = _SLOW
        while not pause.wait(seconds):
            used = self._look()
            seconds = _FAST if used > self._most / 2 else _SLOW
            processes.reap()

    def _look(self) -> int:
        sizes = {pid: _private(pid) for pid in processes.descendants(os.getpid())}
        if sum(sizes.values()) <= self._most:
            return sum(sizes.values())
        # Pages that forked processes share were counted for each of them.
        sizes = {pid: _proportional(pid, size) for pid, size in sizes.items()}
        total = sum(sizes.values())
        if total > self._most:
            largest = max(sizes, key=lambda pid: sizes[pid])
            self._tell(
                f"[the memory limit of {self._most // 1_000_000} MB was reached: "
                "the largest process was ended]\n"
            )
            with contextlib.suppress(OSError):
                os.kill(largest, 9)
        return total


def _private(pid: int) -> int:
    """Bytes of memory that a process has for itself or shares by a fork."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/statm", "rb") as file:
        _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * _PAGE
    return 0


def _proportional(pid: int, otherwise: int) -> int:
    """Bytes of memory of a process, shared pages divided among those that share them."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return otherwise
