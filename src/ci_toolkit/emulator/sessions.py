"""Sessions of the emulator: each is one sandbox, its calls in turn, and an end that is certain."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.emulator.answers import Result
from ci_toolkit.emulator.refusals import Refusal, not_found, refusal_of
from ci_toolkit.emulator.running import Pending
from ci_toolkit.emulator.toolbox import Toolbox
from ci_toolkit.errors import CodeInterpreterError, SandboxLostError

__all__ = ["Session"]

_T = TypeVar("_T")
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25


@dataclass(eq=False)
class Session:
    """One session; used on the event loop's thread only.

    Attributes:
        id: A ULID.
        identifier: Of its code interpreter.
        name: As its client said; may be empty.
        created: Seconds since the epoch.
        updated: When its status changed last.
        timeout: What Get tells; seconds.
        expires: When it ends, whatever happens.
        settings: Members of the request that Get gives back.
        ready: Whether it can be used.
    """

    id: str
    identifier: str
    name: str
    created: float
    timeout: int
    expires: float
    settings: Mapping[str, Any]
    sandbox: Sandbox
    toolbox: Toolbox
    executor: Executor
    clock: Callable[[], float]
    updated: float = 0.0
    ready: bool = True
    under_way: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _refusal: Refusal | None = None

    async def call(self, tool: str, arguments: Mapping[str, Any], *, most: int | None) -> Result:
        """Calls a tool, after the calls before it.

        Args:
            tool: Its name.
            arguments: Its arguments.
            most: How many calls may be under way; None for any number.

        Raises:
            Refusal: There are too many, the session ended, or the backend failed.
        """
        if most is not None and self.under_way >= most:
            raise Refusal(
                "ServiceQuotaExceededException", "maxConcurrentInvocations limit exceeded"
            )
        self.under_way += 1
        try:
            return await self._or_gone(self._finished(tool, arguments))
        finally:
            self.under_way -= 1

    async def end(self, refusal: Refusal | None = None) -> None:
        """Ends the session; its calls are refused at once. Idempotent.

        Args:
            refusal: What its calls are told; by default, that its time is over.
        """
        if not self.ready:
            return
        self.ready = False
        self.updated = self.clock()
        self._refusal = refusal or Refusal("ConflictException", self._words)
        self._gone.set()
        await self._in_thread(self.sandbox.close)

    async def _finished(self, tool: str, arguments: Mapping[str, Any]) -> Result:
        if self._turn.locked():
            beside = await self._in_thread(lambda: self.toolbox.beside(tool, arguments))
            if beside is not None:
                return beside
        answer = await self._in_turn(lambda: self.toolbox.call(tool, arguments))
        pause = _FIRST_PAUSE
        while isinstance(answer, Pending):
            pending = answer
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            answer = await self._in_turn(lambda: self.toolbox.look(pending))  # noqa: B023
        return answer

    async def _in_turn(self, work: Callable[[], Result | Pending]) -> Result | Pending:
        async with self._turn:
            try:
                return await self._in_thread(work)
            except SandboxLostError as error:
                ran = error.may_have_run
                refusal = refusal_of(error) if ran else not_found(f"There is no session {self.id}.")
                await self.end(refusal)
                raise refusal from error
            except CodeInterpreterError as error:
                raise refusal_of(error) from error

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self.executor, work)

    async def _or_gone(self, work: Awaitable[_T]) -> _T:
        """The result of work, or the service's refusal as soon as the session has ended."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not self.ready and not (task.done() and task.exception() is None):
                raise self._refusal or Refusal("ConflictException", self._words)
            return await task
        finally:
            gone.cancel()
            task.cancel()
            with suppress(asyncio.CancelledError, Refusal):
                await task

    @property
    def _words(self) -> str:
        return (
            f"The session {self.id} ended while the request was under way: "
            f"its session timeout is {self.timeout} seconds."
        )
