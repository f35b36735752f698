"""`StrandsSandboxBackend`: Strands sandboxes (Docker, SSH, your own) as a backend."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, aclosing
from typing import Any, Literal, TypeVar

from ci_toolkit.backends.foreign import ForeignBackend, Opened
from ci_toolkit.doors import extra
from ci_toolkit.errors import OutcomeUnknownError
from ci_toolkit.results import OnOutput

with extra("strands", "strands"):
    from strands.sandbox import ExecutionResult, PosixShellSandbox, Sandbox, StreamChunk
    from strands.sandbox.errors import SandboxTimeoutError

__all__ = ["StrandsSandboxBackend"]

_Value = TypeVar("_Value")
_FILE_SECONDS = 300.0
_REAP_SECONDS = 1.0
_PART = 4 * 1024 * 1024
# `PosixShellSandbox` puts a file's content, as base64, into one argument: 128 KiB on Linux.
_COMMAND_LINE_PART = 90_000


class StrandsSandboxBackend(ForeignBackend):
    """Runs code in sandboxes of Strands; a `Backend` of the seam.

    Each run of code is a process of its own, so that variables do not stay. The sandbox has to
    run Linux and have a `python3` of 3.9 or later. An interrupt is a signal by a second command,
    which has to be possible beside the first.

    Args:
        sandbox: A sandbox; or a callable that returns a new one, or a context manager that gives
            one and ends it. A sandbox given as an object serves one conversation, and stays when
            the session ends.
        languages: What runs a script of each further language, before the name of its file, such
            as `{"javascript": ["node"]}`.
        network: What code can reach there, for the model to be told. It is not set by this.

    Raises:
        ConfigurationError: An argument is not what it has to be.
    """

    def __init__(
        self,
        sandbox: Sandbox | Callable[[], Sandbox] | Callable[[], AbstractContextManager[Sandbox]],
        *,
        languages: Mapping[str, Sequence[str]] | None = None,
        network: Literal["none", "internet", "host"] = "host",
    ) -> None:
        loop = self._loop = _Loop()
        # Before the finalizer of the sandboxes, so that it is called after it.
        weakref.finalize(self, loop.close)
        super().__init__(
            "strands",
            # mypy wants a class that can be made, and this one is only asked whether it fits.
            Opened(sandbox, Sandbox, lambda each: _StrandsPlace(each, loop)),  # type: ignore[type-abstract]
            languages=languages or {},
            network=network,
            live=True,
        )

    def close(self) -> None:
        """Gives every sandbox back; see `Backend.close`."""
        super().close()
        self._loop.close()


class _StrandsPlace:
    """A `Place`."""

    live = True

    def __init__(self, sandbox: Sandbox, loop: "_Loop") -> None:
        self._sandbox = sandbox
        self._loop = loop
        self._directory = ""
        by_command = type(sandbox).write_file is PosixShellSandbox.write_file
        self.part = _COMMAND_LINE_PART if by_command else _PART

    def settle(self, directory: str) -> None:
        self._directory = directory.rstrip("/")

    def run(
        self, command: str, *, patience: float, on_output: OnOutput | None = None
    ) -> Sequence[str]:
        return self._loop.run(self, self._run(command, patience, on_output), patience)

    def store(self, name: str, data: bytes) -> str:
        pieces = [data[n : n + self.part] for n in range(0, len(data), self.part)] or [b""]
        names = [name] if len(pieces) == 1 else [f"{name}.{n}.part" for n in range(len(pieces))]
        try:
            for each, piece in zip(names, pieces, strict=True):
                path = f"{self._directory}/{each}"
                self._loop.run(self, self._sandbox.write_file(path, piece), _FILE_SECONDS)
        except OSError as error:
            return str(error)
        if len(names) > 1:
            self._join(names, name)
        return ""

    def fetch(self, name: str) -> bytes:
        path = f"{self._directory}/{name}"
        return self._loop.run(self, self._sandbox.read_file(path), _FILE_SECONDS)

    def stop(self) -> None:
        self._loop.cancel(self)

    def _join(self, names: Sequence[str], name: str) -> None:
        # Names of our own, of letters, digits, dots and a hyphen; so many of them fit.
        for first in range(0, len(names), 500):
            some = " ".join(names[first : first + 500])
            self.run(f"cat {some} >> {name} && rm -f {some}", patience=_FILE_SECONDS)

    async def _run(
        self, command: str, patience: float, on_output: OnOutput | None
    ) -> Sequence[str]:
        stream = self._sandbox.execute_streaming(command, timeout=patience)
        try:
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    if isinstance(piece, ExecutionResult):
                        return (piece.stdout, piece.stderr)
                    if isinstance(piece, StreamChunk) and on_output is not None:
                        on_output(piece.stream_type, piece.data)
        except SandboxTimeoutError as error:
            raise OutcomeUnknownError(f"The sandbox stopped it after {patience:.0f} s.") from error
        return ()


class _Loop:
    """An event loop in a thread of its own, for sandboxes that are bound to one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._going_on: dict[Future[Any], object] = {}

    def run(self, owner: object, work: Coroutine[Any, Any, _Value], patience: float) -> _Value:
        """Does asynchronous work to its end, for a thread that waits.

        Args:
            owner: Whose work it is.
            work: What to do.
            patience: Seconds after which it is cancelled.

        Raises:
            OutcomeUnknownError: It did not end in time, and was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        with self._lock:
            self._going_on[future] = owner
        try:
            return future.result(patience + 10.0)
        except TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise OutcomeUnknownError("The sandbox does not answer.") from error
        finally:
            with self._lock:
                del self._going_on[future]

    def cancel(self, owner: object) -> None:
        """Cancels what goes on for somebody, which kills local processes."""
        with self._lock:
            futures = [each for each, whose in self._going_on.items() if whose is owner]
        for future in futures:
            future.cancel()

    def close(self) -> None:
        """Ends what goes on and the thread. Idempotent; later work starts another."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).add_done_callback(
                lambda _: loop.call_soon_threadsafe(loop.stop)
            )

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_serve, args=(loop,), name="ci-toolkit-strands", daemon=True
                ).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(_REAP_SECONDS)  # processes that were killed are still to be waited for
