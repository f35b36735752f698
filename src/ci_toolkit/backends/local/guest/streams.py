"""Standard output and error of the Python kernel: descriptors 1 and 2 and nothing between."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
import threading

_FLUSH_EVERY = 0.2


class _Errors(io.TextIOWrapper):
    """Standard error; what was printed before it is out before it."""

    def write(self, text: str) -> int:
        with contextlib.suppress(ValueError):
            _out.flush()
        return super().write(text)


def _open(fd: int, kind: type[io.TextIOWrapper]) -> io.TextIOWrapper:
    raw = io.FileIO(fd, "w", closefd=False)
    return kind(
        io.BufferedWriter(raw, 64 * 1024), "utf-8", errors="backslashreplace", line_buffering=True
    )


_out = _open(1, io.TextIOWrapper)
_err = _open(2, _Errors)
_libc = ctypes.CDLL(None)


def install() -> None:
    """Puts the streams where programs look for them."""
    sys.stdout = sys.__stdout__ = _out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _err  # type: ignore[misc]
    os.register_at_fork(before=flush)
    threading.Thread(target=_flush_on, daemon=True).start()


def repair() -> None:
    """Makes new streams where a program has closed the old ones."""
    global _out, _err  # noqa: PLW0603
    if _out.closed:
        sys.stdout = sys.__stdout__ = _out = _open(1, io.TextIOWrapper)  # type: ignore[misc]
    if _err.closed:
        sys.stderr = sys.__stderr__ = _err = _open(2, _Errors)  # type: ignore[misc]


def flush() -> None:
    """Sends on what waits in buffers, those of C libraries included."""
    for stream in (_out, _err):
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
    with contextlib.suppress(ValueError):
        _libc.fflush(ctypes.c_void_p.in_dll(_libc, "stdout"))


def _flush_on() -> None:
    pause = threading.Event()
    while not pause.wait(_FLUSH_EVERY):
        flush()
