"""Files of one sandbox's working directory into another's, in bounded memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.errors import TooLargeError
from ci_toolkit.results import FileInfo, FileWrite

__all__ = ["CarriedFiles", "bounded", "carry_files"]

_GROWTH: Final = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class CarriedFiles:
    """What became of the files.

    Attributes:
        there: The paths that are there now.
        left: Those that are not.
        complete: False where there are more than a listing has.
    """

    there: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    complete: bool = True


def carry_files(old: Sandbox, new: Sandbox, *, most: int) -> CarriedFiles:
    """Copies the files of the working directory, with all below it.

    What a new sandbox has by itself is not copied over. Modes and links are not kept: a link to a
    file arrives as that file.

    Args:
        old: Read from; unchanged.
        new: Written to, and still empty.
        most: Bytes in all; the largest files are left first.

    Raises:
        BackendError, ToolError: As the sandboxes raise it.
        TooLargeError: The old sandbox gives more than it has said.
    """
    (fresh,) = new.list_files(["."])
    (found,) = old.list_files(["."], recursive=True)
    for listing in (fresh, found):
        if listing.error is not None:
            raise listing.error
    own = {entry.path for entry in fresh.entries}
    files = [
        entry
        for entry in found.entries
        if entry.kind == "file" and entry.path.partition("/")[0] not in own
    ]
    fitting = _fitting(files, most)
    written = new.write_files(_contents(old, fitting))
    there = {outcome.path for outcome in written if outcome.error is None}
    return CarriedFiles(
        there=tuple(sorted(there)),
        left=tuple(sorted(entry.path for entry in files if entry.path not in there)),
        complete=found.complete,
    )


def bounded(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Passes chunks on, up to so many bytes.

    Raises:
        TooLargeError: There are more.
    """
    for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise TooLargeError("The sandbox gives more of a file than it has said.")
        yield chunk


def _fitting(files: list[FileInfo], most: int) -> list[FileInfo]:
    room, fitting = most, []
    for entry in sorted(files, key=lambda each: each.size):
        room -= entry.size
        if room < 0:
            break
        fitting.append(entry)
    return fitting


def _contents(sandbox: Sandbox, files: list[FileInfo]) -> Iterator[FileWrite]:
    # A file may be written to meanwhile.
    most = {entry.path: 2 * entry.size + _GROWTH for entry in files}
    for content in sandbox.read_files(list(most)) if most else ():
        if content.error is None:
            chunks = bounded(content.chunks, most[content.path])
            yield FileWrite(path=content.path, chunks=chunks)
