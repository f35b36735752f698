"""Ends one call from another thread; made by a front door, watched by the session."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

from ci_toolkit.errors import CancelledCallError

__all__ = ["Cancellation"]


class Cancellation:
    """A switch that can be thrown once, at any time, from any thread.

    Only the call that watches it is ended, never the next one of the same session.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._cancelled = False
        self._stop: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the switch was thrown."""
        return self._cancelled

    def cancel(self) -> None:
        """Throws the switch: a call that waits never starts, a run that goes on is interrupted.

        May be called again while the call goes on, to interrupt what it ran next.
        """
        with self._lock:
            self._cancelled = True
            if self._stop is not None:
                self._stop()

    @contextmanager
    def watching(self, stop: Callable[[], None]) -> Iterator[None]:
        """Calls `stop` when the switch is thrown during the `with` block.

        Raises:
            CancelledCallError: It was thrown before.
        """
        with self._lock:
            if self._cancelled:
                raise CancelledCallError("The call was cancelled before it began; nothing was run.")
            self._stop = stop
        try:
            yield
        finally:
            with self._lock:
                self._stop = None
