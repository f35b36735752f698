"""Requests to a guest and their answers, one at a time; between `LocalSandbox` and the wire."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ci_toolkit.backends.local.processes import Running
from ci_toolkit.backends.local.wire import Frame, FrameError, HangUpError
from ci_toolkit.errors import SandboxLostError

__all__ = ["Calls"]

Result = TypeVar("Result")
OnEvent = Callable[[Frame], None]
_log = logging.getLogger(__name__)


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
        self._current = 0

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
            on_event: Called with each frame before the answer.

        Raises:
            SandboxLostError: The guest is gone, or had to be ended.
        """
        with self._turn:
            if self._lost:
                raise SandboxLostError(f"The sandbox is gone: {self._lost}.", may_have_run=False)
            began: list[Frame] = []

            def event(frame: Frame) -> None:
                if frame.header.get("event") == "started":
                    began.append(frame)
                elif on_event is None:
                    raise FrameError("an event where none belongs")
                else:
                    on_event(frame)

            try:
                return read(self._exchange(request, payload, time.monotonic() + timeout, event))
            except (HangUpError, TimeoutError, FrameError) as error:
                self.end(_reason(error))
                raise SandboxLostError(
                    f"The sandbox was lost: {self._lost}.", may_have_run=bool(began)
                ) from error
            finally:
                self._current = 0

    def _exchange(
        self, request: dict[str, object], payload: bytes, deadline: float, on_event: OnEvent
    ) -> Frame:
        self._number += 1
        number = self._current = self._number
        try:
            self._running.wire.send({**request, "id": number}, payload, deadline=deadline)
            while True:
                frame = self._running.wire.receive(deadline=deadline)
                if not _belongs(frame, number):
                    continue
                if frame.header.get("event") == "done":
                    return frame
                on_event(frame)
        except BaseException:
            self.interrupt()
            raise

    def interrupt(self) -> None:
        """Asks the guest to end the run that is going on, if any; from any thread."""
        number = self._current
        if number and not self._lost:
            with suppress(HangUpError, TimeoutError):
                request: dict[str, object] = {"verb": "interrupt", "id": number}
                self._running.wire.send(request, deadline=time.monotonic() + 1)

    def end(self, reason: str) -> None:
        """Ends the guest and everything in it; from any thread."""
        with self._ending:
            if not self._lost:
                self._lost = reason
                _log.log(
                    logging.DEBUG if reason == "closed" else logging.WARNING,
                    "Sandbox %s ended: %s. Its last words: %s",
                    self._name,
                    reason,
                    self._running.wire.tail or "none",
                )
            self._running.kill()

    def close(self) -> None:
        """Ends the guest and lets go of the wire."""
        self.end("closed")
        # A call that is going on has now read the end of the guest's output, and gives way.
        if self._turn.acquire(timeout=10):
            self._running.wire.close()
            self._turn.release()


def _belongs(frame: Frame, number: int) -> bool:
    """Whether a frame is about this request, and not about an abandoned one before."""
    answered = frame.header.get("id")
    if not isinstance(answered, int) or answered > number:
        raise FrameError("an answer to no request")
    return answered == number


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, HangUpError):
        return "its guest program ended"
    return f"it broke the protocol ({error})"
