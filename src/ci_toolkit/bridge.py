"""Between the hall and the front doors: what every door needs, without any framework.

The interpreter blocks, since its backends do; agents mostly run in event loops. `Bridge` carries a
call from one to the other: it runs it in a thread of its own, forwards live output, and turns a
cancelled task into an interrupted run.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Event, Lock, Thread
from typing import TypeVar

from ci_toolkit.cancellation import Cancellation
from ci_toolkit.errors import (
    CancelledCallError,
    ConfigurationError,
    OutcomeUnknownError,
    ToolError,
)
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.rendering import render, sentence
from ci_toolkit.results import Answer, OnOutput, Outcome, Stream
from ci_toolkit.scope import Scope
from ci_toolkit.telemetry import scoped_logger
from ci_toolkit.turns import Order

__all__ = ["Bridge"]

logger = scoped_logger(__name__)

_Value = TypeVar("_Value")
_POLL_SECONDS = 0.1
_REPEAT_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0


class Bridge:
    """Calls an interpreter from synchronous and from asynchronous code.

    Bound to no event loop: one bridge may serve many loops in many threads, at the same time.
    Threads that have nothing to do keep no process alive.

    Args:
        interpreter: Answers the calls; not closed with the bridge.
        prefix: What the names of tools have before them where models see them.
        threads: Asynchronous calls that go on at once. Further ones wait, and so do the calls of
            one session behind each other, each in its thread.
    """

    def __init__(
        self, interpreter: CodeInterpreter, *, prefix: str = "", threads: int = 128
    ) -> None:
        if not isinstance(interpreter, CodeInterpreter):
            raise ConfigurationError(
                f"{interpreter!r} is no CodeInterpreter: give CodeInterpreter(backend)."
            )
        self._interpreter = interpreter
        self._prefix = prefix
        self._size = threads
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def call(
        self,
        name: str,
        arguments: object,
        *,
        scope: Scope,
        on_output: OnOutput | None = None,
        order: Order | None = None,
    ) -> Outcome:
        """As `CodeInterpreter.call`, with live output reported in the caller's context."""
        return self._interpreter.call(
            name,
            arguments,
            scope=scope,
            on_output=_in_this_context(on_output),
            prefix=self._prefix,
            order=order,
        )

    async def acall(
        self,
        name: str,
        arguments: object,
        *,
        scope: Scope,
        on_output: OnOutput | None = None,
        stop: Event | None = None,
        order: Order | None = None,
    ) -> Outcome:
        """As `call`, without blocking the event loop.

        Cancelling the task interrupts the run and then raises `CancelledError`: at once where the
        run ends at once, and within about five seconds whatever happens. The session stays usable.

        Args:
            name: A tool's name.
            arguments: What the model sent.
            scope: Whose call it is.
            on_output: Receives live output, in a copy of the caller's context, from any thread.
            stop: When set, the run is interrupted as well, and the outcome says so.
            order: Where the call stands among those of the model's turn.
        """
        report = _in_this_context(on_output)

        def work(cancellation: Cancellation) -> Outcome:
            return self._interpreter.call(
                name,
                arguments,
                scope=scope,
                on_output=report,
                cancellation=cancellation,
                prefix=self._prefix,
                order=order,
            )

        try:
            return await self.run(work, stop=stop)
        except (CancelledCallError, OutcomeUnknownError) as error:
            return self.refuse(name, error)

    async def run(
        self, work: Callable[[Cancellation], _Value], *, stop: Event | None = None
    ) -> _Value:
        """Does blocking work with an interpreter in a thread of the bridge's own.

        Cancelling the task throws the switch that `work` is given, as `acall` says.

        Args:
            work: What to do; hands its switch on to the interpreter.
            stop: When set, the switch is thrown as well.

        Raises:
            CancelledCallError: `stop` was set before the work began.
            OutcomeUnknownError: `stop` was set, and the work did not end.
        """
        cancellation = Cancellation()

        def begin() -> _Value:
            if stop is not None and stop.is_set():
                cancellation.cancel()
            return work(cancellation)

        call = self._threads().submit(copy_context().run, begin)
        ended = asyncio.wrap_future(call)
        # What the work raises is raised from `call`; asyncio would report that nobody asked here.
        ended.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while not ended.done() and not (stop is not None and stop.is_set()):
                await asyncio.wait({ended}, timeout=None if stop is None else _POLL_SECONDS)
        except asyncio.CancelledError:
            await _interrupt(call, ended, cancellation)
            raise
        if not ended.done():
            await _interrupt(call, ended, cancellation)
        if call.cancelled():
            raise CancelledCallError("The call was cancelled before it began; nothing was run.")
        if not call.done():
            said = "The call was cancelled, but did not end; what it ran may still be running."
            raise OutcomeUnknownError(said)
        return call.result()

    def refuse(self, name: str, error: ToolError | ConfigurationError) -> Outcome:
        """The outcome of a call that does not reach the interpreter, in the same words."""
        told = error if isinstance(error, ToolError) else ToolError(sentence(error))
        return render(name, Answer(error=told), self._interpreter.limits, prefix=self._prefix)

    def close(self) -> None:
        """Lets the threads go. Idempotent; calls that go on are finished; later ones start anew."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._size, thread_name_prefix="ci-toolkit")
            return self._pool


async def _interrupt(
    call: Future[_Value], ended: asyncio.Future[_Value], cancellation: Cancellation
) -> None:
    """Ends a call, and waits for its end as long as that makes sense.

    Raises:
        CancelledError: The task was cancelled meanwhile; the call is looked after all the same.
    """
    if call.cancel():
        return
    # A thread, because an interrupt may have to ask a remote service, and because a loop that is
    # being torn down must not keep the run from being ended.
    Thread(target=_interrupt_until_ended, args=(call, cancellation), daemon=True).start()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    cancelled: asyncio.CancelledError | None = None
    while not ended.done() and (left := deadline - time.monotonic()) > 0:
        try:
            await asyncio.wait({ended}, timeout=left)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _interrupt_until_ended(call: Future[_Value], cancellation: Cancellation) -> None:
    """Interrupts again and again, since one call may run several things."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not call.done() and time.monotonic() < deadline:
        cancellation.cancel()
        wait([call], timeout=_REPEAT_SECONDS)
    if not call.done():
        logger.warning("A cancelled call has not ended after %g s.", _PATIENCE_SECONDS)


def _in_this_context(on_output: OnOutput | None) -> OnOutput | None:
    """Reports output in a copy of this context, whichever thread it comes from."""
    if on_output is None:
        return None
    context = copy_context()

    def report(stream: Stream, text: str) -> None:
        context.run(on_output, stream, text)

    return report
