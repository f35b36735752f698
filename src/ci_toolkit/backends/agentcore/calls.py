"""`Calls`: the invokes of one session, each in a thread of its own, until the session is gone."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ci_toolkit.backends.agentcore.answers import Answer
from ci_toolkit.backends.agentcore.service import Service, ServiceError
from ci_toolkit.backends.agentcore.verdicts import error_of
from ci_toolkit.backends.errands.pending import Pending
from ci_toolkit.errors import (
    CodeInterpreterError,
    InvalidArgumentsError,
    OutcomeUnknownError,
    SandboxLostError,
)
from ci_toolkit.telemetry import scoped_logger

__all__ = ["Calls"]

_STOP_SECONDS = 15.0
_log = scoped_logger(__name__)


class Calls:
    """What goes to one session.

    Args:
        service: Where it is.
        session_id: Which one.
        on_end: Called once, when the session is known to be gone or is stopped.
    """

    def __init__(
        self, service: Service, session_id: str, on_end: Callable[[str], None] = lambda _: None
    ) -> None:
        self.session_id = session_id
        self._service = service
        self._on_end = on_end
        self._lock = threading.Lock()
        self._lost = ""
        self._stopped = threading.Event()
        self._stopped.set()
        self._waiting: set[threading.Event] = set()

    @property
    def lost(self) -> str:
        """Why the session is gone; empty while it is not."""
        return self._lost

    def check(self) -> None:
        """Makes sure that the session is not known to be gone.

        Raises:
            SandboxLostError: It is.
        """
        if self._lost:
            raise SandboxLostError(f"The sandbox is gone: {self._lost}.", may_have_run=False)

    def begin(
        self, tool: str, arguments: Mapping[str, object], woken: threading.Event | None = None
    ) -> Pending[Answer]:
        """Sends a call, at most once; its result raises as `answer` does.

        Raises:
            SandboxLostError: The session is gone.
        """
        self.check()
        return Pending(lambda give_up: self.answer(tool, arguments, give_up), woken)

    def aside(self, command: str) -> Pending[object]:
        """Begins a short shell command beside what goes on.

        Raises:
            SandboxLostError: The session is gone.
        """
        self.check()
        arguments = {"command": command}
        return Pending(lambda give_up: self.answer("executeCommand", arguments, give_up))

    def invoke(self, tool: str, arguments: Mapping[str, object], *, patience: float) -> Answer:
        """Sends a call, at most once, and waits for it, or until the session is ended.

        Raises:
            OutcomeUnknownError: Its patience ended first.
            CodeInterpreterError: As `answer` does.
        """
        woken = threading.Event()
        with self.listening(woken):
            pending = self.begin(tool, arguments, woken)
            woken.wait(patience)
            if pending.done:
                return pending.result()
            pending.abandon()
            if self._lost:
                raise SandboxLostError(f"The sandbox was lost: {self._lost}.", may_have_run=True)
            raise OutcomeUnknownError(
                f"The sandbox did not answer within {patience:.0f} seconds. What was asked may "
                "have been done; look before it is repeated."
            )

    def answer(
        self, tool: str, arguments: Mapping[str, object], give_up: threading.Event
    ) -> Answer:
        """Sends a call, at most once, and reads its answer.

        Raises:
            SandboxLostError: The session is gone.
            OutcomeUnknownError: The connection broke; it may have been done.
            InvalidArgumentsError: The service refused what was asked.
            ThrottledError, QuotaExceededError, AccessDeniedError, BackendUnavailableError: It was
                refused before it began.
        """
        try:
            return self._service.invoke(self.session_id, tool, arguments, give_up=give_up)
        except ServiceError as failed:
            raise self._error(failed) from failed.error

    @contextmanager
    def listening(self, woken: threading.Event) -> Iterator[None]:
        """A context in which an event is set when the session is stopped from here."""
        with self._lock:
            self._waiting.add(woken)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(woken)

    def end(self, reason: str) -> None:
        """Stops the session, or waits until it is stopped.

        Idempotent; never raises; takes 15 seconds at most.
        """
        if self._mark(reason, stopping=True):
            with self._lock:
                waiting = list(self._waiting)
            for woken in waiting:
                woken.set()
            try:
                Pending(lambda _: self._stop())
            except RuntimeError:  # No threads any more: the interpreter is ending.
                self._stop()
        self._stopped.wait(_STOP_SECONDS)

    def let_go(self) -> None:
        """Uses the session no more from here, and does not stop it. Idempotent; never raises."""
        if self._mark("let go"):
            self._on_end(self.session_id)

    def _error(self, failed: ServiceError) -> CodeInterpreterError:
        verdict, doing = failed.verdict, f"use a session of {self._service.doing}"
        if verdict.kind == "gone" or (verdict.kind != "broken" and self._lost):
            return self._gone(failed, may_have_run=verdict.may_have_run)
        if verdict.kind in ("conflict", "invalid") and self._is_gone():
            return self._gone(failed, may_have_run=verdict.may_have_run)
        if self._lost:
            return self._gone(failed, may_have_run=True)
        if verdict.kind == "invalid":
            return InvalidArgumentsError(f"The service refused the call; nothing was run: {failed}")
        # As text: whoever keeps log records must not keep the connection in its frames.
        _log.warning("A call of %s failed: %s", self.session_id, str(failed))
        return error_of(verdict, failed.error, doing, invoking=True)

    def _gone(self, failed: ServiceError, *, may_have_run: bool) -> SandboxLostError:
        if self._mark(str(failed)[:500]):
            self._on_end(self.session_id)
        return SandboxLostError(f"The sandbox was lost: {self._lost}.", may_have_run=may_have_run)

    def _is_gone(self) -> bool:
        """Asks the service where its answer can mean one thing or the other."""
        try:
            return self._service.find(self.session_id) is None
        except CodeInterpreterError:
            Pending(lambda _: self._stop())  # It may still be there, and cost.
            return True

    def _mark(self, reason: str, *, stopping: bool = False) -> bool:
        with self._lock:
            if self._lost:
                return False
            self._lost = reason
            if stopping:
                self._stopped.clear()
            return True

    def _stop(self) -> None:
        try:
            self._service.stop(self.session_id)
        except Exception as error:  # noqa: BLE001 - a session that cannot be stopped ends in time
            _log.debug("Session %s was not stopped: %s", self.session_id, error)
        finally:
            self._on_end(self.session_id)
            self._stopped.set()
