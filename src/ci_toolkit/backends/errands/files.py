"""`Files`: the file verbs as programs in the sandbox, with few calls and in bounded memory.

How many calls a verb takes, however many paths it has:

- writing: one for 64 KiB in all; else one for each part, and one that puts the files in place;
- reading: one for 48 KB in all; else two for each 8 MiB;
- listing and removing: one; with an answer over 48 KB, two.

The sandbox's own way to take and give files only moves what has no meaning of its own (parts,
archives of answers): such ways decode text, know no sizes, hang at a FIFO, or write half a file.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from uuid import uuid4

from ci_toolkit.backends.errands.errands import TRANSFER_SECONDS, Errands
from ci_toolkit.backends.errands.refusals import listings, number, outcomes, refusal
from ci_toolkit.errors import CodeInterpreterError, UnsupportedError, WriteFailedError
from ci_toolkit.results import FileContent, FileOutcome, FileWrite, Listing

__all__ = ["Files"]

PIECE = 1024 * 1024
_INLINE = 64 * 1024
# As base64 in base64, this stays below the 24 MiB that boto3 takes in one event of AgentCore.
_READ = 8 * PIECE
_BATCH = 64 * PIECE
_PATHS = 500
_TREE_SECONDS = 600.0


class Files:
    """The files of one sandbox.

    Args:
        errands: The sandbox's.
        litter: Names in the working directory that are no user's files; `.ci` always is.
    """

    def __init__(self, errands: Errands, *, litter: Sequence[str] = ()) -> None:
        self._errands = errands
        self._litter = (".ci", *litter)

    def write(self, files: Iterable[FileWrite]) -> tuple[FileOutcome, ...]:
        """Writes files; see `Sandbox.write_files`."""
        batch = _Batch(self._errands)
        try:
            for file in files:
                batch.add(file)
        except BaseException:
            # What the content's source raises passes through; the files before it are written.
            with suppress(CodeInterpreterError):
                batch.commit()
            raise
        batch.commit()
        return tuple(batch.outcomes)

    def read(self, paths: Sequence[str]) -> Iterator[FileContent]:
        """Reads files; see `Sandbox.read_files`."""
        left = list(paths)
        while left:
            found, data = self._fetch(left[:_PATHS], 0)
            for outcome in found:
                path = left.pop(0)
                error = refusal(outcome, path, verb="read")
                if error is not None:
                    yield FileContent(path=path, error=error)
                    continue
                length = number(outcome, "length", most=len(data))
                here, data = data[:length], data[length:]
                size = number(outcome, "size")
                yield FileContent(path=path, size=size, chunks=self._chunks(path, size, here))

    def list_files(
        self, paths: Sequence[str], *, recursive: bool, checksums: bool
    ) -> tuple[Listing, ...]:
        """Lists files and directories; see `Sandbox.list_files`."""
        if not paths:
            return ()
        header: dict[str, object] = {
            "verb": "list",
            "paths": list(paths),
            "recursive": recursive,
            "checksums": checksums,
            "hidden": self._litter,
        }
        reply = self._errands.run("files", header, patience=_TREE_SECONDS)
        return listings(list(paths), reply.payload, self._errands.shift)

    def remove(self, paths: Sequence[str]) -> tuple[FileOutcome, ...]:
        """Removes files and directories; see `Sandbox.remove_files`."""
        if not paths:
            return ()
        header: dict[str, object] = {"verb": "remove", "paths": list(paths)}
        reply = self._errands.run("files", header, patience=_TREE_SECONDS)
        found = outcomes(reply.header.get("outcomes"), least=len(paths), most=len(paths))
        return tuple(
            FileOutcome(path=path, error=refusal(outcome, path, verb="remove"))
            for path, outcome in zip(paths, found, strict=True)
        )

    def working_directory(self) -> str:
        """Where relative paths start; asked for once."""
        if not self._errands.directory:
            self._errands.run("files", {"verb": "where"}, patience=TRANSFER_SECONDS)
        return self._errands.directory

    def _fetch(self, paths: Sequence[str], offset: int) -> tuple[list[dict[str, object]], bytes]:
        header: dict[str, object] = {
            "verb": "read",
            "paths": list(paths),
            "offset": offset,
            "budget": _READ,
        }
        reply = self._errands.run("files", header, patience=TRANSFER_SECONDS)
        found = outcomes(reply.header.get("outcomes"), least=1, most=len(paths))
        return [dict(one) for one in found], reply.payload

    def _chunks(self, path: str, size: int, data: bytes) -> Iterator[bytes]:
        """Pieces of a file whose first bytes are here; may mix in what is written meanwhile."""
        offset = 0
        while True:
            for start in range(0, len(data), PIECE):
                yield data[start : start + PIECE]
            offset += len(data)
            if offset >= size:
                return
            (found,), data = self._fetch([path], offset)
            data = data[: size - offset]
            if not data or refusal(found, path, verb="read") is not None:
                raise UnsupportedError(f"{path[:300]!r} was changed while it was read.")


class _Batch:
    """Files on their way: one stream of contents, cut into parts, and a list of what they are."""

    def __init__(self, errands: Errands) -> None:
        self.outcomes: list[FileOutcome] = []
        self._errands = errands
        self._part = errands.part
        self._buffer = bytearray()
        self._files: list[tuple[str, int, str]] = []
        self._parts: list[str] = []
        self._refusal = ""

    def add(self, file: FileWrite) -> None:
        """Takes a file's content."""
        size, digest = 0, sha256()
        for chunk in file.chunks:
            view = memoryview(chunk)
            size += len(view)
            digest.update(view)
            self._take(view)
        self._files.append((file.path, size, digest.hexdigest()))
        if len(self._parts) * self._part >= _BATCH:
            self.commit()

    def commit(self) -> None:
        """Puts the files in place that are complete, and forgets what else was sent."""
        if not self._files and not self._parts:
            self._buffer.clear()
            return
        inline = not self._parts and len(self._buffer) <= _INLINE
        if not inline:
            self._send()
        payload, files, parts = bytes(self._buffer) if inline else b"", self._files, self._parts
        problem = self._refusal
        self._buffer, self._files, self._parts, self._refusal = bytearray(), [], [], ""
        header: dict[str, object] = {
            "verb": "write",
            "files": [] if problem else files,
            "parts": parts,
        }
        reply = self._errands.run("files", header, payload, patience=_TREE_SECONDS)
        if problem:
            self.outcomes += [_unsent(path, problem) for path, _, _ in files]
            return
        found = outcomes(reply.header.get("outcomes"), least=len(files), most=len(files))
        for (path, size, _), outcome in zip(files, found, strict=True):
            error = refusal(outcome, path, verb="write")
            self.outcomes.append(FileOutcome(path=path, size=0 if error else size, error=error))

    def _take(self, view: memoryview) -> None:
        while view:
            room = self._part - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self._part:
                self._send()

    def _send(self) -> None:
        if self._buffer and not self._refusal:
            name = f".ci-{uuid4().hex}.in"
            self._parts.append(name)
            self._refusal = self._errands.store(name, bytes(self._buffer))
        self._buffer.clear()


def _unsent(path: str, problem: str) -> FileOutcome:
    text = f"Could not write {path[:300]!r}: the sandbox did not take it ({problem[:200]})."
    return FileOutcome(path=path, error=WriteFailedError(text))
