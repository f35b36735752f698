"""All file work inside the sandbox; many paths in one program, each with an outcome of its own."""

# The standard library only, and old ways with paths: this text is sent with every call.
# ruff: noqa: PTH108, PTH112, PTH116, PTH118, PTH119, PTH120, PTH123, PTH208, SIM115

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from typing import Any

from ci_toolkit.backends.errands.guest.paths import MISSING, ROOT, Refused, outcome, put, resolve

_PIECE = 1024 * 1024
_ENTRIES = 10_000
_ENTRY_BYTES = 4_000_000
_DEPTH = 100
_UNSIZED = 16 * 1024 * 1024


def main(header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Does one verb: `write`, `read`, `list`, `remove` or `where`."""
    verb = header["verb"]
    if verb == "where":
        return {}, b""
    if verb == "read":
        return _read_many(header["paths"], header["offset"], header["budget"])
    if verb == "write":
        source = _Source(header["parts"], payload)
        outcomes = [outcome(_write, file, source, writing=True) for file in header["files"]]
        source.close()
        return {"outcomes": outcomes}, b""
    if verb == "remove":
        outcomes = [outcome(_remove, path, writing=True) for path in header["paths"]]
        return {"outcomes": outcomes}, b""
    outcomes = [outcome(_list, path, header) for path in header["paths"]]
    return {"outcomes": []}, json.dumps(outcomes).encode()


class _Source:
    """The contents of a batch, one after the other, from its parts or from the arguments."""

    def __init__(self, parts: list[str], data: bytes) -> None:
        self._parts = list(parts)
        self._all = list(parts)
        self._data = memoryview(data)
        self._file: Any = None

    def take(self, size: int) -> Iterator[bytes]:
        """The next bytes, as many as there are of them."""
        while size > 0:
            piece = self._next(min(size, _PIECE))
            if not piece:
                return
            size -= len(piece)
            yield piece

    def _next(self, size: int) -> bytes:
        if self._data:
            piece, self._data = bytes(self._data[:size]), self._data[size:]
            return piece
        while self._file or self._parts:
            if self._file is None:
                self._file = open(self._parts.pop(0), "rb")
                os.unlink(self._file.name)  # its space is free as soon as it has been read
            piece = self._file.read(size)
            if piece:
                return bytes(piece)
            self._file.close()
            self._file = None
        return b""

    def close(self) -> None:
        for name in self._all:
            with contextlib.suppress(OSError):
                os.unlink(name)


def _write(file: list[Any], source: _Source) -> None:
    path, size, digest = file
    pieces = source.take(size)
    try:
        put(path, pieces, digest)
    finally:
        for _ in pieces:  # the bytes of a file that is refused are not the next one's
            pass


def _read_many(paths: list[str], offset: int, budget: int) -> tuple[dict[str, Any], bytes]:
    """Files from the first on, as long as they are whole within the budget; the first in any case.

    Each outcome has `size`, and `length` of what follows here, which is from `offset` for the
    first one and all for the others.
    """
    outcomes: list[dict[str, Any]] = []
    data = bytearray()
    for path in paths:
        found = outcome(_read, path, offset, budget - len(data))
        if "refused" not in found:
            piece = found.pop("data")
            if outcomes and len(piece) < found["size"]:
                break
            found["length"] = len(piece)
            data += piece
        outcomes.append(found)
        offset = 0
    return {"outcomes": outcomes}, bytes(data)


def _read(path: str, offset: int, most: int) -> dict[str, Any]:
    place = resolve(path, follow=True)
    if not stat.S_ISREG(os.stat(place).st_mode):
        raise Refused("not_file")
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size == 0:  # also what the kernel makes up, such as /proc/meminfo
            data = file.read(min(_UNSIZED, max(most, 0)))
            return {"size": len(data), "data": data}
        if most <= 0:
            return {"size": size, "data": b""}
        file.seek(offset)
        return {"size": size, "data": file.read(max(min(size - offset, most), 0))}


def _remove(path: str) -> None:
    if os.path.normpath(path or ".") in (".", "/"):
        raise Refused("root")
    full = resolve(path, follow=False)
    place = full.rstrip("/") if path.startswith("/") else os.path.normpath(full)
    try:
        mode = os.lstat(place).st_mode
    except OSError as error:
        if error.errno in MISSING:
            raise Refused("missing") from None
        raise
    parent = os.path.realpath(os.path.dirname(place))
    entry = os.path.join(parent, os.path.basename(place))
    if (ROOT + "/").startswith(entry.rstrip("/") + "/"):
        raise Refused("root")
    if stat.S_ISDIR(mode):
        shutil.rmtree(place)
    else:
        os.unlink(place)


def _list(path: str, header: dict[str, Any]) -> dict[str, Any]:
    place = resolve(path, follow=True)
    os.stat(place)
    shown = os.path.normpath(path or ".")
    shown = "/" + shown.lstrip("/") if shown.startswith("/") else shown
    listing = _Listing(header)
    if os.path.isdir(place):
        listing.walk(place, "" if shown == "." else shown, _DEPTH)
    else:
        listing.add(place, shown)
    return {"entries": sorted(listing.entries), "complete": listing.complete}


class _Listing:
    """Collects the entries of one path, so many and no more."""

    def __init__(self, header: dict[str, Any]) -> None:
        self._recursive = header["recursive"]
        self._checksums = header["checksums"]
        self._hidden = set(header["hidden"])
        self._bytes = 0
        self.entries: list[list[Any]] = []
        self.complete = True

    def walk(self, directory: str, shown: str, levels: int) -> None:
        is_root = os.path.realpath(directory) == ROOT
        for name in sorted(os.listdir(directory)):
            if is_root and (name in self._hidden or _is_transfer(name)):
                continue
            if not self.complete:
                return
            place = os.path.join(directory, name)
            path = f"{shown.rstrip('/')}/{name}" if shown else name
            with contextlib.suppress(OSError):
                self.add(place, path)
                if self._recursive and stat.S_ISDIR(os.lstat(place).st_mode):
                    if levels:
                        self.walk(place, path, levels - 1)
                    else:
                        self.complete = False

    def add(self, place: str, shown: str) -> None:
        self._bytes += len(shown) + 150
        if len(self.entries) >= _ENTRIES or self._bytes > _ENTRY_BYTES:
            self.complete = False
            return
        status = os.lstat(place)
        if stat.S_ISLNK(status.st_mode):
            status = _behind(place, shown, status)
        is_file = stat.S_ISREG(status.st_mode)
        kind = "file" if is_file else "directory" if stat.S_ISDIR(status.st_mode) else "other"
        digest = _digest(place) if self._checksums and is_file else ""
        size = status.st_size if is_file else 0
        name = os.fsencode(shown).decode("utf-8", "replace")
        self.entries.append([name, kind, size, status.st_ctime, digest])


def _behind(place: str, shown: str, status: os.stat_result) -> os.stat_result:
    """What a reader of a link would find; the link itself where a reader is not let through."""
    try:
        if not shown.startswith("/"):
            resolve(shown, follow=True)
        return os.stat(place)
    except (OSError, Refused):
        return status


def _is_transfer(name: str) -> bool:
    return name.startswith(".ci-") and name.endswith((".b64", ".in", ".part"))


def _digest(place: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(place, "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()
