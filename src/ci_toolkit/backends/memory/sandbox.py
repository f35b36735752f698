"""One sandbox of an `InMemoryBackend`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ci_toolkit.backends.memory.files import FileTree
from ci_toolkit.backends.memory.python import PythonRunner
from ci_toolkit.backends.memory.script import Call, Request, Script
from ci_toolkit.errors import SandboxLostError, ToolError, UnsupportedError
from ci_toolkit.results import (
    Execution,
    FileContent,
    FileOutcome,
    FileWrite,
    Listing,
    OnOutput,
)

__all__ = ["InMemorySandbox"]

_CHUNK = 1024 * 1024
_HOME = "/home/user"


class InMemorySandbox:
    """Keeps the promises of `Sandbox` without a process, for as long as its backend object lives.

    `files` is the tree itself, for tests to look into and to prepare.
    """

    def __init__(
        self,
        sandbox_id: str,
        *,
        script: Script,
        calls: list[Call],
        languages: tuple[str, ...],
        run_python: bool,
        clock: Callable[[], float],
        expires_at: float | None,
    ) -> None:
        self.files = FileTree(_HOME, clock)
        self._id = sandbox_id
        self._script = script
        self._calls = calls
        self._languages = languages
        self._python = PythonRunner(self.files) if run_python else None
        self._clock = clock
        self._expires_at = expires_at
        self._gone = False
        self._running: Request | None = None

    def __repr__(self) -> str:
        return f"InMemorySandbox({self._id!r}, {'open' if self.is_open else 'gone'})"

    @property
    def id(self) -> str:
        """What `InMemoryBackend.attach` takes."""
        return self._id

    @property
    def expires_at(self) -> float | None:
        """When the backend's `ttl` ends; None without one."""
        return self._expires_at

    @property
    def working_directory(self) -> str:
        """`/home/user`."""
        return _HOME

    @property
    def is_open(self) -> bool:
        """Whether the sandbox is neither closed, lost nor expired."""
        expired = self._expires_at is not None and self._clock() >= self._expires_at
        return not self._gone and not expired

    def execute_code(
        self,
        code: str,
        *,
        language: str = "python",
        timeout: float,
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Answers by the script, or runs trusted Python; see `InMemoryBackend`."""
        arguments = {"code": code, "language": language, "timeout": timeout}
        self._begin("execute_code", arguments)
        if language not in self._languages:
            known = ", ".join(self._languages)
            raise UnsupportedError(f"The language {language!r} is none of {known}.")
        return self._run("execute_code", code, language, timeout, on_output)

    def execute_command(
        self, command: str, *, timeout: float, on_output: OnOutput | None = None
    ) -> Execution:
        """Answers by the script; see `InMemoryBackend`."""
        self._begin("execute_command", {"command": command, "timeout": timeout})
        return self._run("execute_command", command, "", timeout, on_output)

    def write_files(self, files: Iterable[FileWrite]) -> tuple[FileOutcome, ...]:
        """Writes files, as `Sandbox.write_files` says."""
        arguments: dict[str, object] = {"paths": ()}
        self._begin("write_files", arguments)
        outcomes: list[FileOutcome] = []
        for file in files:
            arguments["paths"] = (*(outcome.path for outcome in outcomes), file.path)
            outcomes.append(self._write(file))
        return tuple(outcomes)

    def read_files(self, paths: Sequence[str]) -> Iterator[FileContent]:
        """Reads files, as `Sandbox.read_files` says."""
        self._begin("read_files", {"paths": tuple(paths)})
        return map(self._read, paths)

    def list_files(
        self, paths: Sequence[str], *, recursive: bool = False, checksums: bool = False
    ) -> tuple[Listing, ...]:
        """Lists files, as `Sandbox.list_files` says."""
        arguments = {"paths": tuple(paths), "recursive": recursive, "checksums": checksums}
        self._begin("list_files", arguments)
        return tuple(self._list(p, recursive=recursive, checksums=checksums) for p in paths)

    def remove_files(self, paths: Sequence[str]) -> tuple[FileOutcome, ...]:
        """Removes files, as `Sandbox.remove_files` says."""
        self._begin("remove_files", {"paths": tuple(paths)})
        return tuple(map(self._remove, paths))

    def interrupt(self) -> None:
        """Tells the run that is going on; only a scripted function hears it."""
        self._calls.append(Call(self._id, "interrupt"))
        if (running := self._running) is not None:
            running.interrupted.set()

    def detach(self) -> None:
        """Notes that it was let go of; it goes on with its backend."""
        self._calls.append(Call(self._id, "detach"))

    def close(self) -> None:
        """Ends the sandbox."""
        self._calls.append(Call(self._id, "close"))
        self.lose()

    def lose(self) -> None:
        """Ends the sandbox as if its service had; a run that is going on is lost with it."""
        self._gone = True
        if (running := self._running) is not None:
            running.interrupted.set()

    def _begin(self, verb: str, arguments: Mapping[str, object]) -> None:
        self._calls.append(Call(self._id, verb, arguments))
        if not self.is_open:
            raise SandboxLostError(f"The sandbox {self._id} is gone.", may_have_run=False)
        if (error := self._script.fault(verb)) is not None:
            if isinstance(error, SandboxLostError):
                self.lose()
            raise error

    def _run(
        self, verb: str, text: str, language: str, timeout: float, on_output: OnOutput | None
    ) -> Execution:
        request = Request(text, language, timeout, self._id, self.files, on_output=on_output)
        started = self._clock()
        self._running = request
        try:
            answer = self._answer(verb, request)
        except SandboxLostError:
            self.lose()
            raise
        finally:
            self._running = None
        if not self.is_open:
            raise SandboxLostError(f"The sandbox {self._id} was lost.", may_have_run=True)
        return self._ended(answer, request, started)

    def _answer(self, verb: str, request: Request) -> Execution:
        line = self._script.line(verb, request.text)
        if line is not None:
            return line.answer(request)
        if self._python is not None and request.language == "python":
            return Execution(exit_code=self._python.run(request.text, request.print))
        raise UnsupportedError(_unscripted(verb, request.text))

    def _ended(self, answer: Execution, request: Request, started: float) -> Execution:
        """The run's whole answer, cut off where it took longer than it may."""
        request.print(answer.stdout)
        request.print(answer.stderr, "stderr")
        ended, exit_code, duration = answer.ended, answer.exit_code, answer.duration
        if request.interrupted.is_set() or duration > request.timeout:
            ended = "interrupted" if request.interrupted.is_set() else "timed_out"
            exit_code = 1 if request.language else -9
            duration = min(duration, request.timeout)
        return replace(
            answer,
            stdout=request.output["stdout"],
            stderr=request.output["stderr"],
            ended=ended,
            exit_code=exit_code,
            started=answer.started or started,
            duration=duration or self._clock() - started,
            directory=answer.directory or _HOME,
        )

    def _write(self, file: FileWrite) -> FileOutcome:
        try:
            self.files.check_writable(file.path)
            data = b"".join(file.chunks)
            self.files.write(file.path, data)
        except ToolError as error:
            return FileOutcome(path=file.path, error=error)
        return FileOutcome(path=file.path, size=len(data))

    def _read(self, path: str) -> FileContent:
        try:
            data = self.files.read(path)
        except ToolError as error:
            return FileContent(path=path, error=error)
        chunks = (data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK))
        return FileContent(path=path, size=len(data), chunks=chunks)

    def _list(self, path: str, *, recursive: bool, checksums: bool) -> Listing:
        try:
            entries = self.files.entries(path, recursive=recursive, checksums=checksums)
        except ToolError as error:
            return Listing(path=path, error=error)
        return Listing(path=path, entries=entries)

    def _remove(self, path: str) -> FileOutcome:
        try:
            self.files.remove(path)
        except ToolError as error:
            return FileOutcome(path=path, error=error)
        return FileOutcome(path=path)


def _unscripted(verb: str, text: str) -> str:
    first = text.strip().partition("\n")[0][:200]
    method = "reply" if verb == "execute_code" else "reply_command"
    python = " or build InMemoryBackend(run_python=True)" if verb == "execute_code" else ""
    return (
        f"InMemoryBackend has no reply for {first!r}. Script one, "
        f"backend.{method}({first!r}, 'its output'),{python} before it is run."
    )
