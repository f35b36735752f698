"""What came back from a sandbox; read by the tools and the rendering."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ci_toolkit.errors import ToolError

__all__ = [
    "Answer",
    "Execution",
    "FileContent",
    "FileInfo",
    "FileKind",
    "FileOutcome",
    "FileReport",
    "FileWrite",
    "Image",
    "Listing",
    "OnOutput",
    "Outcome",
    "Stream",
]

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, str], None]
"""Receives output while it appears: the stream's name and a piece of text."""

FileKind = Literal["file", "directory", "other"]


@dataclass(frozen=True, kw_only=True)
class Image:
    """A picture.

    Attributes:
        media_type: Such as `image/png`.
        data: The encoded picture.
        name: A file name, for people and for the text beside it.
    """

    media_type: str
    data: bytes = field(repr=False)
    name: str


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How one run of code or one command ended.

    Attributes:
        stdout: What was printed, the value of a last expression included. A backend that does not
            keep all of a very long output gives its head and tail around a line that says so.
        stderr: What went to the error stream, tracebacks included, without colour codes.
        exit_code: The command's exit status; for code 0, 1 after an exception, or what it gave to
            `sys.exit`. Negative when a signal ended the process, as in `subprocess`.
        ended: `completed`, `timed_out`, `interrupted` by the host, or `died` (the process that
            held the language's variables ended during the run).
        state_kept: Whether the variables of the language are still there for the next run. True
            for commands, which have none.
        restarted: Whether this run began on a new process because the one before it was gone, so
            that the variables of earlier runs were lost.
        images: Pictures that the run displayed or left open.
        directory: Absolute path of the directory where the code was when it ended; empty when not
            known.
        started: Seconds since the epoch by the sandbox's clock, to compare with
            `FileInfo.changed`.
        duration: Seconds that the run took.
        output_file: Sandbox path of a file that holds the whole output; empty when `stdout` and
            `stderr` are complete.
        output_bytes: How much was printed in all, in bytes, when `output_file` is set.
    """

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    ended: Literal["completed", "timed_out", "interrupted", "died"] = "completed"
    state_kept: bool = True
    restarted: bool = False
    images: tuple[Image, ...] = ()
    directory: str = ""
    started: float = 0.0
    duration: float = 0.0
    output_file: str = ""
    output_bytes: int = 0

    @property
    def failed(self) -> bool:
        """Whether the program did not end as a good program ends."""
        return self.ended != "completed" or self.exit_code != 0


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One entry of a sandbox's file tree.

    Attributes:
        path: As asked for, or the directory as asked for joined with the entry's own path.
        kind: What a reader would find, links followed where they may be.
        size: Bytes; 0 for what is not a file.
        changed: Seconds since the epoch by the sandbox's clock when content or metadata last
            changed; code cannot set this back.
        sha256: Hexadecimal digest of a file's content; empty unless asked for.
    """

    path: str
    kind: FileKind = "file"
    size: int = 0
    changed: float = 0.0
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class FileWrite:
    """A file to write: its path, and its content in pieces of any size, read once."""

    path: str
    chunks: Iterable[bytes] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class FileOutcome:
    """What became of one path of a write or a removal; `error` is None when it went well."""

    path: str
    size: int = 0
    error: ToolError | None = None


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """One file as it is read.

    Attributes:
        path: As asked for.
        size: Bytes when the file was opened.
        chunks: The content, once, in pieces of at most 1 MiB; empty on an error. To be read before
            the next file of the batch is asked for.
        error: Why the file cannot be read, or None.
    """

    path: str
    size: int = 0
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()), repr=False)
    error: ToolError | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one path of a listing holds: a file lists itself, a directory its entries, sorted.

    Attributes:
        path: As asked for.
        entries: Sorted by path.
        complete: False when there were more entries than the backend returns.
        error: Why the path cannot be listed, or None.
    """

    path: str
    entries: tuple[FileInfo, ...] = ()
    complete: bool = True
    error: ToolError | None = None


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What a call did with one file, before it is put into words.

    Attributes:
        path: As the model named it.
        error: Why it went wrong, or None.
        size: Bytes of the whole file.
        media_type: Guessed from the name, or seen in the content.
        text: The content, or its beginning, of a text file that was read.
        image: The picture that the file is.
        entries: What a directory holds; None for what is no listing.
        complete: Whether `text` or `entries` is all there is.
        stored: The name to read the file back from the workspace by; empty if it is not there.
        remark: A short addition for the model.
    """

    path: str
    error: ToolError | None = None
    size: int = 0
    media_type: str = ""
    text: str | None = None
    image: Image | None = None
    entries: tuple[FileInfo, ...] | None = None
    complete: bool = True
    stored: str = ""
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tool found out, before it is put into words.

    Attributes:
        verb: What was done with `files`.
        execution: The run, where there was one.
        files: One report for each file that the call was about.
        error: Why the call as a whole could not be done.
        notes: What the model has to be told before anything else.
        hints: What may help it on after a failure.
    """

    verb: Literal["read", "wrote", "listed", "removed", "saved"] = "saved"
    execution: Execution | None = None
    files: tuple[FileReport, ...] = ()
    error: ToolError | None = None
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything of it went wrong."""
        ran_badly = self.execution is not None and self.execution.failed
        return self.error is not None or ran_badly or any(f.error is not None for f in self.files)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The answer to one call, as a front door passes it on.

    Attributes:
        text: What the model reads; says by itself whether the call failed.
        is_error: Whether the call failed.
        images: Pictures for the model, made small enough for it; never on an error.
        artifact: A JSON-able record of the call for the host.
    """

    text: str
    is_error: bool = False
    images: tuple[Image, ...] = ()
    artifact: dict[str, object] = field(default_factory=dict)
