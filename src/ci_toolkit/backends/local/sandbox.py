"""`LocalSandbox`: the verbs of the seam as requests to a guest; between sessions and the wire."""

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from ci_toolkit.backends.local import answers
from ci_toolkit.backends.local.calls import Calls
from ci_toolkit.backends.local.wire import Frame, FrameError
from ci_toolkit.errors import InvalidArgumentsError, ToolError, UnsupportedError
from ci_toolkit.results import (
    Execution,
    FileContent,
    FileOutcome,
    FileWrite,
    Image,
    Listing,
    OnOutput,
)

__all__ = ["LANGUAGES", "LocalSandbox"]

LANGUAGES = ("python", "javascript", "typescript")
PIECE = 1024 * 1024
_FILE_SECONDS = 60.0
_TREE_SECONDS = 600.0
# Beyond a run's own limit: a kernel's start, the attempts to interrupt it, figures, output.
_GRACE_SECONDS = 30.0
_LIVE_BYTES = 2 * 1024 * 1024
# What is generated while it is read has no size beforehand; the guest gives so much of it.
_UNSIZED_BYTES = 16 * 1024 * 1024


class LocalSandbox:
    """A guest and its folder. Made by `LocalBackend.start`; a `Sandbox` of the seam.

    Args:
        calls: The conversation with the guest.
        id: The sandbox's name.
        working_directory: An absolute path of the guest's.
        languages: What can be run.
        end: Ends the sandbox; may be called more than once.

    Attributes:
        owner: What has to live as long as this sandbox is used.
    """

    owner: object = None

    def __init__(
        self,
        calls: Calls,
        *,
        id: str,  # noqa: A002 - the seam's name
        working_directory: str,
        languages: Sequence[str],
        end: Callable[[], None],
    ) -> None:
        self._calls = calls
        self._id = id
        self._working_directory = working_directory
        self._languages = languages
        self._end = end

    @property
    def id(self) -> str:
        """A name that no other sandbox has."""
        return self._id

    @property
    def expires_at(self) -> float | None:
        """Never by itself."""
        return None

    @property
    def working_directory(self) -> str:
        """Where code and commands start."""
        return self._working_directory

    @property
    def lost(self) -> bool:
        """Whether the guest is gone."""
        return self._calls.lost

    def execute_code(
        self,
        code: str,
        *,
        language: str = "python",
        timeout: float,
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Runs code in its language's kernel; see `Sandbox.execute_code`."""
        if language not in LANGUAGES:
            raise UnsupportedError(f"The languages are {', '.join(LANGUAGES)}, not {language!r}.")
        if language not in self._languages:
            raise UnsupportedError(
                f"{language} needs the package deno, which this sandbox's environment lacks."
            )
        request: dict[str, object] = {"verb": "code", "language": language}
        return self._execute(request, code, timeout, on_output)

    def execute_command(
        self, command: str, *, timeout: float, on_output: OnOutput | None = None
    ) -> Execution:
        """Runs a command in a fresh shell; see `Sandbox.execute_command`."""
        if "\0" in command:
            raise InvalidArgumentsError("A command cannot hold a NUL character.")
        return self._execute({"verb": "command"}, command, timeout, on_output)

    def write_files(self, files: Iterable[FileWrite]) -> tuple[FileOutcome, ...]:
        """Writes files one after the other; see `Sandbox.write_files`."""
        with self._calls.turn:
            return tuple(self._write(file) for file in files)

    def read_files(self, paths: Sequence[str]) -> Iterator[FileContent]:
        """Reads files one after the other; see `Sandbox.read_files`."""
        return (self._read(path) for path in paths)

    def list_files(
        self, paths: Sequence[str], *, recursive: bool = False, checksums: bool = False
    ) -> tuple[Listing, ...]:
        """Lists files and directories; see `Sandbox.list_files`."""
        options = {"verb": "list", "recursive": recursive, "checksums": checksums}
        with self._calls.turn:
            return tuple(self._list(path, options) for path in paths)

    def remove_files(self, paths: Sequence[str]) -> tuple[FileOutcome, ...]:
        """Removes files, links and directories; see `Sandbox.remove_files`."""
        with self._calls.turn:
            return tuple(self._remove(path) for path in paths)

    def interrupt(self) -> None:
        """Ends the run that is going on; see `Sandbox.interrupt`."""
        self._calls.interrupt()

    def close(self) -> None:
        """Ends the sandbox, and removes its folder; see `Sandbox.close`."""
        self._end()

    def _execute(
        self, request: dict[str, object], source: str, timeout: float, on_output: OnOutput | None
    ) -> Execution:
        try:
            payload = source.encode()
        except UnicodeEncodeError:
            raise InvalidArgumentsError("The text is not valid Unicode.") from None
        events = _Events(on_output)
        return self._calls.ask(
            {**request, "timeout": timeout, "live": on_output is not None},
            payload,
            timeout=timeout + _GRACE_SECONDS,
            read=lambda frame: answers.execution(frame, events.images),
            on_event=events,
        )

    def _write(self, file: FileWrite) -> FileOutcome:
        size = 0
        verb: dict[str, object] = {"verb": "write", "path": file.path}
        try:
            for piece, last in _pieces(file.chunks):
                error = self._ask({**verb, "last": last}, file.path, "write", piece)
                if error is not None:
                    return FileOutcome(path=file.path, error=error)
                size += len(piece)
                verb = {"verb": "append"}
        except BaseException:
            # Whatever the content's source raises is not for this room to judge.
            with suppress(Exception):
                self._ask({"verb": "abort"}, file.path, "write")
            raise
        return FileOutcome(path=file.path, size=size)

    def _read(self, path: str) -> FileContent:
        def opened(frame: Frame) -> FileContent:
            error = answers.refusal(frame.header, path, verb="read")
            if error is not None:
                return FileContent(path=path, error=error)
            size = answers.number(frame.header, "size")
            more, piece = answers.flag(frame.header, "more"), frame.payload
            unsized = more and len(piece) == size
            most = max(size, _UNSIZED_BYTES) if unsized else size
            if len(piece) > min(most, PIECE) or (more and not piece):
                raise FrameError("a first piece that is too large, or empty")
            return FileContent(path=path, size=size, chunks=self._chunks(piece, more, most))

        request: dict[str, object] = {"verb": "open", "path": path}
        return self._calls.ask(request, timeout=_FILE_SECONDS, read=opened)

    def _chunks(self, piece: bytes, more: bool, most: int) -> Iterator[bytes]:  # noqa: FBT001
        left = most

        def next_piece(frame: Frame) -> tuple[bytes, bool]:
            size, more = len(frame.payload), answers.flag(frame.header, "more")
            if size > min(left, PIECE) or frame.header.get("refused"):
                raise FrameError("a piece of a file is too large or missing")
            if more and not size:
                raise FrameError("an empty piece of a file, and more to come")
            return frame.payload, more

        if piece:
            yield piece
        while more:
            left -= len(piece)
            piece, more = self._calls.ask({"verb": "read"}, timeout=_FILE_SECONDS, read=next_piece)
            if piece:
                yield piece

    def _list(self, path: str, options: dict[str, object]) -> Listing:
        def listed(frame: Frame) -> Listing:
            error = answers.refusal(frame.header, path, verb="list")
            return Listing(path=path, error=error) if error else answers.listing(path, frame)

        return self._calls.ask({**options, "path": path}, timeout=_TREE_SECONDS, read=listed)

    def _remove(self, path: str) -> FileOutcome:
        request: dict[str, object] = {"verb": "remove", "path": path}
        return FileOutcome(path=path, error=self._ask(request, path, "remove"))

    def _ask(
        self, request: dict[str, object], path: str, verb: str, payload: bytes = b""
    ) -> ToolError | None:
        return self._calls.ask(
            request,
            payload,
            timeout=_TREE_SECONDS if verb == "remove" else _FILE_SECONDS,
            read=lambda frame: answers.refusal(frame.header, path, verb=verb),
        )


class _Events:
    """What comes before a run's answer: pictures, and output while it appears."""

    def __init__(self, on_output: OnOutput | None) -> None:
        self.images: list[Image] = []
        self._on_output = on_output
        self._left = _LIVE_BYTES
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder(errors="replace") for name in ("stdout", "stderr")}

    def __call__(self, frame: Frame) -> None:
        """Takes one frame.

        Raises:
            FrameError: It does not belong here.
        """
        event = frame.header.get("event")
        if event == "image":
            self.images.append(answers.image(frame, self.images))
        elif event == "output":
            self._tell(frame)
        else:
            raise FrameError(f"an event {event!r:.50}")

    def _tell(self, frame: Frame) -> None:
        stream = answers.stream(frame.header)
        self._left -= len(frame.payload)
        if self._on_output is None or self._left < 0 or not frame.payload:
            raise FrameError("more live output than was agreed, or none")
        text = self._decoders[stream].decode(frame.payload)
        if text:
            with suppress(Exception):
                self._on_output(stream, text)


def _pieces(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The same bytes in pieces of 1 MiB, each with whether it is the last; at least one."""
    buffer = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            if len(buffer) == PIECE:
                yield bytes(buffer), False
                buffer.clear()
            room = PIECE - len(buffer)
            buffer += view[:room]
            view = view[room:]
    yield bytes(buffer), True
