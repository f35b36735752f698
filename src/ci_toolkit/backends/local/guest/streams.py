"""Standard output and error of the Python kernel: descriptors 1 and 2 and nothing between."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import os
import sys
import threading

_FLUSH_EVERY = 0.2
# Above what programs are likely to close, and below the usual limit.
_SPARE = 900


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
_spares: dict[int, int] = {}


def install() -> None:
    """Puts the streams where programs look for them."""
    for fd in (1, 2):
        try:
            _spares[fd] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _SPARE)
        except OSError:
            _spares[fd] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    _put()
    os.register_at_fork(before=flush)
    threading.Thread(target=_flush_on, daemon=True).start()


def repair() -> None:
    """Undoes what a run has done to the streams, which would swallow what later ones print.

    To be called before each run, and right after it: until then a descriptor that the run has
    closed may come to be another file, even one of the kernel's own.
    """
    global _out, _err  # noqa: PLW0603
    for stream in (sys.stdout, sys.stderr):
        if stream is not _out and stream is not _err:
            # It may be anything at all.
            with contextlib.suppress(Exception, KeyboardInterrupt):
                stream.flush()
    for fd, spare in _spares.items():
        with contextlib.suppress(OSError):
            if not _same(fd, spare):
                os.dup2(spare, fd)
    # First of all, for what is replaced here may close what lies below it when it goes.
    _put()
    if _closed(_out):
        _out = _open(1, io.TextIOWrapper)
    if _closed(_err):
        _err = _open(2, _Errors)
    _put()


def flush() -> None:
    """Sends on what waits in buffers, those of C libraries included."""
    for stream in (_out, _err):
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
    with contextlib.suppress(ValueError):
        _libc.fflush(ctypes.c_void_p.in_dll(_libc, "stdout"))


def _put() -> None:
    sys.stdout = sys.__stdout__ = _out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _err  # type: ignore[misc]


def _same(fd: int, spare: int) -> bool:
    """Whether both are the same pipe."""
    kept = os.fstat(spare)
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (kept.st_dev, kept.st_ino)


def _closed(stream: io.TextIOWrapper) -> bool:
    try:
        return stream.closed
    except ValueError:  # Its buffer was taken away.
        return True


def _flush_on() -> None:
    pause = threading.Event()
    while not pause.wait(_FLUSH_EVERY):
        flush()
