"""Live output of one call on its way to the client."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from threading import Lock
from typing import Protocol

from ci_toolkit.results import Stream
from ci_toolkit.telemetry import scoped_logger

__all__ = ["LiveOutput", "ReportProgress"]

logger = scoped_logger(__name__)

_MOST_CHARS = 8_000
_PAUSE_SECONDS = 0.05


class ReportProgress(Protocol):
    """Sends one progress notification; does nothing where the client did not ask for any."""

    def __call__(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> Awaitable[None]:
        """Sends it."""
        ...


class LiveOutput:
    """Gathers output from any thread, and sends it from the event loop where it was made.

    What comes faster than it can be sent is sent in one piece, and of very much only the end: the
    result of the call has the rest.

    Args:
        send: Sends one notification.
    """

    def __init__(self, send: ReportProgress) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._lock = Lock()
        self._text = ""
        self._news = asyncio.Event()
        self._ended = asyncio.Event()

    def report(self, stream: Stream, text: str) -> None:  # noqa: ARG002 - one message has no streams
        """Takes a piece of output."""
        with self._lock:
            waiting = bool(self._text)
            self._text = (self._text + text)[-_MOST_CHARS:]
        if not waiting:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._news.set)

    def end(self) -> None:
        """Says, in the event loop, that nothing more will come."""
        self._ended.set()
        self._news.set()

    async def forward(self) -> None:
        """Sends all output until the end. Never raises for what the client does."""
        number = 0
        while True:
            await self._news.wait()
            self._news.clear()
            ended = self._ended.is_set()
            if text := self._take():
                number += 1
                try:
                    await self._send(number, message=text)
                except Exception:
                    logger.debug("Live output could not be sent", exc_info=True)
            if ended:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._ended.wait()

    def _take(self) -> str:
        with self._lock:
            text, self._text = self._text, ""
            return text
