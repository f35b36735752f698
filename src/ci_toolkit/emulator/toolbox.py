"""The nine tools over one sandbox: the tool's name and arguments in, the service's result out."""

from collections.abc import Callable, Mapping
from typing import Any

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.emulator.answers import Result, ran_command, told
from ci_toolkit.emulator.files import FILE_TOOLS
from ci_toolkit.emulator.options import EmulatorOptions
from ci_toolkit.emulator.running import Pending, Runs, is_interrupt
from ci_toolkit.emulator.tasks import Submit, Tasks
from ci_toolkit.errors import OutcomeUnknownError, ToolError
from ci_toolkit.results import Execution

__all__ = ["Toolbox"]


class Toolbox:
    """The tools of one session.

    Args:
        sandbox: Where they work.
        shell: Whether its commands run in a real shell.
        options: The emulator's.
        submit: Runs a function beside the calls of the session.
    """

    def __init__(
        self, sandbox: Sandbox, *, shell: bool, options: EmulatorOptions, submit: Submit
    ) -> None:
        self._sandbox = sandbox
        self._limit = options.payload_bytes
        self._runs = runs = Runs(sandbox, shell=shell, options=options)
        self._tasks = tasks = Tasks(sandbox, shell=shell, submit=submit)
        self._tools: Mapping[str, Callable[[Mapping[str, Any]], Result | Pending]] = {
            "executeCode": runs.code,
            "executeCommand": runs.command,
            "startCommandExecution": tasks.start,
            "getTask": tasks.get,
            "stopTask": tasks.stop,
        }

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Result | Pending:
        """Calls a tool; never while another call or look is under way.

        Raises:
            BackendError, OutcomeUnknownError: As the sandbox raises them.
            Refusal: The result is too large.
        """
        if tool in FILE_TOOLS:
            return _told(lambda: FILE_TOOLS[tool](self._sandbox, arguments, self._limit))
        return _told(lambda: self._tools[tool](arguments))

    def look(self, pending: Pending) -> Result | Pending:
        """Looks at a run again; raises as `call` does."""
        return _told(pending.look)

    def beside(self, tool: str, arguments: Mapping[str, Any]) -> Result | None:
        """Answers what can be answered while another call is under way; None for all else.

        Code in a kernel holds the sandbox, where the service's session is a whole machine. So a
        command that would send the code an interrupt is understood and done here, and a task is
        said to be as it was last seen.
        """
        if tool == "getTask":
            return self._tasks.glance(arguments)
        if tool != "executeCommand" or not is_interrupt(arguments.get("command") or ""):
            return None
        return ran_command(Execution()) if self._runs.interrupt() else None


def _told(work: Callable[[], Result | Pending]) -> Result | Pending:
    try:
        return work()
    except OutcomeUnknownError:
        raise
    except ToolError as error:
        return told(f"Error: {error}", error=True)
