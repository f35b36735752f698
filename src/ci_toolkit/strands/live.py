"""A call whose output is read while it goes on; used by the tools and the sandbox."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from ci_toolkit.results import OnOutput, Stream

__all__ = ["Live"]

_Value = TypeVar("_Value")


class Live(Generic[_Value]):
    """Begins a call in the running loop.

    Args:
        begin: Makes the call, and is given what takes its output, from any thread.
    """

    def __init__(self, begin: Callable[[OnOutput], Awaitable[_Value]]) -> None:
        self._pieces: asyncio.Queue[tuple[Stream, str] | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._call = asyncio.ensure_future(begin(self._report))
        self._call.add_done_callback(lambda _: self._pieces.put_nowait(None))

    async def pieces(self) -> AsyncIterator[tuple[Stream, str]]:
        """The output, until the call has ended; to be read once."""
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def result(self) -> _Value:
        """What the call returned or raised."""
        return await self._call

    async def end(self) -> None:
        """Cancels a call that still goes on, and waits for its end."""
        if not self._call.done():
            self._call.cancel()
            await asyncio.wait({self._call})

    def _report(self, stream: Stream, text: str) -> None:
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, (stream, text))
