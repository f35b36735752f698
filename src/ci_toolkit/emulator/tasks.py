"""Commands in the background: started, asked for and stopped by the id of their task."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol
from uuid import uuid4

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.emulator.answers import Result, exit_status, terminal_text, told
from ci_toolkit.emulator.shell import Job
from ci_toolkit.errors import CodeInterpreterError
from ci_toolkit.results import Execution

__all__ = ["Submit", "Tasks"]

Submit = Callable[[Callable[[], Execution]], "Future[Execution]"]
"""Runs a function beside the calls of the session."""

_LONGEST = 8 * 3600.0


class _Work(Protocol):
    """What a task does, by whatever means."""

    @property
    def ended(self) -> Execution | None: ...

    def look(self) -> None: ...

    def stop(self) -> None: ...


class _Call:
    """A call of a backend without a shell, beside those of the session."""

    def __init__(self, sandbox: Sandbox, command: str, submit: Submit) -> None:
        self.ended: Execution | None = None
        self._sandbox = sandbox
        self._future = submit(lambda: sandbox.execute_command(command, timeout=_LONGEST))

    def look(self) -> None:
        if self._future.done():
            try:
                self.ended = self._future.result()
            except CodeInterpreterError as error:
                self.ended = Execution(stderr=f"{error}\n", exit_code=1)

    def stop(self) -> None:
        self._sandbox.interrupt()


class _Task:
    def __init__(self, work: _Work) -> None:
        self.work = work
        self.canceled = False

    @property
    def status(self) -> str:
        if self.canceled:
            return "canceled"
        if self.work.ended is None:
            return "working"
        return "failed" if self.work.ended.failed else "completed"


class Tasks:
    """The tasks of one session.

    Args:
        sandbox: Where they run.
        shell: Whether its commands run in a real shell.
        submit: Runs a function beside the calls of the session.
    """

    def __init__(self, sandbox: Sandbox, *, shell: bool, submit: Submit) -> None:
        self._sandbox = sandbox
        self._shell = shell
        self._submit = submit
        self._tasks: dict[str, _Task] = {}

    def start(self, arguments: Mapping[str, Any]) -> Result:
        """`startCommandExecution`."""
        command = arguments.get("command")
        if command is None:
            return told("Error: startCommandExecution needs 'command'.", error=True)
        task_id = str(uuid4())
        self._tasks[task_id] = _Task(self._work(command))
        found = {"taskId": task_id, "taskStatus": "submitted", "stdout": "", "stderr": ""}
        answer = told("Successfully started a command execution task")
        return {**answer, "structuredContent": found}

    def get(self, arguments: Mapping[str, Any]) -> Result:
        """`getTask`."""
        task = self._find(arguments)
        if task is None:
            return _unknown(arguments)
        if task.status == "working":
            task.work.look()
        return _state(task)

    def stop(self, arguments: Mapping[str, Any]) -> Result:
        """`stopTask`."""
        task = self._find(arguments)
        if task is None:
            return _unknown(arguments)
        if task.status == "working":
            task.work.look()
        if task.status != "working":
            status = f"TaskStatus.{task.status.upper()}"
            return told(f"Task cannot be canceled (current status: {status})", error=True)
        task.canceled = True
        task.work.stop()
        return _state(task)

    def glance(self, arguments: Mapping[str, Any]) -> Result | None:
        """`getTask` as far as it can be answered while the sandbox is busy."""
        task = self._find(arguments)
        return None if task is None else _state(task)

    def _work(self, command: str) -> _Work:
        if not self._shell:
            return _Call(self._sandbox, command, self._submit)
        job = Job(self._sandbox)
        job.start(command, wait=False)
        return job

    def _find(self, arguments: Mapping[str, Any]) -> _Task | None:
        return self._tasks.get(arguments.get("taskId", ""))


def _unknown(arguments: Mapping[str, Any]) -> Result:
    return told(f"Error: there is no task {arguments.get('taskId')!r}.", error=True)


def _state(task: _Task) -> Result:
    ended = task.work.ended
    if task.canceled or ended is None:
        found: dict[str, object] = {"taskStatus": task.status}
        return {**told(f"Task is {task.status}"), "structuredContent": found}
    status, output = exit_status(ended), terminal_text(ended)
    stdout, stderr = ("", output) if status else (output, "")
    found = {
        "taskStatus": task.status,
        "stdout": stdout,
        "stderr": stderr,
        "exitCode": status,
        "executionTime": ended.duration,
    }
    answer = told(output or f"Task is {task.status}", error=status != 0)
    return {**answer, "structuredContent": found}
