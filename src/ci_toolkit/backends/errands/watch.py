"""`Watch`: one run at a time, waited for, and ended when its time is up or the host says so.

A place that cannot cancel a run is asked beside it to send SIGINT to the processes of the run
(`guest/find.py` says which); where that does not end the run, the sandbox is ended.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from ci_toolkit.backends.errands.pending import Pending
from ci_toolkit.backends.errands.programs import interruption
from ci_toolkit.errors import SandboxLostError

__all__ = ["Ended", "Life", "Ran", "Watch"]

Ended = Literal["completed", "timed_out", "interrupted"]
_Value = TypeVar("_Value")
_ATTEMPTS = 3
_ATTEMPT_SECONDS = 2.5
_ASIDE_SECONDS = 10.0


class Life(Protocol):
    """What a watch has to know of its sandbox, and may do to it."""

    @property
    def lost(self) -> str:
        """Why the sandbox is gone; empty while it is not."""
        ...

    def check(self) -> None:
        """Raises `SandboxLostError` where it is gone."""
        ...

    def listening(self, woken: threading.Event) -> AbstractContextManager[None]:
        """A context in which an event is set when the sandbox is ended from here."""
        ...

    def aside(self, command: str) -> Pending[object]:
        """Begins a short shell command beside the run."""
        ...

    def end(self, reason: str) -> None:
        """Ends the sandbox. Idempotent; never raises."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ran(Generic[_Value]):
    """How a run ended.

    Attributes:
        answer: What it answered; None when the sandbox had to be ended to end it.
        ended: Whether it ended by itself.
        started: When it was sent, by this machine's clock.
        received: When its answer was there.
    """

    answer: _Value | None
    ended: Ended
    started: float
    received: float


class Watch(Generic[_Value]):
    """Watches the runs of one sandbox.

    Args:
        life: The sandbox's.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self._lock = threading.Lock()
        self._woken: threading.Event | None = None
        self._interrupted = False

    def run(
        self,
        work: Callable[[threading.Event], _Value],
        *,
        timeout: float,
        kind: str,
        mark: str,
    ) -> Ran[_Value]:
        """Does what runs something, until it ends or is ended.

        Args:
            work: What to do; takes an event that is set when its result is not wanted any more.
            timeout: Seconds after which it is ended from here.
            kind: Which processes are its: `python`, `script` or `command`.
            mark: The token of a command.

        Raises:
            SandboxLostError: The sandbox is gone, or was ended meanwhile.
            CodeInterpreterError: As `work` raises it.
        """
        self._life.check()
        with self._going_on() as woken:
            started = time.time()
            pending = Pending(work, woken)
            try:
                ended = self._wait(pending, woken, timeout)
            except KeyboardInterrupt:
                # Nobody waits for the run any more, which must not go on for that.
                if not self._end_early(pending, kind, mark, started):
                    self._life.end("a run could not be ended otherwise (Ctrl-C)")
                raise
            if pending.done:  # By itself, at the last moment.
                ended = "completed"
            if ended != "completed" and not self._end_early(pending, kind, mark, started):
                pending.abandon()
                self._life.end(f"a run could not be ended otherwise ({ended})")
                return Ran(answer=None, ended=ended, started=started, received=time.time())
            return Ran(answer=pending.result(), ended=ended, started=started, received=time.time())

    def interrupt(self) -> None:
        """Ends the run that is going on, if any; returns at once."""
        with self._lock:
            if self._woken is not None:
                self._interrupted = True
                self._woken.set()

    @contextmanager
    def _going_on(self) -> Iterator[threading.Event]:
        woken = threading.Event()
        with self._lock:
            self._woken, self._interrupted = woken, False
        try:
            with self._life.listening(woken):
                yield woken
        finally:
            with self._lock:
                self._woken = None

    def _wait(self, pending: Pending[_Value], woken: threading.Event, timeout: float) -> Ended:
        deadline = time.monotonic() + timeout
        while not pending.done:
            if self._interrupted:
                return "interrupted"
            if self._life.lost:
                pending.abandon()
                raise SandboxLostError(
                    f"The sandbox was lost: {self._life.lost}.", may_have_run=True
                )
            left = deadline - time.monotonic()
            if left <= 0:
                return "timed_out"
            woken.wait(left)
            woken.clear()
        return "completed"

    def _end_early(self, pending: Pending[_Value], kind: str, mark: str, started: float) -> bool:
        """Signals the run until it ends; says whether it did."""
        pending.abandon()  # A call that was not taken yet is not tried again.
        asides: list[Pending[object]] = []
        for _ in range(_ATTEMPTS):
            if pending.done or self._life.lost:
                break
            elapsed = f"{time.time() - started:.1f}"
            command = interruption(kind, elapsed if kind == "script" else mark)
            with suppress(SandboxLostError):
                asides.append(self._life.aside(command))
            pending.wait(_ATTEMPT_SECONDS)
        if pending.done:
            # A signal that is still on its way would hit the next run.
            until = time.monotonic() + _ASIDE_SECONDS
            for aside in asides:
                aside.wait(max(until - time.monotonic(), 0))
        return pending.done
