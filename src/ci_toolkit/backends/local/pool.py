"""Sandboxes that are started before they are asked for; used by `LocalBackend`."""

import threading
from collections import deque
from typing import Any

from ci_toolkit.backends.local.sandbox import LocalSandbox
from ci_toolkit.errors import CodeInterpreterError
from ci_toolkit.telemetry import scoped_logger

__all__ = ["Pool"]

_log = scoped_logger(__name__)


class Pool:
    """Keeps a number of fresh sandboxes; each is given away once.

    Args:
        size: How many.
        make: A weak reference to the method that starts one.
    """

    def __init__(self, size: int, make: Any) -> None:
        self._size = size
        self._make = make
        self._ready: deque[LocalSandbox] = deque()
        self._lock = threading.Lock()
        self._filling = False
        self._closed = False

    def take(self) -> LocalSandbox | None:
        """A sandbox that is ready, or None; another is started in the background."""
        sandbox = None
        with self._lock:
            while self._ready and (sandbox is None or sandbox.lost):
                sandbox = self._ready.popleft()
        self.refill()
        return None if sandbox is None or sandbox.lost else sandbox

    def refill(self) -> None:
        """Starts what is missing, in the background."""
        with self._lock:
            if self._filling or self._closed or len(self._ready) >= self._size:
                return
            self._filling = True
        threading.Thread(target=self._fill, name="ci-toolkit-pool", daemon=True).start()

    def close(self) -> None:
        """Starts no more; those that are ready are ended by their house."""
        with self._lock:
            self._closed = True
            self._ready.clear()

    def _fill(self) -> None:
        while self._missing():
            make = self._make()
            if make is None:
                return
            try:
                sandbox = make(warm=True)
            except CodeInterpreterError as error:
                _log.warning("A sandbox could not be started ahead: %s", error)
                with self._lock:
                    self._filling = False
                return
            del make
            with self._lock:
                self._ready.append(sandbox)

    def _missing(self) -> bool:
        with self._lock:
            self._filling = not self._closed and len(self._ready) < self._size
            return self._filling
