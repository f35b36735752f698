"""All file work inside the sandbox; each request names one path and is answered for it alone.

Relative paths stay beneath the working directory, whatever links and races say: what has been
opened is checked, not what a name promised. Nothing here waits for a FIFO or follows a device.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Any

import beneath

PIECE = 1024 * 1024
_ENTRIES = 10_000
_ENTRY_BYTES = 4_000_000
_DEPTH = 100
_UNSIZED = 16 * 1024 * 1024

_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL}


class Refused(Exception):  # noqa: N818 - it is an outcome
    """A path's outcome: `missing`, `outside`, `not_file`, `denied`, `failed` or `root`."""

    def __init__(self, kind: str, reason: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.reason = reason


def refusal(error: OSError, *, writing: bool = False) -> Refused:
    """The outcome that an error of the system stands for."""
    if isinstance(error, beneath.OutsideError):
        return Refused("outside")
    reason = error.strerror or "unknown error"
    if writing:
        return Refused("failed", reason)
    if error.errno in _MISSING:
        return Refused("missing")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Refused("denied", reason)
    if error.errno in {errno.ELOOP, errno.ENXIO}:
        return Refused("not_file")
    return Refused("failed", reason)


class Files:
    """The files of the sandbox, seen from its working directory."""

    def __init__(self, working_directory: str) -> None:
        self._tree = beneath.Tree(working_directory)
        self._reading: tuple[int, int] | None = None
        self._writing: _Writing | None = None

    def open(self, path: str) -> tuple[dict[str, Any], bytes]:
        """Begins to read a file: its size, its first piece, and whether that is all."""
        self.close()
        try:
            descriptor = self._tree.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise refusal(error) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise Refused("not_file")
        self._reading = descriptor, status.st_size or _UNSIZED
        answer, piece = self.read()
        return {**answer, "size": status.st_size or len(piece)}, piece

    def read(self) -> tuple[dict[str, Any], bytes]:
        """The next piece of the file that is being read."""
        if self._reading is None:
            raise Refused("failed", "no file is being read")
        descriptor, left = self._reading
        try:
            piece = os.read(descriptor, min(left, PIECE))
        except OSError as error:
            self.close()
            raise refusal(error) from None
        left -= len(piece)
        self._reading = descriptor, left
        more = bool(piece) and left > 0
        if not more:
            self.close()
        return {"more": more}, piece

    def close(self) -> None:
        """Ends the reading of a file."""
        if self._reading is not None:
            os.close(self._reading[0])
            self._reading = None

    def write(self, path: str, data: bytes, *, last: bool) -> dict[str, Any]:
        """Begins a file, and ends it when `last`."""
        self.abort()
        try:
            self._writing = _Writing(self._tree, path)
        except OSError as error:
            raise refusal(error, writing=True) from None
        return self.append(data, last=last)

    def append(self, data: bytes, *, last: bool) -> dict[str, Any]:
        """Goes on with the file that was begun; it appears when `last`."""
        if self._writing is None:
            raise Refused("failed", "no file is being written")
        try:
            self._writing.append(data)
            if last:
                self._writing.commit()
                self._writing = None
        except OSError as error:
            self.abort()
            raise refusal(error, writing=True) from None
        return {}

    def abort(self) -> None:
        """Forgets the file that was begun."""
        if self._writing is not None:
            self._writing.abort()
            self._writing = None

    def list(self, path: str, *, recursive: bool, checksums: bool) -> dict[str, Any]:
        """What a file or directory holds; entries are `[path, kind, size, changed, sha256]`."""
        try:
            return _Listing(self._tree, recursive=recursive, checksums=checksums).of(path)
        except OSError as error:
            raise refusal(error) from None

    def remove(self, path: str) -> dict[str, Any]:
        """Removes a file, a link, or a directory with all that it holds."""
        try:
            parent, name = self._tree.parent(path)
        except OSError as error:
            raise refusal(error) from None
        with _closing(parent):
            if name in {"", ".", ".."} or self._tree.holds_root(parent, name):
                raise Refused("root")
            try:
                beneath.remove(parent, name)
            except FileNotFoundError:
                raise Refused("missing") from None
            except OSError as error:
                raise refusal(error, writing=error.errno not in _MISSING) from None
        return {}


class _Writing:
    """A file that is being written beside its final name."""

    def __init__(self, tree: beneath.Tree, path: str) -> None:
        self._parent, self._name = tree.parent(path, make=True)
        self._descriptor = -1
        try:
            self._check_target()
            self._temporary = f".ci-{os.urandom(6).hex()}.part"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o666, dir_fd=self._parent)
        except BaseException:
            os.close(self._parent)
            raise

    def _check_target(self) -> None:
        self._mode = None
        if self._name in {"", ".", ".."}:
            raise Refused("not_file")
        if len(os.fsencode(self._name)) > 255:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(self._name, dir_fd=self._parent).st_mode
            if stat.S_ISREG(mode):
                self._mode = stat.S_IMODE(mode)
            elif not stat.S_ISLNK(mode):
                raise Refused("not_file")

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def commit(self) -> None:
        if self._mode is not None:
            os.fchmod(self._descriptor, self._mode)
        os.replace(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        os.close(self._descriptor)
        os.close(self._parent)

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._temporary, dir_fd=self._parent)
        os.close(self._descriptor)
        os.close(self._parent)


