"""`AgentCoreSandbox`: the verbs of the seam as calls of one session; between sessions and boto3."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ci_toolkit.backends.agentcore.answers import Answer
from ci_toolkit.backends.agentcore.calls import Calls
from ci_toolkit.backends.agentcore.carrier import ServiceCarrier
from ci_toolkit.backends.agentcore.executions import of_code, without_answer
from ci_toolkit.backends.agentcore.runs import LONGEST_CALL, Runs
from ci_toolkit.backends.agentcore.transfers import download, upload
from ci_toolkit.backends.errands.commands import command_header, read_execution
from ci_toolkit.backends.errands.errands import Errands
from ci_toolkit.backends.errands.files import Files
from ci_toolkit.backends.errands.programs import Program
from ci_toolkit.backends.errands.watch import Ran
from ci_toolkit.backends.transfers import Transferred
from ci_toolkit.errors import (
    BackendUnavailableError,
    InvalidArgumentsError,
    OutcomeUnknownError,
    UnsupportedError,
)
from ci_toolkit.results import Execution, FileContent, FileOutcome, FileWrite, Listing, OnOutput

__all__ = ["LANGUAGES", "STATEFUL", "AgentCoreSandbox"]

# Where the service is not asked for a runtime it takes Deno for both, with other modules.
_RUNTIMES = {"python": "", "javascript": "nodejs", "typescript": "deno"}
LANGUAGES = tuple(_RUNTIMES)
STATEFUL = frozenset({"python"})

_LITTER = (
    ".cache",
    ".config",
    ".ipython",
    "log",
    "node_modules",
    "nodejs-js-execution",
    "nodejs-ts-execution",
    "package-lock.json",
    "package.json",
    "run",
)
"""What the service's runtime keeps in the working directory: no user's files."""

# Beyond a command's own limit: its start, its end, and what is brought back of its output.
_GRACE_SECONDS = 20.0


class AgentCoreSandbox:
    """A session. Made by `AgentCoreBackend.start` and `attach`; a `Sandbox` of the seam.

    `on_output` is never called: the service says nothing before the end. Times of files are moved
    from the sandbox's clock to this machine's, as which `Execution.started` is given, to within
    the time that a call takes.

    Args:
        calls: What goes to the session.
        expires_at: Seconds since the epoch.
        owner: What has to live as long as this sandbox is used.
    """

    def __init__(self, calls: Calls, *, expires_at: float, owner: object) -> None:
        self._calls = calls
        self._expires_at = expires_at
        self._owner = owner
        self._errands = Errands(ServiceCarrier(calls))
        self._files = Files(self._errands, litter=_LITTER)
        self._runs = Runs(calls)

    @property
    def id(self) -> str:
        """The session's id, which the service makes up at random."""
        return self._calls.session_id

    @property
    def expires_at(self) -> float | None:
        """When the service ends the session, whatever is going on in it."""
        return self._expires_at

    @property
    def working_directory(self) -> str:
        """Where code and commands start; the first question costs a call, at most."""
        return self._files.working_directory()

    def execute_code(
        self,
        code: str,
        *,
        language: str = "python",
        timeout: float,
        on_output: OnOutput | None = None,  # noqa: ARG002 - the service streams nothing
    ) -> Execution:
        """Runs code with one call of the service; see `Sandbox.execute_code`.

        Whether exit codes other than 0 and 1, and what `died` would say, reach us is not known of
        the service: a kernel that ends is seen as an ordinary failure.
        """
        if language not in LANGUAGES:
            raise UnsupportedError(f"The languages are {', '.join(LANGUAGES)}, not {language!r}.")
        _check_text(code)
        arguments: dict[str, object] = {"code": code, "language": language}
        if _RUNTIMES[language]:
            arguments["runtime"] = _RUNTIMES[language]
        kind = "python" if language == "python" else "script"
        ran = self._runs.call("executeCode", arguments, timeout=timeout, kind=kind)
        return of_code(ran, stateful=language in STATEFUL)

    def execute_command(
        self,
        command: str,
        *,
        timeout: float,
        on_output: OnOutput | None = None,  # noqa: ARG002 - the service streams nothing
    ) -> Execution:
        """Runs a command inside a program that keeps its streams; see `Sandbox.execute_command`.

        One call of the service; three for a source or an output of more than 48 KB. Where its
        limit is longer than a call may last it runs as a task, which is asked for until its end.
        """
        if "\0" in command:
            raise InvalidArgumentsError("A command cannot hold a NUL character.")
        program = self._errands.prepare("command", command_header(timeout), _check_text(command))
        ran = self._run(program, timeout)
        if ran.answer is None:
            return without_answer(ran)
        return self._command_execution(program, ran)

    def write_files(self, files: Iterable[FileWrite]) -> tuple[FileOutcome, ...]:
        """Writes files, many with few calls; see `Sandbox.write_files`."""
        self._calls.check()
        return self._files.write(files)

    def read_files(self, paths: Sequence[str]) -> Iterator[FileContent]:
        """Reads files, many with few calls; see `Sandbox.read_files`."""
        return self._files.read(paths)

    def list_files(
        self, paths: Sequence[str], *, recursive: bool = False, checksums: bool = False
    ) -> tuple[Listing, ...]:
        """Lists files, but not the runtime's own; see `Sandbox.list_files`."""
        self._calls.check()
        return self._files.list_files(paths, recursive=recursive, checksums=checksums)

    def remove_files(self, paths: Sequence[str]) -> tuple[FileOutcome, ...]:
        """Removes files with one call; see `Sandbox.remove_files`."""
        self._calls.check()
        return self._files.remove(paths)

    def upload_to(
        self, path: str, url: str, headers: Mapping[str, str], *, sha256: str = ""
    ) -> Transferred:
        """Sends a file to a URL; see `Transfers.upload_to`.

        The interpreter has to reach it: without a network only Amazon S3 of its own region.
        """
        return upload(self._errands, path, url, headers, sha256=sha256)

    def download_from(
        self, url: str, path: str, *, headers: Mapping[str, str] | None = None, sha256: str = ""
    ) -> Transferred:
        """Fetches a file from a URL; see `Transfers.download_from`."""
        return download(self._errands, url, path, headers or {}, sha256=sha256)

    def interrupt(self) -> None:
        """Ends the run that is going on; see `Sandbox.interrupt` and `runs`."""
        self._runs.interrupt()

    def detach(self) -> None:
        """Leaves the session to whoever attaches to it, or to its own end; see `Detaching`."""
        self._calls.let_go()

    def close(self) -> None:
        """Stops the session; see `Sandbox.close`."""
        self._calls.end("closed")

    def _run(self, program: Program, timeout: float) -> Ran[Answer]:
        if timeout > LONGEST_CALL:
            return self._runs.task(
                program.command, timeout=timeout + _GRACE_SECONDS, mark=program.token
            )
        return self._runs.call(
            "executeCommand",
            {"command": program.command},
            timeout=timeout + _GRACE_SECONDS,
            kind="command",
            mark=program.token,
        )

    def _command_execution(self, program: Program, ran: Ran[Answer]) -> Execution:
        if ran.answer is None:
            return without_answer(ran)
        try:
            printed = (ran.answer.stdout, ran.answer.stderr, ran.answer.text)
            reply = self._errands.finish(program, printed, sent=ran.started, received=time.time())
            return read_execution(reply, started=ran.started, received=ran.received)
        except BackendUnavailableError as error:
            if ran.ended != "completed":  # The program was ended before it could answer.
                return without_answer(ran, state_kept=True)
            raise OutcomeUnknownError(
                "The command was run, in whole or in part, and its output was lost. Look at the "
                "files that it was to change before repeating it."
            ) from error


def _check_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentsError("The text is not valid Unicode.") from None
