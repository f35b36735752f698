"""`Runs`: one run at a time, waited for, and ended when its time is up or the host says so.

The service cannot cancel a run. So it is asked beside it to send SIGINT to the processes of the
run (`errands/guest/find.py` says which); where that does not end the run, the session is stopped.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from ci_toolkit.backends.agentcore.answers import Answer
from ci_toolkit.backends.agentcore.calls import Calls
from ci_toolkit.backends.errands.pending import Pending
from ci_toolkit.backends.errands.programs import interruption
from ci_toolkit.errors import CodeInterpreterError, OutcomeUnknownError, SandboxLostError

__all__ = ["Ran", "Runs"]

Ended = Literal["completed", "timed_out", "interrupted"]
# The service lets a call take 15 minutes; what may take longer is started and asked for.
LONGEST_CALL = 840.0
_ATTEMPTS = 3
_ATTEMPT_SECONDS = 2.5
_ASIDE_SECONDS = 10.0
_POLLS = (0.2, 0.5, 1.0, 2.0, 5.0)
_POLL_SECONDS = 60.0
_FAILED_POLLS = 5


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a run ended.

    Attributes:
        answer: What it answered; None when the session had to be stopped to end it.
        ended: Whether it ended by itself.
        started: When it was sent, by this machine's clock.
        received: When its answer was there.
    """

    answer: Answer | None
    ended: Ended
    started: float
    received: float


class Runs:
    """The runs of one session.

    Args:
        calls: The session's.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._woken: threading.Event | None = None
        self._interrupted = False

    def call(
        self,
        tool: str,
        arguments: dict[str, object],
        *,
        timeout: float,
        kind: str,
        mark: str = "",
    ) -> Ran:
        """Runs one call of the service.

        Args:
            tool: Its name.
            arguments: Its arguments.
            timeout: Seconds after which it is ended from here.
            kind: Which processes are its: `python`, `script` or `command`.
            mark: The token of a command.

        Raises:
            CodeInterpreterError: As `Calls.answer` does.
        """
        return self._run(
            lambda give_up: self._calls.answer(tool, arguments, give_up), timeout, kind, mark
        )

    def task(self, command: str, *, timeout: float, mark: str) -> Ran:
        """Runs a command that may take longer than a call of the service.

        Args:
            command: Ends by itself in time.
            timeout: Seconds after which it is ended from here.
            mark: Its token.
        """
        return self._run(lambda give_up: self._as_task(command, give_up), timeout, "command", mark)

    def interrupt(self) -> None:
        """Ends the run that is going on, if any; returns at once."""
        with self._lock:
            if self._woken is not None:
                self._interrupted = True
                self._woken.set()

    def _run(
        self, work: Callable[[threading.Event], Answer], timeout: float, kind: str, mark: str
    ) -> Ran:
        self._calls.check()
        with self._going_on() as woken:
            started = time.time()
            pending = Pending(work, woken)
            ended = self._wait(pending, woken, timeout)
            if pending.done:  # By itself, at the last moment.
                ended = "completed"
            if ended != "completed" and not self._end_early(pending, kind, mark, started):
                pending.abandon()
                self._calls.end(f"a run could not be ended otherwise ({ended})")
                return Ran(answer=None, ended=ended, started=started, received=time.time())
            return Ran(answer=pending.result(), ended=ended, started=started, received=time.time())

    @contextmanager
    def _going_on(self) -> Iterator[threading.Event]:
        woken = threading.Event()
        with self._lock:
            self._woken, self._interrupted = woken, False
        try:
            with self._calls.listening(woken):
                yield woken
        finally:
            with self._lock:
                self._woken = None

    def _wait(self, pending: Pending[Answer], woken: threading.Event, timeout: float) -> Ended:
        deadline = time.monotonic() + timeout
        while not pending.done:
            if self._interrupted:
                return "interrupted"
            if self._calls.lost:
                pending.abandon()
                raise SandboxLostError(
                    f"The sandbox was lost: {self._calls.lost}.", may_have_run=True
                )
            left = deadline - time.monotonic()
            if left <= 0:
                return "timed_out"
            woken.wait(left)
            woken.clear()
        return "completed"

    def _end_early(self, pending: Pending[Answer], kind: str, mark: str, started: float) -> bool:
        """Signals the run until it ends; says whether it did."""
        pending.abandon()  # A call that was not taken yet is not tried again.
        asides: list[Pending[Answer]] = []
        for _ in range(_ATTEMPTS):
            if pending.done or self._calls.lost:
                break
            elapsed = f"{time.time() - started:.1f}"
            command = interruption(kind, elapsed if kind == "script" else mark)
            with suppress(SandboxLostError):
                asides.append(self._calls.begin("executeCommand", {"command": command}))
            pending.wait(_ATTEMPT_SECONDS)
        if pending.done:
            # A signal that is still on its way would hit the next run.
            until = time.monotonic() + _ASIDE_SECONDS
            for aside in asides:
                aside.wait(max(until - time.monotonic(), 0))
        return pending.done

    def _as_task(self, command: str, give_up: threading.Event) -> Answer:
        started = self._calls.answer("startCommandExecution", {"command": command}, give_up)
        if not started.task_id:
            raise OutcomeUnknownError(
                "The command was started and the service did not say under which name. It may "
                "run; look at the files that it was to change before repeating it."
            )
        polls, unknown = 0, 0
        while True:
            # A run that is being ended is looked at more often, and never given up from here.
            time.sleep(_POLLS[0] if give_up.is_set() else _POLLS[min(polls, len(_POLLS) - 1)])
            polls += 1
            answer = self._poll(started.task_id)
            if answer.task_status in ("completed", "failed", "canceled"):
                return answer
            unknown = unknown + 1 if not answer.task_status else 0
            if unknown >= _FAILED_POLLS:
                raise OutcomeUnknownError("The command was started and cannot be found any more.")

    def _poll(self, task_id: str) -> Answer:
        """Asks for a task; that may be repeated, unlike all that runs something."""
        for left in reversed(range(_FAILED_POLLS)):
            try:
                return self._calls.invoke("getTask", {"taskId": task_id}, patience=_POLL_SECONDS)
            except SandboxLostError as error:
                raise SandboxLostError(str(error), may_have_run=True) from error
            except CodeInterpreterError:
                if not left or self._calls.lost:
                    raise
                time.sleep(_POLLS[-2])
        raise AssertionError("unreachable")  # pragma: no cover - the last attempt raises
