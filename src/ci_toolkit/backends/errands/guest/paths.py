"""Paths inside the sandbox and what becomes of them; sent with the programs that work on files.

Relative paths stay in the working directory, links followed. Files, code and commands belong to
one user here, so these checks are for honest answers; the walls are those of the session.
"""

# The standard library only, and old ways with paths: this text is sent with every call.
# ruff: noqa: N818, PTH101, PTH103, PTH105, PTH108, PTH109, PTH118, PTH119, PTH120, PTH123, TRY301

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Any

MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL}
ROOT = os.path.realpath(os.getcwd())


class Refused(Exception):
    """A path's outcome: `missing`, `outside`, `not_file`, `denied`, `failed` or `root`."""

    def __init__(self, kind: str, reason: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.reason = reason


def outcome(work: Any, *arguments: Any, writing: bool = False) -> dict[str, Any]:
    """What work on one path gives, or why it was refused."""
    try:
        return work(*arguments) or {}
    except Refused as refused:
        return {"refused": refused.kind, "reason": refused.reason}
    except (OSError, ValueError) as error:
        return refusal(error, writing=writing)


def refusal(error: Exception, *, writing: bool) -> dict[str, Any]:
    """The outcome that an error of the system stands for."""
    number = getattr(error, "errno", None) or errno.EINVAL
    reason = os.strerror(number)
    if writing:
        return {"refused": "failed", "reason": reason}
    if number in MISSING:
        return {"refused": "missing"}
    if number in (errno.EACCES, errno.EPERM):
        return {"refused": "denied", "reason": reason}
    if number in (errno.ELOOP, errno.ENXIO):
        return {"refused": "not_file"}
    return {"refused": "failed", "reason": reason}


def resolve(path: str, *, follow: bool) -> str:
    """Where a path leads; a relative one no further than the working directory.

    Args:
        path: As asked for.
        follow: Whether the last part may be a link that is followed.
    """
    os.fsencode(path)
    if "\0" in path:
        raise ValueError("a NUL character")
    if path.startswith("/"):
        return path
    normal = os.path.normpath(path or ".")
    if normal == ".." or normal.startswith("../"):
        raise Refused("outside")
    full = os.path.join(ROOT, path)
    real = os.path.realpath(full if follow else os.path.dirname(full.rstrip("/")) or "/")
    if real != ROOT and not real.startswith(ROOT + "/"):
        raise Refused("outside")
    return full


def put(path: str, pieces: Iterator[bytes], digest: str) -> None:
    """Writes a file beside its place and then puts it there, whole or not at all.

    Args:
        path: As asked for; missing folders are made, a link is replaced.
        pieces: The content.
        digest: Its SHA-256; empty when that is not known.
    """
    target = resolve(path, follow=False)
    name = os.path.basename(target)
    if name in ("", ".", ".."):
        raise Refused("not_file")
    mode = _mode_of(target)
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".ci-{os.urandom(6).hex()}.part")
    seen = hashlib.sha256()
    try:
        with open(temporary, "xb") as file:
            for piece in pieces:
                seen.update(piece)
                file.write(piece)
        if digest and seen.hexdigest() != digest:
            raise Refused("failed", "the content was damaged on its way")
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode_of(target: str) -> "int | None":
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return stat.S_IMODE(mode)
    if not stat.S_ISLNK(mode):
        raise Refused("not_file")
    return None
