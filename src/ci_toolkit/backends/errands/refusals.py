"""Turns what a file program says of its paths into results, believing none of it."""

import json
import math
import re
from collections.abc import Mapping
from typing import cast

from ci_toolkit.errors import (
    BackendUnavailableError,
    FileMissingError,
    NotAFileError,
    PathOutsideError,
    ToolError,
    UnsupportedError,
    WriteFailedError,
)
from ci_toolkit.results import FileInfo, FileKind, Listing

__all__ = ["listings", "number", "outcomes", "refusal"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENTRIES = 10_000
_MOST = 2**53
_REFUSALS: dict[str, tuple[type[ToolError], str]] = {
    "missing": (FileMissingError, "There is no file {path} in the sandbox."),
    "outside": (PathOutsideError, "The path {path} leads out of the working directory."),
    "not_file": (NotAFileError, "{path} is a directory or a special file, not a regular file."),
    "denied": (UnsupportedError, "No permission to {verb} {path}."),
    "root": (UnsupportedError, "{path} holds the working directory, which cannot be removed."),
}


def outcomes(found: object, *, least: int, most: int) -> list[Mapping[str, object]]:
    """The outcomes of a program, so many and each a mapping."""
    if not isinstance(found, list) or not least <= len(found) <= most:
        raise _nonsense("so many outcomes")
    if not all(isinstance(one, dict) for one in found):
        raise _nonsense("an outcome without members")
    return found


def refusal(outcome: Mapping[str, object], path: str, *, verb: str) -> ToolError | None:
    """Why a path could not be treated as asked; None when it was.

    Args:
        outcome: Of the path.
        path: As asked for.
        verb: `read`, `write`, `list` or `remove`.
    """
    kind, reason = outcome.get("refused"), str(outcome.get("reason", ""))[:200]
    shown = f"{path[:300]!r}"
    if kind is None:
        return None
    if isinstance(kind, str) and kind in _REFUSALS:
        error, sentence = _REFUSALS[kind]
        return error(sentence.format(path=shown, verb=verb))
    failed = WriteFailedError if verb in ("write", "remove") else UnsupportedError
    words = "".join(c for c in reason if c.isprintable())
    return failed(f"Could not {verb} {shown}: {words}.")


def listings(paths: list[str], payload: bytes, shift: float) -> tuple[Listing, ...]:
    """What the paths hold.

    Args:
        paths: As asked for.
        payload: What the program answered.
        shift: From the sandbox's clock to this machine's.
    """
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        raise _nonsense("a listing that is not JSON") from None
    each = outcomes(found, least=len(paths), most=len(paths))
    return tuple(_listing(p, one, shift) for p, one in zip(paths, each, strict=True))


def number(found: Mapping[str, object], key: str, *, most: int = _MOST) -> int:
    """A whole number that is not negative."""
    value = found.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _nonsense(f"{key} {value!r:.50}")
    return value


def _listing(path: str, outcome: Mapping[str, object], shift: float) -> Listing:
    error = refusal(outcome, path, verb="list")
    if error is not None:
        return Listing(path=path, error=error)
    rows = outcome.get("entries")
    if not isinstance(rows, list) or len(rows) > _ENTRIES:
        raise _nonsense("a listing without entries, or with too many")
    entries = sorted((_entry(row, shift) for row in rows), key=lambda entry: entry.path)
    complete = outcome.get("complete") is True
    return Listing(path=path, entries=tuple(entries), complete=complete)


def _entry(row: object, shift: float) -> FileInfo:
    if not isinstance(row, list) or len(row) != 5:
        raise _nonsense("an entry of another form")
    path, kind, size, changed, digest = row
    fits = (
        isinstance(path, str)
        and kind in ("file", "directory", "other")
        and isinstance(changed, int | float)
        and math.isfinite(changed)
        and isinstance(digest, str)
        and (not digest or _SHA256.fullmatch(digest))
    )
    if not fits:
        raise _nonsense("an entry with wrong members")
    return FileInfo(
        path=path.encode(errors="replace").decode(),
        kind=cast(FileKind, kind),
        size=number({"size": size}, "size"),
        changed=max(changed + shift, 0.0),
        sha256=digest,
    )


def _nonsense(what: str) -> BackendUnavailableError:
    return BackendUnavailableError(f"The file work in the sandbox answered with {what}.")
