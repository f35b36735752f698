"""Stops a Python run at the guest's request, where a signal alone would not; runs in the kernel.

A thread waits for the guest's byte, interrupts database queries, which hold no signal, and wakes
the event loop, which does not look at signals while it waits.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

_asked = threading.Event()
_HEARD_SECONDS = 0.5


def start_run() -> None:
    """Begins a run that nobody has asked to stop."""
    _asked.clear()


def asked() -> bool:
    """Whether the guest has asked for this run to stop.

    The byte was sent before the signal, but a signal can be heard before the thread is awake.
    """
    return _asked.wait(_HEARD_SECONDS)


def listen(descriptor: int, app: Any) -> None:
    """Starts the thread."""
    threading.Thread(target=_listen, args=(descriptor, app), daemon=True).start()


def place(error: BaseException, shell: Any) -> str:
    """One line that tells where in the user's own code a run was stopped.

    That is a cell, or a program that a cell runs as its own.
    """
    cells = getattr(shell.compile, "_filename_map", {})
    where = ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        own = trace.tb_frame.f_globals is shell.user_ns and not name.startswith("<")
        if name in cells or own:
            line = linecache.getline(name, trace.tb_lineno).strip()
            source = f"cell {cells[name]}" if name in cells else os.path.basename(name)
            where = f" in {source}, line {trace.tb_lineno}: {line[:200]}"
        trace = trace.tb_next
    return f"KeyboardInterrupt: stopped{where}\n"


def _listen(descriptor: int, app: Any) -> None:
    while os.read(descriptor, 1):
        _asked.set()
        for connection in list(_connections(app.shell.user_ns)):
            with contextlib.suppress(Exception):
                connection.interrupt()
        with contextlib.suppress(Exception):
            app.kernel.io_loop.asyncio_loop.call_soon_threadsafe(lambda: None)


def _connections(names: dict[str, object]) -> Iterable[Any]:
    """The DuckDB connections that the user's program can be waiting for."""
    duckdb = sys.modules.get("duckdb")
    kind = getattr(duckdb, "DuckDBPyConnection", None)
    if duckdb is None or kind is None:
        return
    with contextlib.suppress(Exception):
        yield duckdb.default_connection()
    values = list(names.values())
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001
    while frame is not None:
        values.extend(frame.f_locals.values())
        frame = frame.f_back
    yield from (value for value in values if isinstance(value, kind))
