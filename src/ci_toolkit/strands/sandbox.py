"""`CodeInterpreterSandbox`: a conversation's sandbox as the one that Strands' own tools use."""

import re
import shlex
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from posixpath import basename, normpath
from typing import Any, TypeVar
from uuid import uuid4

from strands.sandbox import ExecutionResult, FileInfo, OutputFile, Sandbox, StreamChunk
from strands.sandbox.errors import SandboxPathNotFoundError, SandboxTimeoutError
from strands.types.tools import AgentTool
from strands.vended_tools.file_editor import make_file_editor
from strands.vended_tools.python_repl import make_python_repl
from strands.vended_tools.shell import make_shell

from ci_toolkit.backends.base import Sandbox as OurSandbox
from ci_toolkit.bridge import Bridge
from ci_toolkit.errors import (
    CodeInterpreterError,
    ConfigurationError,
    FileMissingError,
    NotAFileError,
    PathOutsideError,
    TooLargeError,
    ToolError,
    UnsupportedError,
)
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.rendering import sentence
from ci_toolkit.results import Execution, FileWrite, OnOutput
from ci_toolkit.scope import Scope
from ci_toolkit.strands.live import Live
from ci_toolkit.telemetry import scoped_logger

__all__ = ["CodeInterpreterSandbox"]

logger = scoped_logger(__name__)

_Value = TypeVar("_Value")
_Run = Callable[[OurSandbox, float, OnOutput], Execution]

