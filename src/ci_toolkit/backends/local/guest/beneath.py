"""Opens paths so that relative ones cannot lead out of a directory; the floor under `files`."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from typing import NoReturn

_OPENAT2 = 437
_NO_MAGICLINKS = 0x02
_BENEATH = 0x08
_TRIES = 20
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class OutsideError(OSError):
    """A relative path leads out of its directory."""


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class Tree:
    """A directory that relative paths stay beneath; absolute ones go anywhere.

    Links are followed as long as what they lead to lies beneath the directory.
    """

    def __init__(self, directory: str) -> None:
        self._root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, path: str, flags: int) -> int:
        """Opens a path.

        Raises:
            OutsideError: It leads out.
            OSError: It cannot be opened.
        """
        flags |= os.O_CLOEXEC
        name = _encoded(path) or b"."
        if name.startswith(b"/"):
            return os.open(name, flags)
        if os.path.normpath(name).startswith(b"../") or os.path.normpath(name) == b"..":
            _outside(path)
        try:
            return _openat2(self._root, name, flags)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.ENOSYS, errno.EPERM}:
                raise
            return self._open_checked(name, flags)

    def _open_checked(self, name: bytes, flags: int) -> int:
        """Opens without the kernel's help, then looks at what has been opened.

        This serves absolute links into the directory, and systems without `openat2`.
        """
        try:
            found = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self._root)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR} and not self._has_link(name):
                raise
            _outside(os.fsdecode(name))
        try:
            root = os.readlink(f"/proc/self/fd/{self._root}")
            place = os.readlink(f"/proc/self/fd/{found}")
            if place != root and not place.startswith(root.rstrip("/") + "/"):
                _outside(os.fsdecode(name))
            if flags & os.O_PATH:
                return os.dup(found)
            return os.open(f"/proc/self/fd/{found}", flags)
        finally:
            os.close(found)

    def _has_link(self, name: bytes) -> bool:
        parts = name.split(b"/")
        for count in range(1, len(parts) + 1):
            with contextlib.suppress(OSError):
                prefix = b"/".join(parts[:count])
                if stat.S_ISLNK(os.lstat(prefix, dir_fd=self._root).st_mode):
                    return True
        return False

    def parent(self, path: str, *, make: bool = False) -> tuple[int, str]:
        """Opens the directory that holds a path; gives it and the last part of the path.

        Args:
            path: The path.
            make: Whether directories that are missing are made.
        """
        folder, _, name = path.rstrip("/").rpartition("/")
        if path.startswith("/") and not folder:
            folder = "/"
        if name in {"", ".", ".."}:
            self._check_inside(path)
            return os.dup(self._root), name
        self._check_inside(path)
        _encoded(name)
        return self._folder(folder, make=make), name

    def _check_inside(self, path: str) -> None:
        normal = os.path.normpath(path)
        if normal == ".." or normal.startswith("../"):
            _outside(path)

    def _folder(self, folder: str, *, make: bool) -> int:
        flags = os.O_PATH | os.O_DIRECTORY
        for _ in range(_TRIES):
            try:
                return self.open(folder, flags)
            except FileNotFoundError:
                if not make:
                    raise
            parent, name = self.parent(folder, make=True)
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=parent)
            finally:
                os.close(parent)
        raise OSError(errno.ENOENT, "the folder vanishes again and again")

    def holds_root(self, parent: int, name: str) -> bool:
        """Whether an entry is the directory itself, or one that it lies in."""
        root = os.readlink(f"/proc/self/fd/{self._root}")
        entry = os.path.join(os.readlink(f"/proc/self/fd/{parent}"), name)
        return (root + "/").startswith(entry + "/")


def remove(parent: int, name: str) -> None:
    """Removes an entry, with everything below where it is a directory; follows no link.

    Raises:
        OSError: Something could not be removed; the rest below may be gone.
    """
    if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(name, flags, dir_fd=parent)
    try:
        for entry in os.listdir(directory):
            remove(directory, entry)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


def _openat2(directory: int, name: bytes, flags: int) -> int:
    how = _How(flags, 0, _BENEATH | _NO_MAGICLINKS)
    for _ in range(_TRIES):
        descriptor = int(
            _libc.syscall(_OPENAT2, directory, name, ctypes.byref(how), ctypes.sizeof(how))
        )
        if descriptor >= 0:
            return descriptor
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _encoded(path: str) -> bytes:
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        raise OSError(errno.EINVAL, "the name is not valid Unicode") from None
    if b"\0" in name:
        raise OSError(errno.EINVAL, "the name holds a NUL character")
    return name


def _outside(path: str) -> NoReturn:
    raise OutsideError(errno.EXDEV, "leads out", path)
