"""`ForeignSandbox`: the verbs of the seam as programs in another framework's sandbox."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from ci_toolkit.backends.errands.commands import command_header, read_execution
from ci_toolkit.backends.errands.errands import TRANSFER_SECONDS, Errands
from ci_toolkit.backends.errands.files import Files
from ci_toolkit.backends.errands.programs import Program, prepare
from ci_toolkit.backends.errands.watch import Ran, Watch
from ci_toolkit.backends.foreign.hearing import Heard
from ci_toolkit.backends.foreign.place import Life
from ci_toolkit.errors import (
    BackendUnavailableError,
    ConfigurationError,
    InvalidArgumentsError,
    OutcomeUnknownError,
    SandboxLostError,
    UnsupportedError,
)
from ci_toolkit.results import Execution, FileContent, FileOutcome, FileWrite, Listing, OnOutput

__all__ = ["ForeignSandbox"]

_SUFFIXES = {"python": ".py", "javascript": ".js", "typescript": ".ts"}
# Beyond a run's own limit: its start, its end, and what is brought back of its output.
_GRACE_SECONDS = 20.0


class ForeignSandbox:
    """A `Sandbox` of the seam. Made by `ForeignBackend.start`.

    Args:
        life: Of the foreign sandbox.
        languages: What runs a script of each, before the name of its file.
        owner: What has to live as long as this sandbox is used.
    """

    expires_at: float | None = None

    def __init__(
        self, life: Life, languages: Mapping[str, Sequence[str]], *, owner: object
    ) -> None:
        self.id = uuid4().hex
        self._life = life
        self._owner = owner
        self._languages = languages
        self._errands = Errands(life)
        self._files = Files(self._errands)
        self._watch: Watch[Sequence[str]] = Watch(life)

    @property
    def working_directory(self) -> str:
        """Where code and commands start."""
        return self._errands.directory

    def settle(self) -> None:
        """Finds out where it is, and whether it is fit for the seam.

        Raises:
            ConfigurationError: It is not.
            BackendUnavailableError: It cannot be used at present.
        """
        try:
            self._errands.run("files", {"verb": "where"}, patience=TRANSFER_SECONDS)
        except BackendUnavailableError as error:
            if not self._life.answers():
                raise
            raise ConfigurationError(
                "The sandbox runs commands, but not the programs that it needs for being a code "
                f"interpreter: it has to be Linux with a python3 of 3.9 or later. ({error})"
            ) from error
        self._life.place.settle(self._errands.directory)

    def execute_code(
        self,
        code: str,
        *,
        language: str = "python",
        timeout: float,
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Runs code in a process of its own; see `Sandbox.execute_code`."""
        script = self._languages.get(language)
        if script is None:
            known = ", ".join(self._languages)
            raise UnsupportedError(f"The languages are {known}, not {language!r}.")
        suffix = _SUFFIXES.get(language, "")
        return self._run(code, timeout, on_output, script=script, suffix=suffix)

    def execute_command(
        self, command: str, *, timeout: float, on_output: OnOutput | None = None
    ) -> Execution:
        """Runs a command; see `Sandbox.execute_command`."""
        if "\0" in command:
            raise InvalidArgumentsError("A command cannot hold a NUL character.")
        return self._run(command, timeout, on_output)

    def write_files(self, files: Iterable[FileWrite]) -> tuple[FileOutcome, ...]:
        """Writes files; see `Sandbox.write_files`."""
        with self._noticing_loss(may_have_run=False):
            return self._files.write(files)

    def read_files(self, paths: Sequence[str]) -> Iterator[FileContent]:
        """Reads files; see `Sandbox.read_files`."""
        with self._noticing_loss(may_have_run=False):
            yield from self._files.read(paths)

    def list_files(
        self, paths: Sequence[str], *, recursive: bool = False, checksums: bool = False
    ) -> tuple[Listing, ...]:
        """Lists files; see `Sandbox.list_files`."""
        with self._noticing_loss(may_have_run=False):
            return self._files.list_files(paths, recursive=recursive, checksums=checksums)

    def remove_files(self, paths: Sequence[str]) -> tuple[FileOutcome, ...]:
        """Removes files; see `Sandbox.remove_files`."""
        with self._noticing_loss(may_have_run=False):
            return self._files.remove(paths)

    def interrupt(self) -> None:
        """Ends the run that is going on; see `Sandbox.interrupt`."""
        self._watch.interrupt()

    def close(self) -> None:
        """Gives the foreign sandbox back; see `Sandbox.close`."""
        self._life.close()

    def _run(
        self,
        source: str,
        timeout: float,
        on_output: OnOutput | None,
        *,
        script: Sequence[str] = (),
        suffix: str = "",
    ) -> Execution:
        self._life.farewell = prepare("sweep", {"mark": self.id}).command
        live = on_output is not None and self._life.place.live
        header = command_header(timeout, script=script, suffix=suffix, live=live, sandbox=self.id)
        with self._noticing_loss(may_have_run=False):
            program = self._errands.prepare("command", header, _encoded(source))
        heard = Heard(on_output, program.token) if on_output is not None and live else None
        try:
            with self._noticing_loss(may_have_run=True):
                ran = self._carry(program, timeout + _GRACE_SECONDS, heard)
                execution = self._execution(program, ran)
        finally:
            if heard is not None:
                heard.close()
        # Code has a process of its own: what it leaves to the next run is files.
        return replace(execution, state_kept=not script or execution.ended == "completed")

    def _carry(
        self, program: Program, patience: float, heard: OnOutput | None
    ) -> Ran[Sequence[str]]:
        # The patience of the sandbox is longer, so that it is ended from here and answers.
        return self._watch.run(
            lambda _: self._life.carry(
                program.command, patience=patience + _GRACE_SECONDS, on_output=heard
            ),
            timeout=patience,
            kind="command",
            mark=program.token,
        )

    def _execution(self, program: Program, ran: Ran[Sequence[str]]) -> Execution:
        if ran.answer is None:
            return _without_answer(ran)
        if self._life.lost:  # Closed from another thread, which ended the run.
            raise SandboxLostError(f"The sandbox was lost: {self._life.lost}.", may_have_run=True)
        try:
            reply = self._errands.finish(
                program, ran.answer, sent=ran.started, received=time.time()
            )
            return read_execution(reply, started=ran.started, received=ran.received)
        except BackendUnavailableError:
            if ran.ended != "completed":  # The program was ended before it could answer.
                return _without_answer(ran)
            raise

    @contextmanager
    def _noticing_loss(self, *, may_have_run: bool) -> Iterator[None]:
        """Tells a sandbox that is gone from one that only failed."""
        self._life.check()
        try:
            yield
        except BackendUnavailableError as error:
            self._fail(error, may_have_run=may_have_run)

    def _fail(self, error: BackendUnavailableError, *, may_have_run: bool) -> None:
        if self._life.lost or not self._life.answers():
            self._life.end(str(error)[:500])
            raise SandboxLostError(
                f"The sandbox was lost: {self._life.lost}.", may_have_run=may_have_run
            ) from error
        if may_have_run:
            raise OutcomeUnknownError(
                "What was asked was run, in whole or in part, and its output was lost. Look at "
                "the files that it was to change before repeating it."
            ) from error
        raise error


def _without_answer(ran: Ran[Sequence[str]]) -> Execution:
    """A run whose output was lost with its process or its sandbox."""
    return Execution(
        exit_code=1,
        ended=ran.ended,
        started=ran.started,
        duration=max(ran.received - ran.started, 0.0),
    )


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentsError("The text is not valid Unicode.") from None
