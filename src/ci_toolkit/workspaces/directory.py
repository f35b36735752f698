"""A workspace in a folder of this machine: each key is a file at that relative path."""

import fcntl
import os
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path
from time import time_ns
from uuid import uuid4

from ci_toolkit.errors import (
    ConfigurationError,
    WorkspaceConflictError,
    WorkspaceError,
    WorkspaceFileMissingError,
)
from ci_toolkit.workspaces.base import CHUNK, StoredFile
from ci_toolkit.workspaces.keys import check_key, check_prefix, is_key

__all__ = ["DirectoryWorkspace"]

_OWN = ".ci-toolkit"
_LONGEST_PART = 255


class DirectoryWorkspace:
    """Keeps files in a folder, which is made at the first put.

    Several processes and threads may use one folder at a time. What other programs put there is
    listed and read as well; only regular files count, and symbolic links are not followed below
    the folder. The workspace's own `.ci-toolkit` folder holds files that are still being written.
    Directories that a deletion leaves empty are removed, so that their names are free again.

    A folder is stricter than an object store: a part of a key has at most 255 bytes, and no key
    is the directory of another.

    ```python
    workspace = DirectoryWorkspace("workspace")
    workspace.put("ada/thread-1/code-interpreter/chart.png", [data])
    ```
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._root = Path(path).absolute()
        if self._root.exists() and not self._root.is_dir():
            raise ConfigurationError(
                f"The workspace {str(self._root)!r} is no directory. Give the path of a directory, "
                "or one where nothing is yet."
            )

    def __repr__(self) -> str:
        return f"DirectoryWorkspace({str(self._root)!r})"

    @property
    def path(self) -> Path:
        """The folder, absolute."""
        return self._root

    def put(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        media_type: str = "application/octet-stream",  # noqa: ARG002 - a folder keeps none
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> StoredFile:
        """Stores a file, as `Workspace.put` says; a folder keeps no media type."""
        target = self._path(key)
        with _told("Storing", key):
            (self._root / _OWN).mkdir(parents=True, exist_ok=True)
        new = self._root / _OWN / f"{uuid4().hex}.part"
        try:
            _write(new, chunks, key)
            with _told("Storing", key), self._locked():
                found = self._stored(key)
                _check(key, found, if_absent=if_absent, if_match=if_match)
                return self._move(new, target, found)
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)

    def open(self, key: str) -> Iterator[bytes]:
        """Reads a file, as `Workspace.open` says."""
        path = self._path(key)
        if self._linked(path.parent):
            raise WorkspaceFileMissingError(f"Nothing is stored under {key!r}.")
        with _told("Reading", key):
            pieces = _pieces(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), key)
            next(pieces)  # from here on the file is closed also when nobody reads it
        return pieces

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Lists files, as `Workspace.list` says."""
        check_prefix(prefix)
        directory = self._root / prefix
        if prefix.startswith(f"{_OWN}/") or self._linked(directory):
            return iter(())
        return self._walk(directory, prefix)

    def delete(self, key: str) -> None:
        """Removes a file, as `Workspace.delete` says."""
        path = self._path(key)
        with _told("Deleting", key):
            if self._stored(key) is None:
                return
            (self._root / _OWN).mkdir(exist_ok=True)
            with self._locked():
                if self._stored(key) is not None:
                    path.unlink(missing_ok=True)
                    self._prune(path.parent)

    def _path(self, key: str) -> Path:
        check_key(key)
        parts = key.split("/")
        if parts[0] == _OWN:
            raise WorkspaceError(f"The key {key!r} lies in the workspace's own folder {_OWN!r}.")
        if any(len(part.encode()) > _LONGEST_PART for part in parts):
            raise WorkspaceError(
                f"The key {key[:100]!r}... has a part of more than {_LONGEST_PART} bytes, "
                "which cannot be a file name."
            )
        return self._root.joinpath(*parts)

    def _linked(self, directory: Path) -> bool:
        """Whether a symbolic link stands between the workspace's folder and a directory in it."""
        relative = directory.relative_to(self._root)
        return os.path.realpath(directory) != os.path.join(  # noqa: PTH118 - no normalising
            os.path.realpath(self._root), *relative.parts
        )

    def _stored(self, key: str) -> StoredFile | None:
        path = self._path(key)
        if self._linked(path.parent):
            return None
        try:
            return _stored_file(key, path.lstat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _move(self, new: Path, target: Path, found: StoredFile | None) -> StoredFile:
        """Puts a written file in its place; the caller holds the lock."""
        key = target.relative_to(self._root).as_posix()
        if self._linked(target.parent):
            raise WorkspaceError(f"The key {key!r} leads through a symbolic link.")
        # A version is its time, size and file number; a time that always grows keeps two puts
        # apart that fall into one tick of the clock and get the same number.
        now = max(time_ns(), _mtime(target) + 1 if found else 0)
        os.utime(new, ns=(now, now))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            new.replace(target)
        except OSError:
            self._prune(target.parent)
            raise
        stored = _stored_file(key, target.lstat())
        if stored is None:
            raise WorkspaceError(f"{key!r} was replaced by something else than a file.")
        return stored

    def _prune(self, directory: Path) -> None:
        """Removes the empty directories from here up; the caller holds the lock."""
        with suppress(OSError):
            while directory != self._root:
                directory.rmdir()
                directory = directory.parent

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds back every other writer of this folder, in this process and in others."""
        lock = os.open(self._root / _OWN / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _walk(self, directory: Path, prefix: str) -> Iterator[StoredFile]:
        with _told("Listing", prefix):
            names = _names(directory)
        for name in names:
            key = prefix + name
            if key == f"{_OWN}/" or not is_key(key.rstrip("/")):
                continue
            if name.endswith("/"):
                yield from self._walk(directory / name, key)
                continue
            with _told("Listing", key), suppress(FileNotFoundError):
                stored = _stored_file(key, (directory / name).lstat())
                if stored is not None:
                    yield stored


@contextmanager
def _told(doing: str, key: str) -> Iterator[None]:
    """The one place where what the operating system says becomes a `WorkspaceError`."""
    try:
        yield
    except OSError as error:
        if doing == "Reading" and error.errno in (ENOENT, ENOTDIR, ELOOP):
            raise WorkspaceFileMissingError(f"Nothing is stored under {key!r}.") from error
        raise WorkspaceError(f"{doing} {key!r} failed: {error.strerror}.") from error


def _check(key: str, found: StoredFile | None, *, if_absent: bool, if_match: str | None) -> None:
    if if_absent and found is not None:
        raise WorkspaceConflictError(f"Something is stored under {key!r} already.")
    if if_match is not None and (found is None or found.etag != if_match):
        raise WorkspaceConflictError(f"{key!r} is not the expected version any more.")


def _write(path: Path, chunks: Iterable[bytes], key: str) -> None:
    """Writes a new file; only what the operating system says is told, not what `chunks` raises."""
    with _told("Storing", key):
        file = path.open("xb", buffering=0)
    try:
        for chunk in chunks:
            with _told("Storing", key):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[file.write(rest) :]
    finally:
        file.close()


def _pieces(file: int, key: str) -> Generator[bytes, None, None]:
    """Reads an open file; the first piece is empty and comes when the file can be read."""
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise WorkspaceFileMissingError(f"Under {key!r} is no file.")
        yield b""
        with _told("Reading", key):
            while piece := os.read(file, CHUNK):
                yield piece
    finally:
        os.close(file)


def _names(directory: Path) -> list[str]:
    """What a directory holds, directories with a `/`, in the order of the keys below it."""
    try:
        with os.scandir(directory) as entries:
            return sorted(
                entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in entries
            )
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stored_file(key: str, status: os.stat_result) -> StoredFile | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    etag = f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
    return StoredFile(key=key, size=status.st_size, etag=etag, modified=status.st_mtime)


def _mtime(path: Path) -> int:
    return path.lstat().st_mtime_ns