_LANGUAGES = {
    "python": re.compile(r"python(3(\.\d+)?)?"),
    "javascript": re.compile(r"javascript|js|node|nodejs"),
    "typescript": re.compile(r"typescript|ts|deno"),
    "shell": re.compile(r"sh|bash|shell"),
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGNAL_BASE = 128
_INTERRUPTED = 130

_DEFECT = (
    "The code interpreter failed inside; it is not known whether anything was run. Check before "
    "you repeat it."
)
_PYTHON = (
    "Runs Python in a sandbox and returns output (stdout), error (stderr) and exit_code. "
    "Variables, imports and files stay for later calls. Use print() to see values; there is no "
    "stdin and no display."
)
_SHELL = (
    "Runs a shell command in a sandbox and returns output (stdout), error (stderr) and exit_code. "
    "Each call has a fresh shell in the working directory; files stay."
)
_EDITOR = (
    "Views, creates and edits files of the sandbox: view (with line ranges), create, str_replace "
    "and insert. Paths are absolute; the working directory is what `pwd` prints in the shell."
)


class CodeInterpreterSandbox(Sandbox):
    """One conversation's sandbox on any backend, for `Agent(sandbox=...)` and Strands' own tools.

    It is the sandbox that the code interpreter's tools use in the same scope, with its uploads and
    saved files, in turn with their calls. It is started when it is first needed. When it was lost,
    the next answer that has an error stream, or the next error, begins with what was lost.

    Cancelling the task, or closing a stream early, interrupts the run. Nothing is ever run on the
    host in its place.

    Args:
        interpreter: Has the sandbox; closing it is up to its owner.
        scope: Whose conversation it is.
        tools: Whether agents are given `sandbox_shell`, `sandbox_python_repl` and
            `sandbox_file_editor`, which are Strands' own tools on this sandbox. To be switched off
            for agents that have the code interpreter's tools.

    Raises:
        ConfigurationError: An argument is not what it has to be.
    """

    def __init__(self, interpreter: CodeInterpreter, *, scope: Scope, tools: bool = True) -> None:
        if not isinstance(scope, Scope):
            raise ConfigurationError(f"scope must be a Scope, not {scope!r}.")
        self._bridge = Bridge(interpreter)
        self._interpreter = interpreter
        self._scope = scope
        self._tools = tools
        self._notes: list[str] = []

    async def execute_streaming(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        **kwargs: Any,  # noqa: ARG002 - as Strands asks for
    ) -> AsyncGenerator[StreamChunk | ExecutionResult, None]:
        """Runs a command in a fresh shell; see `strands.sandbox.Sandbox`.

        Args:
            command: Shell source text.
            timeout: Seconds; never more than `Limits.timeout`.
            cwd: Where it runs; by default in the working directory.
            env: Variables of this command alone.
            kwargs: Nothing that is known.

        Yields:
            Output where the backend has it live, then the result.

        Raises:
            SandboxTimeoutError: Time was up; with the output so far.
            ValueError: A name in `env` cannot be one of a variable.
            OSError: The sandbox cannot be used.
        """
        source = _placed(command, cwd, env)

        def run(sandbox: OurSandbox, limit: float, report: OnOutput) -> Execution:
            return sandbox.execute_command(source, timeout=limit, on_output=report)

        async for piece in self._stream(run, timeout):
            yield piece

    async def execute_code_streaming(
        self,
        code: str,
        language: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        **kwargs: Any,  # noqa: ARG002 - as above
    ) -> AsyncGenerator[StreamChunk | ExecutionResult, None]:
        """Runs code; see `strands.sandbox.Sandbox`.

        It runs where the variables of earlier runs are, if the backend keeps them. With `cwd` or
        `env`, which only Python takes, it runs in a process of its own.

        Args:
            code: Source text.
            language: Such as `python3`, `node`, `typescript` or `bash`.
            timeout: Seconds; never more than `Limits.timeout`.
            cwd: Where it runs.
            env: Variables of this run alone.
            kwargs: Nothing that is known.

        Yields:
            Output where the backend has it live, then the result, with figures as its files.

        Raises:
            SandboxTimeoutError: Time was up; with the output so far.
            ValueError: The backend has no such language, or not with `cwd` and `env`; or the code
                is not valid Unicode.
            OSError: The sandbox cannot be used.
        """
        async for piece in self._stream(_code(code, _known(language), cwd, env), timeout):
            yield piece

    async def read_file(self, path: str, **kwargs: Any) -> bytes:  # noqa: ARG002 - as above
        """A whole file; see `strands.sandbox.Sandbox`.

        Raises:
            FileNotFoundError, IsADirectoryError, OSError: It cannot be read.
        """
        most = self._interpreter.limits.file_bytes

        def read(sandbox: OurSandbox) -> bytes | ToolError:
            (content,) = sandbox.read_files([path])
            if content.size > most:
                return TooLargeError(f"{path!r} is larger than {most:,} bytes.")
            return content.error or b"".join(content.chunks)

        return await self._file(read)

    async def write_file(self, path: str, content: bytes, **kwargs: Any) -> None:  # noqa: ARG002
        """Writes a file, whole or not at all; see `strands.sandbox.Sandbox`.

        Raises:
            OSError: It cannot be written.
        """

        def write(sandbox: OurSandbox) -> ToolError | None:
            (outcome,) = sandbox.write_files([FileWrite(path=path, chunks=[content])])
            return outcome.error

        await self._file(write)

    async def remove_file(self, path: str, **kwargs: Any) -> None:  # noqa: ARG002
        """Removes a file, but no directory; see `strands.sandbox.Sandbox`.

        Raises:
            FileNotFoundError, IsADirectoryError, OSError: It cannot be removed.
        """

        def remove(sandbox: OurSandbox) -> ToolError | None:
            (listing,) = sandbox.list_files([path])
            if listing.error is None and not _is_itself(path, [e.path for e in listing.entries]):
                return NotAFileError(f"{path!r} is a directory.")
            (outcome,) = sandbox.remove_files([path])
            return outcome.error

        await self._file(remove)

    async def list_files(self, path: str, **kwargs: Any) -> list[FileInfo]:  # noqa: ARG002
        """What a directory holds, sorted; see `strands.sandbox.Sandbox`.

        Raises:
            SandboxPathNotFoundError: There is no such directory.
            OSError: It cannot be listed.
        """

        def look(sandbox: OurSandbox) -> list[FileInfo] | ToolError:
            (listing,) = sandbox.list_files([path])
            if listing.error is not None:
                return listing.error
            if _is_itself(path, [entry.path for entry in listing.entries]):
                return FileMissingError(f"{path!r} is no directory.")
            return [
                FileInfo(
                    name=basename(entry.path),
                    is_dir=entry.kind == "directory",
                    size=entry.size if entry.kind == "file" else None,
                )
                for entry in listing.entries
            ]

        try:
            return await self._file(look)
        except FileNotFoundError as error:
            raise SandboxPathNotFoundError(path) from error

    def get_tools(self) -> list[AgentTool]:
        """Strands' own shell, Python and file editor tools on this sandbox, if they are wanted."""
        if not self._tools:
            return []
        tools: list[AgentTool] = [
            make_shell(sandbox=self, name="sandbox_shell", description=_SHELL),
            make_file_editor(sandbox=self, name="sandbox_file_editor", description=_EDITOR),
        ]
        if "python" in self._interpreter.backend.abilities.stateful:
            name = "sandbox_python_repl"
            tools.append(make_python_repl(sandbox=self, name=name, description=_PYTHON))
        else:
            tools.append(make_python_repl(sandbox=self, name="sandbox_python_repl"))
        return tools

    async def _stream(
        self, run: _Run, timeout: float | None
    ) -> AsyncGenerator[StreamChunk | ExecutionResult, None]:
        most = self._interpreter.limits.timeout
        limit = most if timeout is None else min(timeout, most)
        if not limit > 0:  # NaN, too
            raise ValueError(f"timeout must be positive, not {timeout!r}.")
        call = Live(lambda report: self._work(lambda sandbox: run(sandbox, limit, report)))
        try:
            async for stream, text in call.pieces():
                yield StreamChunk(data=text, stream_type=stream)
            execution = await call.result()
        finally:
            await call.end()
        notes = self._told()
        if notes:
            yield StreamChunk(data=notes, stream_type="stderr")
        stderr = notes + execution.stderr + _remarks(execution)
        if execution.ended == "timed_out":
            raise SandboxTimeoutError(limit, execution.stdout, stderr)
        yield ExecutionResult(
            exit_code=_exit_code(execution),
            stdout=execution.stdout,
            stderr=stderr,
            output_files=[
                OutputFile(name=image.name, content=image.data, mime_type=image.media_type)
                for image in execution.images
            ],
        )

    async def _file(self, work: Callable[[OurSandbox], _Value | ToolError]) -> _Value:
        found = await self._work(work)
        if isinstance(found, ToolError):
            raise self._error(found) from found
        return found

    async def _work(self, work: Callable[[OurSandbox], _Value]) -> _Value:
        try:
            value, notes = await self._bridge.run(
                lambda cancellation: self._interpreter.with_sandbox(
                    work, scope=self._scope, cancellation=cancellation
                )
            )
        except CodeInterpreterError as error:
            if not isinstance(error, ToolError):
                logger.exception("A sandbox failed in %s", self._scope)
            raise self._error(error) from error
        except Exception:
            logger.exception("A defect in %s", self._scope)
            raise OSError(_DEFECT) from None
        self._notes.extend(notes)
        return value

    def _error(self, error: CodeInterpreterError) -> Exception:
        """What Strands knows an error by; its tools show the text to the model."""
        kinds: dict[type[CodeInterpreterError], type[Exception]] = {
            FileMissingError: FileNotFoundError,
            NotAFileError: IsADirectoryError,
            PathOutsideError: PermissionError,
            UnsupportedError: ValueError,
        }
        return kinds.get(type(error), OSError)(self._told() + sentence(error))

    def _told(self) -> str:
        notes, self._notes = self._notes, []
        return "".join(f"Note: {note}\n" for note in notes)


def _known(language: str) -> str:
    for name, pattern in _LANGUAGES.items():
        if pattern.fullmatch(language):
            return name
    raise ValueError(f"There is no language {language!r}; there are {', '.join(_LANGUAGES)}.")


def _code(code: str, language: str, cwd: str | None, env: Mapping[str, str] | None) -> _Run:
    """What runs code; a process of its own where it is to be placed elsewhere."""
    if language == "shell":
        source = _placed(code, cwd, env)
        return lambda sandbox, limit, report: sandbox.execute_command(
            source, timeout=limit, on_output=report
        )
    if not (cwd or env):
        return lambda sandbox, limit, report: sandbox.execute_code(
            code, language=language, timeout=limit, on_output=report
        )
    if language != "python":
        raise ValueError("Only python and shell are run with cwd or env.")
    name = f".ci/run-{uuid4().hex}.py"
    try:
        source_file = code.encode()
    except UnicodeEncodeError:
        raise ValueError("The code is not valid Unicode; nothing was run.") from None

    def run(sandbox: OurSandbox, limit: float, report: OnOutput) -> Execution:
        (written,) = sandbox.write_files([FileWrite(path=name, chunks=[source_file])])
        if written.error is not None:
            raise written.error
        file = shlex.quote(f"{sandbox.working_directory}/{name}")
        command = _placed(f"exec python3 -u {file}", cwd, env)
        execution = sandbox.execute_command(command, timeout=limit, on_output=report)
        # The run is over; that its sandbox is gone has to be said by the next one.
        with suppress(CodeInterpreterError):
            sandbox.remove_files([name])
        return execution

    return run


def _placed(command: str, cwd: str | None, env: Mapping[str, str] | None) -> str:
    """A command with its directory and its variables before it."""
    lines = [f"cd -- {shlex.quote(cwd)} || exit"] if cwd else []
    for name, value in (env or {}).items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of an environment variable.")
        lines.append(f"export {name}={shlex.quote(value)}")
    return "\n".join([*lines, command])


def _is_itself(path: str, entries: list[str]) -> bool:
    """Whether a listing is that of a file, which lists itself."""
    return [normpath(entry) for entry in entries] == [normpath(path)]


def _exit_code(execution: Execution) -> int:
    """The exit status as a shell tells it."""
    if execution.ended == "interrupted":
        return _INTERRUPTED
    if execution.exit_code < 0:
        return _SIGNAL_BASE - execution.exit_code
    return execution.exit_code or int(execution.failed)


def _remarks(execution: Execution) -> str:
    """What has no other place in a result than its error stream."""
    said = []
    if execution.output_file:
        size = f"{execution.output_bytes:,} bytes"
        said.append(
            f"[The middle of the output is left out; all {size} are in {execution.output_file}.]"
        )
    if execution.restarted:
        said.append("[The process of the earlier runs had ended; its variables were lost.]")
    if not execution.state_kept:
        said.append("[The process that ran the code was ended; its variables were lost.]")
    return "".join(f"\n{line}\n" for line in said)
