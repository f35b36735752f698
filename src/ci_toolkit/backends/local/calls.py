"""Requests to a guest and their answers, one at a time; between `LocalSandbox` and the wire."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ci_toolkit.backends.local.owner import Owner
from ci_toolkit.backends.local.processes import Running
from ci_toolkit.backends.local.wire import Frame, FrameError, HangUpError
from ci_toolkit.errors import SandboxLostError
from ci_toolkit.telemetry import scoped_logger

__all__ = ["Calls"]

Result = TypeVar("Result")
OnEvent = Callable[[Frame], None]
_log = scoped_logger(__name__)
# The guest's own attempts to end a run, the hardest included, take 6 seconds at most.
_INTERRUPT_SECONDS = 16.0
_STALE_FRAMES = 10_000


class Calls:
    """The conversation with one guest; once anything in it is wrong, the guest is ended.

    Args:
        running: The guest.
        name: For the log.
    """

    def __init__(self, running: Running, name: str) -> None:
        self._running = running
        self._name = name
        self._turn = threading.RLock()
        self._ending = threading.Lock()
        self._lost = ""
        self._number = 0
        self._run = 0
        self._watch: threading.Timer | None = None
        self._abandoned: set[int] = set()
        self._owner = Owner()

    @property
    def turn(self) -> threading.RLock:
        """Held while one thing is done; for what takes several requests."""
        return self._turn

    @property
    def lost(self) -> bool:
        """Whether the guest is gone."""
        return bool(self._lost)

    def greet(self, *, timeout: float) -> None:
        """Waits for the guest's first word.

        Raises:
            HangUpError: It ended instead.
            TimeoutError: It said nothing.
            FrameError: It said something else.
        """
        frame = self._running.wire.receive(deadline=time.monotonic() + timeout)
        if frame.header.get("event") != "hello":
            raise FrameError("no hello")

    def ask(
        self,
        request: dict[str, object],
        payload: bytes = b"",
        *,
        timeout: float,
        read: Callable[[Frame], Result],
        on_event: OnEvent | None = None,
    ) -> Result:
        """Sends a request and gives what `read` makes of the answer.

        Args:
            request: The header, without a number.
            payload: Raw bytes.
            timeout: Seconds after which the guest counts as lost.
            read: Turns the answer into a result; a `FrameError` of it counts as a lost guest.
            on_event: Called with each frame before the answer, where the request is a run.

        Raises:
            SandboxLostError: The guest is gone, or had to be ended.
            BackendUnavailableError: The guest belongs to another process.
        """
        # Before the lock, which a fork may have inherited in a locked state.
        self._owner.check()
        with self._turn:
            if self._lost:
                raise SandboxLostError(f"The sandbox is gone: {self._lost}.", may_have_run=False)
            events = _Events(on_event)
            try:
                frame = self._exchange(request, payload, time.monotonic() + timeout, events)
                return _believe(read, frame)
            except (HangUpError, TimeoutError, FrameError) as error:
                self.end(_reason(error))
                raise SandboxLostError(
                    f"The sandbox was lost: {self._lost}.", may_have_run=events.started
                ) from error
            finally:
                self._run = 0
                self._forget_watch()

    def _exchange(
        self, request: dict[str, object], payload: bytes, deadline: float, events: "_Events"
    ) -> Frame:
        self._number += 1
        number = self._number
        # Only a run hears interrupts.
        self._run = number if events.expected else 0
        try:
            self._running.wire.send({**request, "id": number}, payload, deadline=deadline)
            while (frame := self._next(number, deadline)).header.get("event") != "done":
                _believe(events.take, frame)
        except (HangUpError, TimeoutError, FrameError):
            raise
        except BaseException:
            self._abandon(number)
            raise
        return frame

    def _next(self, number: int, deadline: float) -> Frame:
        """The next frame about a request; the rest of abandoned ones is passed over."""
        for _ in range(_STALE_FRAMES):
            frame = self._running.wire.receive(deadline=deadline)
            if self._belongs(frame, number):
                return frame
        raise FrameError("no end of what was abandoned")

    def _belongs(self, frame: Frame, number: int) -> bool:
        """Whether a frame is about this request, and not about an abandoned one before."""
        answered = frame.header.get("id")
        if type(answered) is not int or answered not in {number, *self._abandoned}:
            raise FrameError("an answer to no request")
        if answered != number and frame.header.get("event") == "done":
            self._abandoned.remove(answered)
        return answered == number

    def _abandon(self, number: int) -> None:
        """Gives a request up in the middle, because its caller was interrupted."""
        if self._running.wire.broken:
            self.end("a call was cut off in the middle of a message")
        else:
            self._abandoned.add(number)
            self.interrupt()

    def interrupt(self) -> None:
        """Asks the guest to end the run that is going on, if any; from any thread."""
        number = self._run
        if not number or self._lost or not self._owner.is_here:
            return
        if self._watch is None:
            watch = self._watch = threading.Timer(_INTERRUPT_SECONDS, self._insist, [number])
            watch.daemon = True
            with suppress(RuntimeError):
                watch.start()
        with suppress(HangUpError, TimeoutError):
            request: dict[str, object] = {"verb": "interrupt", "id": number}
            self._running.wire.send(request, deadline=time.monotonic() + 1)

    def _forget_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch:
            watch.cancel()

    def _insist(self, number: int) -> None:
        """Ends a guest that has not ended its run in all the time that it may take for that."""
        if self._run == number:
            self.end("it did not end an interrupted run")

    def end(self, reason: str) -> None:
        """Ends the guest and everything in it; from any thread; never raises."""
        if not self._owner.is_here:
            return
        with self._ending:
            if not self._lost:
                self._lost = reason
                _log.log(
                    logging.DEBUG if reason == "closed" else logging.WARNING,
                    "Sandbox %s ended: %s. Its last words: %r",
                    self._name,
                    reason,
                    self._running.wire.tail or "none",
                )
            self._running.kill()

    def close(self) -> None:
        """Ends the guest and lets go of the wire."""
        if not self._owner.is_here:
            return
        self.end("closed")
        # A call that is going on has now read the end of the guest's output, and gives way.
        if self._turn.acquire(timeout=10):
            self._running.wire.close()
            self._turn.release()


class _Events:
    """What comes before an answer.

    Args:
        on_event: Takes what a run tells; None where the request is no run, and nothing may come.
    """

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event
        self.started = False

    @property
    def expected(self) -> bool:
        """Whether anything may come."""
        return self._on_event is not None

    def take(self, frame: Frame) -> None:
        """Takes one frame.

        Raises:
            FrameError: It does not belong here.
        """
        if self._on_event is None:
            raise FrameError("an event where none belongs")
        if frame.header.get("event") != "started":
            self._on_event(frame)
        elif self.started or frame.payload:
            raise FrameError("a run that starts twice, or with a payload")
        else:
            self.started = True


def _believe(read: Callable[[Frame], Result], frame: Frame) -> Result:
    """What `read` makes of a frame; whatever goes wrong with that is the guest's fault."""
    try:
        return read(frame)
    except FrameError:
        raise
    except Exception as error:
        raise FrameError(f"{type(error).__name__} while a frame was read") from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, HangUpError):
        return "its guest program ended"
    return f"it broke the protocol ({error})"
