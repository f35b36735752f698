"""Commands as deepagents knows them: one text of both streams, and an exit code."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from posixpath import join
from typing import Final

from deepagents.backends.protocol import ExecuteResponse

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.deepagents.access import Access, told
from ci_toolkit.deepagents.files import first_bytes
from ci_toolkit.errors import CodeInterpreterError, OutcomeUnknownError, TooLargeError
from ci_toolkit.limits import Limits
from ci_toolkit.outputs import keep_long_output, network_hint
from ci_toolkit.rendering import clip, printable
from ci_toolkit.results import Execution, OnOutput

__all__ = ["Commands"]

_MOST_BYTES: Final = 4 * 1024**2
"""What a program gets of an output. deepagents' own commands print 700 KiB at most."""

_EXIT_CODES: Final = {"timed_out": 124, "interrupted": 130}
"""As the `timeout` command and shells have them."""

Show = Callable[[Execution, Sandbox], ExecuteResponse]


@dataclass(frozen=True)
class Commands:
    """Runs commands. Whatever goes wrong is a response.

    Attributes:
        access: Leads to the sandbox.
    """

    access: Access

    def run(
        self, command: str, timeout: int | None, cancellation: Cancellation | None = None
    ) -> ExecuteResponse:
        """Gives the whole output, as far as its first 4 MiB, after what has to be told."""
        return self._told(self._work(command, timeout, _whole), cancellation)

    def run_quietly(
        self, command: str, timeout: int | None, cancellation: Cancellation | None = None
    ) -> ExecuteResponse:
        """As `run`, for output that a program reads: what has to be told is left for later."""
        return self.access.run_quietly(self._work(command, timeout, _whole), _failed, cancellation)

    def run_for_a_model(
        self,
        command: str,
        timeout: int | None,
        most: int,
        on_output: OnOutput | None,
        cancellation: Cancellation | None = None,
    ) -> ExecuteResponse:
        """Gives at most `most` characters of output, and says where the sandbox has all of it."""
        most = min(most, self._limits.text_chars)

        def show(execution: Execution, sandbox: Sandbox) -> ExecuteResponse:
            return _excerpt(execution, sandbox, most)

        return self._told(self._work(command, timeout, show, on_output), cancellation)

    def directory(self, cancellation: Cancellation | None = None) -> str | None:
        """Where commands start; None where there is no sandbox, as the next command will say."""

        def work(sandbox: Sandbox) -> str | None:
            return sandbox.working_directory

        return self.access.run_quietly(work, lambda _: None, cancellation)

    @property
    def _limits(self) -> Limits:
        return self.access.interpreter.limits

    def _told(
        self, work: Callable[[Sandbox], ExecuteResponse], cancellation: Cancellation | None
    ) -> ExecuteResponse:
        response, notes = self.access.run(work, _failed, cancellation)
        before = "".join(f"Note: {note}\n" for note in notes)
        return replace(response, output=before + response.output)

    def _work(
        self, command: str, timeout: int | None, show: Show, on_output: OnOutput | None = None
    ) -> Callable[[Sandbox], ExecuteResponse]:
        most, limit = self._limits.code_chars, self._limits.timeout
        network = self.access.interpreter.backend.abilities.network

        def work(sandbox: Sandbox) -> ExecuteResponse:
            if len(command) > most:
                raise TooLargeError(
                    f"The command has {len(command):,} characters; at most {most:,} can be run at "
                    "once. Nothing was run."
                )
            seconds = min(timeout, limit) if timeout and timeout > 0 else limit
            execution = sandbox.execute_command(command, timeout=seconds, on_output=on_output)
            response = show(execution, sandbox)
            ending = [*_ending(execution), *network_hint(execution, network)]
            return replace(
                response,
                output="\n".join(filter(None, [response.output, *ending])),
                exit_code=_exit_code(execution),
            )

        return work


def _failed(error: Exception) -> ExecuteResponse:
    """A response without a run; without an exit code where there may have been one."""
    unknown = isinstance(error, OutcomeUnknownError) or getattr(error, "may_have_run", False)
    return ExecuteResponse(output=told(error), exit_code=None if unknown else 1)


def _text(execution: Execution) -> str:
    """Both streams; deepagents has one."""
    out, err = execution.stdout, execution.stderr
    return f"{out}\n{err}" if out and err and not out.endswith("\n") else out + err


def _exit_code(execution: Execution) -> int:
    """As a shell has it: an end by a signal is 128 and the signal's number."""
    code = _EXIT_CODES.get(execution.ended, execution.exit_code)
    return code if code >= 0 else 128 - code


def _ending(execution: Execution) -> list[str]:
    seconds = f"{execution.duration:.1f} s"
    if execution.ended == "timed_out":
        return [f"Timed out: stopped after {seconds}."]
    if execution.ended == "interrupted":
        return [f"Interrupted after {seconds}."]
    return []


# What fails after a run must not be raised by the two below: the command would be run once more,
# or be said not to have run.


def _whole(execution: Execution, sandbox: Sandbox) -> ExecuteResponse:
    """All of an output, where need be from the file that the sandbox keeps it in."""
    if not execution.output_file:
        return ExecuteResponse(output=_text(execution))
    with suppress(CodeInterpreterError):
        for content in sandbox.read_files([execution.output_file]):
            if content.error is None:
                data = first_bytes(content.chunks, _MOST_BYTES)
                cut = len(data) < execution.output_bytes
                return ExecuteResponse(output=data.decode(errors="replace"), truncated=cut)
    return ExecuteResponse(output=_text(execution), truncated=True)


def _excerpt(execution: Execution, sandbox: Sandbox, most: int) -> ExecuteResponse:
    """Head and tail of a long output, and where all of it is."""
    text, file = printable(_text(execution)), ""
    with suppress(CodeInterpreterError):
        execution = keep_long_output(execution, sandbox, most=most)
        file = execution.output_file and join(sandbox.working_directory, execution.output_file)
    if not file:
        return ExecuteResponse(output=clip(text, most), truncated=len(text) > most)
    where = (
        f"The whole output ({execution.output_bytes:,} bytes) is in {file}, as far as there is "
        "room for it; read a part with read_file, or with "
        f"execute('tail -c +10001 {file} | head -c 10000')"
    )
    # What the sandbox gave may be short enough, and yet not be all.
    shown = clip(text, most, where) if len(text) > most else f"{text}\n[{where}]"
    return ExecuteResponse(output=shown)
