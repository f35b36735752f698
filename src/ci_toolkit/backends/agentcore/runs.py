"""`Runs`: runs as calls of the service or, where they may take longer, as its tasks."""

import threading
import time

from ci_toolkit.backends.agentcore.answers import Answer
from ci_toolkit.backends.agentcore.calls import Calls
from ci_toolkit.backends.errands.watch import Ran, Watch
from ci_toolkit.errors import CodeInterpreterError, OutcomeUnknownError, SandboxLostError

__all__ = ["LONGEST_CALL", "Runs"]

# The service lets a call take 15 minutes; what may take longer is started and asked for.
LONGEST_CALL = 840.0
_POLLS = (0.2, 0.5, 1.0, 2.0, 5.0)
_POLL_SECONDS = 60.0
_FAILED_POLLS = 5


class Runs:
    """The runs of one session.

    Args:
        calls: The session's.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._watch: Watch[Answer] = Watch(calls)

    def call(
        self,
        tool: str,
        arguments: dict[str, object],
        *,
        timeout: float,
        kind: str,
        mark: str = "",
    ) -> Ran[Answer]:
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
        return self._watch.run(
            lambda give_up: self._calls.answer(tool, arguments, give_up),
            timeout=timeout,
            kind=kind,
            mark=mark,
        )

    def task(self, command: str, *, timeout: float, mark: str) -> Ran[Answer]:
        """Runs a command that may take longer than a call of the service.

        Args:
            command: Ends by itself in time.
            timeout: Seconds after which it is ended from here.
            mark: Its token.
        """
        return self._watch.run(
            lambda give_up: self._as_task(command, give_up),
            timeout=timeout,
            kind="command",
            mark=mark,
        )

    def interrupt(self) -> None:
        """Ends the run that is going on, if any; returns at once."""
        self._watch.interrupt()

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
