"""`Place`: another framework's sandbox as this room needs it; `Life` guards one of them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar
from uuid import uuid4

from ci_toolkit.backends.errands.pending import Pending
from ci_toolkit.backends.errands.programs import ProgramError
from ci_toolkit.errors import (
    BackendUnavailableError,
    CodeInterpreterError,
    OutcomeUnknownError,
    SandboxLostError,
)
from ci_toolkit.results import OnOutput
from ci_toolkit.telemetry import scoped_logger

__all__ = ["Life", "Place"]

logger = scoped_logger(__name__)

_Value = TypeVar("_Value")
_LOOK_SECONDS = 15.0
_END_SECONDS = 15.0
_SWEEP_SECONDS = 5.0


class Place(Protocol):
    """One foreign sandbox. Blocks; may be called from several threads at once.

    What it raises is taken for a failure of the sandbox, except for what says otherwise.
    """

    @property
    def part(self) -> int:
        """Bytes that `store` takes best in one piece; it takes more."""
        ...

    @property
    def live(self) -> bool:
        """Whether `run` reports output while it appears."""
        ...

    def settle(self, directory: str) -> None:
        """Is told, once, where commands run, before any file is stored or fetched.

        Raises:
            ConfigurationError: Its files are not where its commands run.
        """
        ...

    def run(
        self, command: str, *, patience: float, on_output: OnOutput | None = None
    ) -> Sequence[str]:
        """Runs a shell command, at most once; gives what it printed, standard output first.

        Raises:
            OutcomeUnknownError: It was stopped, or given up, after `patience` seconds.
        """
        ...

    def store(self, name: str, data: bytes) -> str:
        """Writes a file of the directory; gives a refusal, empty when there is none."""
        ...

    def fetch(self, name: str) -> bytes:
        """Reads a file of the directory."""
        ...

    def stop(self) -> None:
        """Cancels what goes on, where that is possible; it is not used any more."""
        ...


class Life:
    """Whether a foreign sandbox is there, and what goes to it: a carrier of errands.

    Args:
        place: The sandbox.
        on_end: Called once, when it is gone or is given back.

    Attributes:
        farewell: The command that ends what runs left behind, before it is given back.
    """

    def __init__(self, place: Place, on_end: Callable[[], None]) -> None:
        self.place = place
        self.farewell = ""
        self._on_end = on_end
        self._lock = threading.Lock()
        self._lost = ""
        self._waiting: set[threading.Event] = set()

    @property
    def lost(self) -> str:
        """Why the sandbox is gone; empty while it is not."""
        return self._lost

    @property
    def part(self) -> int:
        """Bytes that `store` takes best in one piece."""
        return self.place.part

    def check(self) -> None:
        """Makes sure that the sandbox is not known to be gone.

        Raises:
            SandboxLostError: It is.
        """
        if self._lost:
            raise SandboxLostError(f"The sandbox is gone: {self._lost}.", may_have_run=False)

    def run(self, command: str, *, patience: float) -> Sequence[str]:
        """Runs a command that changes nothing which may not be changed twice."""
        return self._wait(lambda: self.place.run(command, patience=patience), patience)

    def carry(self, command: str, *, patience: float, on_output: OnOutput | None) -> Sequence[str]:
        """Runs a command whose end somebody else watches."""
        return _guarded(lambda: self.place.run(command, patience=patience, on_output=on_output))

    def store(self, path: str, data: bytes) -> str:
        """Writes a file."""
        self.check()
        return _guarded(lambda: self.place.store(path, data))

    def fetch(self, path: str) -> bytes:
        """Reads a file."""
        self.check()
        try:
            return _guarded(lambda: self.place.fetch(path))
        except BackendUnavailableError as error:
            raise ProgramError(f"the answer of a program cannot be read: {error}") from error

    def answers(self) -> bool:
        """Whether the sandbox still runs commands."""
        token = uuid4().hex
        try:
            printed = self.run(f"echo {token}", patience=_LOOK_SECONDS)
        except CodeInterpreterError:
            return False
        return any(token in text for text in printed)

    def aside(self, command: str) -> Pending[object]:
        """Begins a short shell command beside what goes on."""
        self.check()
        return Pending(lambda _: self.place.run(command, patience=_LOOK_SECONDS))

    @contextmanager
    def listening(self, woken: threading.Event) -> Iterator[None]:
        """A context in which an event is set when the sandbox is ended from here."""
        with self._lock:
            self._waiting.add(woken)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(woken)

    def close(self) -> None:
        """Ends what runs left behind, and gives the sandbox back; as `end`."""
        self._end("closed", self.farewell)

    def end(self, reason: str) -> None:
        """Gives back a sandbox that is not fit any more.

        Idempotent; never raises; takes 15 seconds at most.
        """
        self._end(reason, "")

    def _end(self, reason: str, farewell: str) -> None:
        with self._lock:
            if self._lost:
                return
            self._lost = reason
            waiting = list(self._waiting)
        for woken in waiting:
            woken.set()
        try:
            if farewell:
                sweep = Pending(lambda _: self.place.run(farewell, patience=_SWEEP_SECONDS))
                sweep.wait(_SWEEP_SECONDS)
            Pending(lambda _: self._give_back()).wait(_END_SECONDS - _SWEEP_SECONDS)
        except RuntimeError:  # No threads any more: the interpreter is ending.
            self._give_back()

    def _give_back(self) -> None:
        try:
            self.place.stop()
            self._on_end()
        except Exception as error:  # noqa: BLE001 - what cannot be ended is up to its owner
            logger.warning("A sandbox could not be ended: %s", error)

    def _wait(self, work: Callable[[], _Value], patience: float) -> _Value:
        self.check()
        woken = threading.Event()
        with self.listening(woken):
            pending = Pending(lambda _: _guarded(work), woken)
            woken.wait(patience + _LOOK_SECONDS)
        if pending.done:
            return pending.result()
        if self._lost:
            raise SandboxLostError(f"The sandbox was lost: {self._lost}.", may_have_run=True)
        raise OutcomeUnknownError(
            f"The sandbox did not answer within {patience:.0f} seconds. What was asked may have "
            "been done; look before it is repeated."
        )


def _guarded(work: Callable[[], _Value]) -> _Value:
    try:
        return work()
    except CodeInterpreterError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise BackendUnavailableError(f"The sandbox failed with {kind}: {error}") from error
