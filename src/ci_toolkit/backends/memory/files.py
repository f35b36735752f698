"""The files of an `InMemorySandbox`: a tree in a dictionary, without links or special files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from posixpath import dirname, isabs, join, normpath

from ci_toolkit.errors import (
    FileMissingError,
    InvalidArgumentsError,
    NotAFileError,
    UnsupportedError,
    WriteFailedError,
)
from ci_toolkit.paths import inside
from ci_toolkit.results import FileInfo

__all__ = ["FileTree"]


@dataclass(frozen=True)
class _File:
    data: bytes
    changed: float


class FileTree:
    """Files and directories under absolute paths; relative ones start at the working directory.

    Every verb but `exists` raises the `ToolError` that is the path's outcome.
    """

    def __init__(self, working_directory: str, clock: Callable[[], float]) -> None:
        self.working_directory = working_directory
        self._clock = clock
        self._files: dict[str, _File] = {}
        self._directories: dict[str, float] = {}
        self.make_directory(working_directory)

    def __iter__(self) -> Iterator[str]:
        """Absolute paths of all files, sorted."""
        return iter(sorted(self._files))

    def resolve(self, path: str) -> str:
        """The absolute path that a path means."""
        within = normpath("/" + path.lstrip("/")) if isabs(path) else self.working_directory
        relative = inside(path, within)
        return within if relative == "." else join(within, relative)

    def is_file(self, path: str) -> bool:
        """Whether a file has this path."""
        return self.resolve(path) in self._files

    def is_directory(self, path: str) -> bool:
        """Whether a directory has this path."""
        return self.resolve(path) in self._directories

    def read(self, path: str) -> bytes:
        """A file's content."""
        full = self._existing(path)
        if full not in self._files:
            raise NotAFileError(f"{path!r} is a directory.")
        return self._files[full].data

    def write(self, path: str, data: bytes) -> None:
        """Writes a file, its parent directories included."""
        full = self.check_writable(path)
        self.make_directory(dirname(full))
        self._files[full] = _File(data, self._clock())

    def check_writable(self, path: str) -> str:
        """The absolute path, where a file can be written there."""
        try:
            full = self.resolve(path)
        except InvalidArgumentsError as error:
            raise WriteFailedError(str(error)) from None
        if full in self._directories:
            raise NotAFileError(f"{path!r} is a directory.")
        if any(parent in self._files for parent in _parents(full)):
            raise WriteFailedError(f"A part of {path!r} before its name is a file.")
        return full

    def make_directory(self, path: str) -> None:
        """Makes a directory and its parents where they are missing."""
        full = self.check_writable(path) if path not in self._directories else path
        for directory in (full, *_parents(full)):
            self._directories.setdefault(directory, self._clock())

    def remove(self, path: str) -> None:
        """Removes a file, or a directory with all it holds."""
        full = self._existing(path)
        if full in (self.working_directory, *_parents(self.working_directory)):
            raise UnsupportedError(f"{path!r} holds the working directory, which stays.")
        below = full + "/"
        for kind in (self._files, self._directories):
            for name in [name for name in kind if name == full or name.startswith(below)]:
                kind.pop(name)

    def entries(self, path: str, *, recursive: bool, checksums: bool) -> tuple[FileInfo, ...]:
        """What a path holds, sorted: a file itself, a directory its entries."""
        full = self._existing(path)
        if full in self._files:
            return (self._info(full, path, checksums=checksums),)
        top = full.rstrip("/") + "/"
        prefix = "" if normpath(path) == "." else path
        below = [
            name[len(top) :]
            for name in (*self._files, *self._directories)
            if name.startswith(top) and name != top
        ]
        found = [name for name in below if recursive or "/" not in name]
        infos = (self._info(top + n, join(prefix, n), checksums=checksums) for n in found)
        return tuple(sorted(infos, key=lambda info: info.path))

    def info(self, path: str) -> FileInfo:
        """What is known of a file or directory itself."""
        return self._info(self._existing(path), path, checksums=False)

    def _info(self, full: str, path: str, *, checksums: bool) -> FileInfo:
        if full in self._directories:
            return FileInfo(path=path, kind="directory", changed=self._directories[full])
        file = self._files[full]
        digest = sha256(file.data).hexdigest() if checksums else ""
        return FileInfo(path=path, size=len(file.data), changed=file.changed, sha256=digest)

    def _existing(self, path: str) -> str:
        try:
            full = self.resolve(path)
        except InvalidArgumentsError as error:
            raise FileMissingError(str(error)) from None
        if full not in self._files and full not in self._directories:
            raise FileMissingError(f"There is no {path!r}.")
        return full


def _parents(full: str) -> tuple[str, ...]:
    parents = []
    while full != "/":
        full = dirname(full)
        parents.append(full)
    return tuple(parents)