class _Listing:
    """Collects the entries of one path, so many and no more."""

    def __init__(self, tree: beneath.Tree, *, recursive: bool, checksums: bool) -> None:
        self._tree = tree
        self._recursive = recursive
        self._checksums = checksums
        self._entries: list[list[Any]] = []
        self._bytes = 0
        self._complete = True

    def of(self, path: str) -> dict[str, Any]:
        shown = _normal(path)
        descriptor = self._tree.open(path, os.O_PATH)
        with _closing(descriptor):
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                inside = self._tree.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
                with _closing(inside):
                    self._walk(inside, "" if shown == "." else shown, _DEPTH)
            else:
                self._add(shown, shown, status)
        self._entries.sort()
        return {"entries": self._entries, "complete": self._complete}

    def _walk(self, directory: int, shown: str, levels: int) -> None:
        for name in sorted(os.listdir(directory)):
            path = f"{shown.rstrip('/')}/{name}" if shown else name
            if not self._complete:
                return
            with contextlib.suppress(OSError):
                status = os.lstat(name, dir_fd=directory)
                self._add(path, path, status)
                if self._recursive and stat.S_ISDIR(status.st_mode):
                    self._go_down(directory, name, path, levels)

    def _go_down(self, directory: int, name: str, path: str, levels: int) -> None:
        if levels == 0:
            self._complete = False
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        below = os.open(name, flags, dir_fd=directory)
        with _closing(below):
            self._walk(below, path, levels - 1)

    def _add(self, path: str, shown: str, status: os.stat_result) -> None:
        self._bytes += len(shown) + 150
        if len(self._entries) >= _ENTRIES or self._bytes > _ENTRY_BYTES:
            self._complete = False
            return
        mode = status.st_mode
        if stat.S_ISLNK(mode):
            status, mode = self._behind(path, status)
        kind = "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"
        size = status.st_size if kind == "file" else 0
        digest = self._digest(path) if self._checksums and kind == "file" else ""
        self._entries.append([_printable(shown), kind, size, status.st_ctime, digest])

    def _behind(self, path: str, status: os.stat_result) -> tuple[os.stat_result, int]:
        """What a reader of a link would find."""
        try:
            descriptor = self._tree.open(path, os.O_PATH)
        except OSError:
            return status, status.st_mode
        with _closing(descriptor):
            status = os.fstat(descriptor)
            return status, status.st_mode

    def _digest(self, path: str) -> str:
        digest = hashlib.sha256()
        try:
            descriptor = self._tree.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return ""
        with _closing(descriptor), contextlib.suppress(OSError):
            while piece := os.read(descriptor, PIECE):
                digest.update(piece)
        return digest.hexdigest()


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _normal(path: str) -> str:
    shown = os.path.normpath(path or ".")
    return "/" + shown.lstrip("/") if shown.startswith("/") else shown


def _printable(path: str) -> str:
    """A path that can be sent; bytes that are no UTF-8 are shown as replaced."""
    return os.fsencode(path).decode("utf-8", "replace")
