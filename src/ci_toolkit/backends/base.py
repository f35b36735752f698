"""The seam between a conversation and a place that runs code: `Backend` starts a `Sandbox`.

Both are promises without code. `ci_toolkit.testing.BackendContract` checks every sentence that can
be checked; subclass it for a backend of your own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from ci_toolkit.results import Execution, FileContent, FileOutcome, FileWrite, Listing, OnOutput

__all__ = ["Abilities", "Backend", "Sandbox"]


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a backend can do beyond the promises that all keep.

    Attributes:
        network: What code can reach: `none`, the `internet` (but not the host), or all that the
            `host` can.
        stateful: The languages whose variables stay for the next run.
        live_output: Whether output is reported while a run goes on.
        interrupt: Whether `Sandbox.interrupt` ends a run and keeps the sandbox.
        attach: Whether `Backend.attach` finds a sandbox that another process started.
        figures: Whether figures left open at the end of a run come back as images.
    """

    network: Literal["none", "internet", "host"]
    stateful: frozenset[str]
    live_output: bool = True
    interrupt: bool = True
    attach: bool = False
    figures: bool = True


@runtime_checkable
class Sandbox(Protocol):
    """One running place with its own files, variables and processes; it can be lost at any time.

    Paths are POSIX strings. A relative path starts at `working_directory` and stays in it: where
    it climbs out, also by a symbolic link, its outcome is a `PathOutsideError`. An absolute path
    names any place inside the sandbox. A path that cannot be what it has to be is an outcome of
    that path alone, never a hang and never the failure of its batch.

    One verb runs at a time; only `interrupt` and `close` may be called beside it, from another
    thread. Every verb but `close` raises:
        SandboxLostError: The sandbox is gone; all later calls raise it too.
        ThrottledError, QuotaExceededError, AccessDeniedError, BackendUnavailableError: The call
            was refused before it began.
    """

    @property
    def id(self) -> str:
        """What `Backend.attach` takes; unguessable where a backend can attach."""
        ...

    @property
    def expires_at(self) -> float | None:
        """Seconds since the host's epoch when the sandbox ends whatever happens; None if never."""
        ...

    @property
    def working_directory(self) -> str:
        """Absolute path where code and commands start and where relative paths begin."""
        ...

    def execute_code(
        self,
        code: str,
        *,
        language: str = "python",
        timeout: float,
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Runs code at most once, where the variables of earlier runs of the language are.

        When `timeout` seconds have passed the run is interrupted, and where that does not help its
        process is replaced; the answer says which, with the output so far. `exit()` and the like
        end the run and not the sandbox.

        Args:
            code: Source text.
            language: One of `Backend.languages`.
            timeout: Seconds.
            on_output: Called with pieces of output as they appear, in order, from one thread at a
                time and never after the return. What it raises is ignored.

        Raises:
            UnsupportedError: The language is none of the backend's.
            OutcomeUnknownError: The connection was cut; the code may have run.
        """
        ...

    def execute_command(
        self, command: str, *, timeout: float, on_output: OnOutput | None = None
    ) -> Execution:
        """Runs a command at most once in a fresh shell (bash, or sh) in the working directory.

        Standard input is empty. When `timeout` seconds have passed, the shell and everything it
        started are ended. What a command leaves in the background ends with the sandbox at the
        latest, and does not keep the call waiting.

        Args:
            command: Shell source text.
            timeout: Seconds.
            on_output: As for `execute_code`.

        Raises:
            OutcomeUnknownError: The connection was cut; the command may have run.
        """
        ...

    def write_files(self, files: Iterable[FileWrite]) -> tuple[FileOutcome, ...]:
        """Writes files one after the other, in order, reading each content once, piece by piece.

        Parent directories are made. A file appears whole or not at all, in place of the one that
        was there. What a content's iterator raises passes through; the file that was being written
        is then as it was before.

        Outcomes: `PathOutsideError`, `NotAFileError` (a directory or a special file is there),
        `WriteFailedError` (no space, no permission, a name that cannot be).
        """
        ...

    def read_files(self, paths: Sequence[str]) -> Iterator[FileContent]:
        """Reads files one after the other, in order, piece by piece, in bounded memory.

        Outcomes: `FileMissingError`, `PathOutsideError`, `NotAFileError`, `UnsupportedError` (no
        permission).
        """
        ...

    def list_files(
        self, paths: Sequence[str], *, recursive: bool = False, checksums: bool = False
    ) -> tuple[Listing, ...]:
        """Lists files and directories, dotfiles included, links not followed into directories.

        Args:
            paths: Files or directories; an empty string or `.` is the working directory.
            recursive: Whether the directories below are listed as well.
            checksums: Whether each file's `sha256` is given.

        Outcomes: `FileMissingError`, `PathOutsideError`, `UnsupportedError` (no permission).
        """
        ...

    def remove_files(self, paths: Sequence[str]) -> tuple[FileOutcome, ...]:
        """Removes files, links (not what they point to) and directories with all they hold.

        The working directory itself is never removed: its outcome is an `UnsupportedError`.

        Outcomes: `FileMissingError`, `PathOutsideError`, `UnsupportedError`, `WriteFailedError`.
        """
        ...

    def interrupt(self) -> None:
        """Ends the run that is going on, if any, as a timeout would; from another thread.

        The run answers with `ended="interrupted"`. Without a run it does nothing. Never raises.
        """
        ...

    def close(self) -> None:
        """Ends the sandbox and everything in it. Idempotent; never raises; safe from any thread."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A place that runs code; safe to use from many threads."""

    @property
    def name(self) -> str:
        """A short word for logs, such as `local`."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that `Sandbox.execute_code` takes, `python` first."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What this backend can do beyond the promises that all keep."""
        ...

    def start(self, *, name: str) -> Sandbox:
        """Starts a new, empty sandbox.

        Args:
            name: For the operator's eyes, 1 to 100 characters; need not be unique.

        Raises:
            ConfigurationError: The backend cannot work on this machine or with these settings.
            BackendUnavailableError, ThrottledError, QuotaExceededError, AccessDeniedError: No
                sandbox was started.
        """
        ...

    def attach(self, sandbox_id: str) -> Sandbox:
        """Finds a running sandbox again, also one that another process started.

        Raises:
            UnsupportedError: The backend cannot (`abilities.attach` is False).
            SandboxLostError: There is no such sandbox (any more).
            BackendUnavailableError, ThrottledError, AccessDeniedError: It could not be asked.
        """
        ...

    def close(self) -> None:
        """Ends every sandbox that this object started. Idempotent; never raises."""
        ...
