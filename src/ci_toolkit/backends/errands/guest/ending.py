"""Ends processes by a mark in their environment; sent with the programs that end some."""

# The standard library only, and old ways with paths: this text is sent with every call.
# ruff: noqa: PTH123, PTH208

import contextlib
import os
import signal

_ROUNDS = 20


def kill_marked(mark: bytes) -> None:
    """Kills all processes with this variable, and those that they start meanwhile."""
    for _ in range(_ROUNDS):
        found = [pid for pid in os.listdir("/proc") if pid.isdigit() and _has_mark(pid, mark)]
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        if not found:
            return


def _has_mark(pid: str, mark: bytes) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return mark in file.read().split(b"\0")
    return False
