"""How code that runs in this process sees the files of an `InMemorySandbox`.

Covered: `open` and everything built on it (`pathlib`, pandas, pillow, matplotlib), and of `os`
`stat`, `listdir`, `mkdir`, `remove`, `unlink`, `rename`, `replace`, `getcwd` and what is built on
them (`os.path.exists`, `os.makedirs`, `Path.iterdir`). Only relative paths and paths in the working
directory are the sandbox's; all others are this machine's. Not covered: `os.walk`, `glob`,
`shutil`, code in other threads, child processes, and libraries that open files without Python.
"""

import builtins
import errno
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO, TextIOWrapper, UnsupportedOperation
from posixpath import isabs, join, normpath
from threading import get_ident
from typing import Any

from ci_toolkit.backends.memory.files import FileTree
from ci_toolkit.errors import ToolError

__all__ = ["files_seen_by_code"]


@contextmanager
def files_seen_by_code(files: FileTree) -> Iterator[None]:
    """Shows a sandbox's files to the code of this thread, until the context ends."""
    seen = _SeenFiles(files)
    with ExitStack() as stack:
        for module in (builtins, io):
            stack.enter_context(_replaced(module, "open", seen.guard(open, seen.open)))
        for name in ("stat", "lstat", "listdir", "mkdir", "remove", "unlink", "rename", "replace"):
            real = getattr(os, name)
            virtual = getattr(seen, _SAME.get(name, name))
            stack.enter_context(_replaced(os, name, seen.guard(real, virtual)))
        stack.enter_context(_replaced(os, "getcwd", seen.getcwd(os.getcwd)))
        yield


_FIRST = ("file", "path", "src")
_SAME = {"lstat": "stat", "unlink": "remove", "rename": "replace"}


@contextmanager
def _replaced(module: object, name: str, function: Callable[..., Any]) -> Iterator[None]:
    real = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, real)


class _SeenFiles:
    """The functions of `os`, on a tree."""

    def __init__(self, files: FileTree) -> None:
        self._files = files
        self._thread = get_ident()

    def guard(self, real: Callable[..., Any], virtual: Callable[..., Any]) -> Callable[..., Any]:
        """A function that takes the tree's paths itself and leaves the others to the real one."""

        def call(*arguments: Any, **options: Any) -> Any:
            named = [options.pop(name) for name in _FIRST if name in options]
            first, *others = (*arguments, *named) or (".",)
            own = self._own(first)
            if own is None or options.get("dir_fd") is not None:
                return real(first, *others, **options)
            try:
                return virtual(own, *others, **options)
            except OSError as error:
                error.filename = first  # the path as the code wrote it
                raise

        return call

    def getcwd(self, real: Callable[[], str]) -> Callable[[], str]:
        """The working directory, for this thread."""
        return lambda: self._files.working_directory if get_ident() == self._thread else real()

    def _own(self, path: Any) -> str | None:
        """The absolute path of what lies in the tree; None for all else."""
        if get_ident() != self._thread or not isinstance(path, str | bytes | os.PathLike):
            return None
        text = os.fsdecode(path)
        home = self._files.working_directory
        full = normpath(text if isabs(text) else join(home, text))
        places = (sys.prefix, sys.base_prefix)  # where the libraries are, also below a home
        if not text or any(_below(full, place) for place in places) or not _below(full, home):
            return None
        return full

    def open(self, path: str, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """A file object whose content is in the tree when it is flushed or closed."""
        (kind,) = set(mode) & set("rwax")
        exists = self._files.is_file(path)
        if self._files.is_directory(path):
            raise _error(errno.EISDIR, path)
        if (kind == "r" and not exists) or not self._files.is_directory(join(path, "..")):
            raise _error(errno.ENOENT, path)
        if kind == "x" and exists:
            raise _error(errno.EEXIST, path)
        raw = _OpenFile(self._files, path, kind, mode)
        if "b" in mode:
            return raw
        names = ("buffering", "encoding", "errors", "newline")
        options |= dict(zip(names, arguments, strict=False))
        options.pop("buffering", None)
        options["encoding"] = options.get("encoding") or "utf-8"
        return TextIOWrapper(raw, **options)

    def stat(self, path: str, **_options: Any) -> os.stat_result:
        """Size, kind and time."""
        try:
            info = self._files.info(path)
        except ToolError:
            raise _error(errno.ENOENT, path) from None
        kind = stat.S_IFDIR | 0o755 if info.kind == "directory" else stat.S_IFREG | 0o644
        time = int(info.changed)
        return os.stat_result((kind, 0, 0, 1, 0, 0, info.size, time, time, time))

    def listdir(self, path: str) -> list[str]:
        """The names in a directory."""
        if not self._files.is_directory(path):
            raise _error(errno.ENOTDIR if self._files.is_file(path) else errno.ENOENT, path)
        entries = self._files.entries(path, recursive=False, checksums=False)
        return [entry.path.rpartition("/")[2] for entry in entries]

    def mkdir(self, path: str, _mode: int = 0o777) -> None:
        """Makes one directory."""
        if self._files.is_file(path) or self._files.is_directory(path):
            raise _error(errno.EEXIST, path)
        if not self._files.is_directory(join(path, "..")):
            raise _error(errno.ENOENT, path)
        self._files.make_directory(path)

    def remove(self, path: str) -> None:
        """Removes a file."""
        if not self._files.is_file(path):
            missing = not self._files.is_directory(path)
            raise _error(errno.ENOENT if missing else errno.EISDIR, path)
        self._files.remove(path)

    def replace(self, path: str, target: Any) -> None:
        """Moves a file within the tree."""
        own = self._own(target)
        if own is None or not self._files.is_file(path):
            raise _error(errno.EXDEV if own is None else errno.ENOENT, path)
        self._files.write(own, self._files.read(path))
        self._files.remove(path)


class _OpenFile(BytesIO):
    """A file of the tree, open for bytes."""

    def __init__(self, files: FileTree, path: str, kind: str, mode: str) -> None:
        kept = files.read(path) if kind in "ra" and files.is_file(path) else b""
        super().__init__(kept)
        self.name = path
        self._mode = mode
        self._files = files
        self._appends = kind == "a"
        self._writes = kind != "r" or "+" in mode
        self._reads = kind == "r" or "+" in mode
        self._kept = None if self._writes and kind != "r" else kept
        self.flush()
        if self._appends:
            self.seek(0, io.SEEK_END)

    @property
    def mode(self) -> str:
        return self._mode

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def write(self, data: Any) -> int:
        if not self._writes:
            raise UnsupportedOperation("not writable")
        if self._appends:
            self.seek(0, io.SEEK_END)
        return super().write(data)

    def flush(self) -> None:
        if self._writes and not self.closed and (content := self.getvalue()) != self._kept:
            self._files.write(self.name, content)
            self._kept = content

    def close(self) -> None:
        self.flush()
        super().close()


def _below(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
