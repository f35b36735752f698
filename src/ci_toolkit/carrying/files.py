"""Files of one sandbox's working directory into another's, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.results import FileInfo, FileWrite

__all__ = ["CarriedFiles", "carry_files"]


@dataclass(frozen=True, kw_only=True)
class CarriedFiles:
    """What became of the files: the paths that are there now, and those that are not."""

    there: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def carry_files(old: Sandbox, new: Sandbox, *, most: int) -> CarriedFiles:
    """Copies the files of the working directory, with all below it.

    What a new sandbox has by itself is not copied over. Modes and links are not kept: a link to a
    file arrives as that file.

    Args:
        old: Read from; unchanged.
        new: Written to, and still empty.
        most: Bytes in all; the largest files are left first.

    Raises:
        BackendError: As the sandboxes raise it.
    """
    (fresh,) = new.list_files(["."])
    own = {entry.path for entry in fresh.entries}
    (found,) = old.list_files(["."], recursive=True)
    files = [
        entry
        for entry in found.entries
        if entry.kind == "file" and entry.path.partition("/")[0] not in own
    ]
    fitting = _fitting(files, most)
    written = new.write_files(_contents(old, [entry.path for entry in fitting]))
    there = {outcome.path for outcome in written if outcome.error is None}
    return CarriedFiles(
        there=tuple(sorted(there)),
        left=tuple(sorted(entry.path for entry in files if entry.path not in there)),
    )


def _fitting(files: list[FileInfo], most: int) -> list[FileInfo]:
    room, fitting = most, []
    for entry in sorted(files, key=lambda each: each.size):
        room -= entry.size
        if room < 0:
            break
        fitting.append(entry)
    return fitting


def _contents(sandbox: Sandbox, paths: list[str]) -> Iterator[FileWrite]:
    for content in sandbox.read_files(paths) if paths else ():
        if content.error is None:
            yield FileWrite(path=content.path, chunks=content.chunks)
