"""Turns what a guest says into results, believing none of it; used by `LocalSandbox`."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from ci_toolkit.backends.local.wire import Frame, FrameError
from ci_toolkit.errors import (
    FileMissingError,
    NotAFileError,
    PathOutsideError,
    ToolError,
    UnsupportedError,
    WriteFailedError,
)
from ci_toolkit.results import Execution, FileInfo, FileKind, Image, Listing

__all__ = ["execution", "image", "listing", "number", "refusal", "stream"]

_IMAGE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"}
_IMAGES = 16
_IMAGE_BYTES = 21_000_000
_LISTING_BYTES = 16_000_000
_ENTRIES = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OUTPUT_FILE = re.compile(r"\.ci/output-[0-9]{1,9}\.txt")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST = 2**53
_ENDED = {"completed", "timed_out", "interrupted", "died"}
_KINDS = {"file", "directory", "other"}
_REFUSALS: dict[str, tuple[type[ToolError], str]] = {
    "missing": (FileMissingError, "There is no file {path} in the sandbox."),
    "outside": (PathOutsideError, "The path {path} leads out of the working directory."),
    "not_file": (NotAFileError, "{path} is a directory or a special file, not a regular file."),
    "denied": (UnsupportedError, "No permission to {verb} {path}."),
    "root": (UnsupportedError, "{path} holds the working directory, which cannot be removed."),
}


def number(header: Mapping[str, object], key: str, *, least: int = 0, most: int = _MOST) -> int:
    """An integer of a header, within its bounds."""
    value = header.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise FrameError(f"{key} is {value!r:.50}")
    return value


def seconds(header: Mapping[str, object], key: str) -> float:
    """A finite number of seconds that is not negative."""
    value = header.get(key)
    # The comparison comes before any arithmetic: an integer may be too large to be a float.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _MOST:
        raise FrameError(f"{key} is {value!r:.50}")
    return float(value)


def text(header: Mapping[str, object], key: str) -> str:
    """A string that can be encoded."""
    value = header.get(key, "")
    if not isinstance(value, str):
        raise FrameError(f"{key} is no text")
    return value.encode(errors="replace").decode()


def flag(header: Mapping[str, object], key: str) -> bool:
    """A truth value."""
    value = header.get(key)
    if not isinstance(value, bool):
        raise FrameError(f"{key} is {value!r:.50}")
    return value


def stream(header: Mapping[str, object]) -> Literal["stdout", "stderr"]:
    """The name of an output stream."""
    value = header.get("stream")
    if value not in ("stdout", "stderr"):
        raise FrameError(f"stream is {value!r:.50}")
    return value


def image(frame: Frame, before: Sequence[Image]) -> Image:
    """A picture; so many and so large and no more."""
    media_type, name = text(frame.header, "media_type"), text(frame.header, "name")
    size = sum(len(picture.data) for picture in before) + len(frame.payload)
    if len(before) >= _IMAGES or size > _IMAGE_BYTES:
        raise FrameError("too many pictures")
    if media_type not in _IMAGE_TYPES or not _NAME.fullmatch(name):
        raise FrameError(f"a picture {name!r:.50} of type {media_type!r:.50}")
    return Image(media_type=media_type, data=frame.payload, name=name)


def execution(frame: Frame, images: Sequence[Image]) -> Execution:
    """How a run ended."""
    header = frame.header
    ended = header.get("ended")
    if not isinstance(ended, str) or ended not in _ENDED:
        raise FrameError(f"ended is {ended!r:.50}")
    middle = number(header, "stdout", most=len(frame.payload))
    output_file = text(header, "output_file")
    if output_file and not _OUTPUT_FILE.fullmatch(output_file):
        raise FrameError(f"output_file is {output_file!r:.50}")
    directory = text(header, "directory")
    return Execution(
        stdout=frame.payload[:middle].decode(errors="replace"),
        stderr=frame.payload[middle:].decode(errors="replace"),
        exit_code=number(header, "exit_code", least=-255, most=2**32),
        ended=cast(Literal["completed", "timed_out", "interrupted", "died"], ended),
        state_kept=flag(header, "state_kept"),
        restarted=flag(header, "restarted"),
        images=tuple(images),
        directory=directory if directory.startswith("/") and len(directory) < 4096 else "",
        started=seconds(header, "started"),
        duration=seconds(header, "duration"),
        output_file=output_file,
        output_bytes=number(header, "output_bytes"),
    )


def listing(path: str, frame: Frame) -> Listing:
    """What a path holds."""
    if len(frame.payload) > _LISTING_BYTES:
        raise FrameError("a listing is too large")
    try:
        rows = json.loads(frame.payload)
    except (ValueError, RecursionError):
        raise FrameError("a listing is not JSON") from None
    if not isinstance(rows, list) or len(rows) > _ENTRIES:
        raise FrameError("a listing is not a list, or too long")
    entries = sorted((_entry(row) for row in rows), key=lambda entry: entry.path)
    return Listing(path=path, entries=tuple(entries), complete=flag(frame.header, "complete"))


def _entry(row: object) -> FileInfo:
    if not isinstance(row, list) or len(row) != 5:
        raise FrameError("an entry of a listing has another form")
    entry = dict(zip(("path", "kind", "size", "changed", "sha256"), row, strict=True))
    kind, digest = entry["kind"], text(entry, "sha256")
    if (
        not isinstance(kind, str)
        or kind not in _KINDS
        or (digest and not _SHA256.fullmatch(digest))
    ):
        raise FrameError("an entry of a listing has a wrong kind or digest")
    return FileInfo(
        path=text(entry, "path"),
        kind=cast(FileKind, kind),
        size=number(entry, "size"),
        changed=seconds(entry, "changed"),
        sha256=digest,
    )


def refusal(header: Mapping[str, object], path: str, *, verb: str) -> ToolError | None:
    """Why a path could not be treated as asked; None when it was.

    Args:
        header: The guest's answer.
        path: The path that was asked for.
        verb: `read`, `write`, `list` or `remove`.
    """
    kind = header.get("refused")
    if kind is None:
        return None
    reason = "".join(c for c in text(header, "reason")[:200] if c.isprintable())
    shown = repr(path[:300])
    if kind == "failed":
        failed = WriteFailedError if verb in ("write", "remove") else UnsupportedError
        return failed(f"Could not {verb} {shown}: {reason}.")
    if not isinstance(kind, str) or kind not in _REFUSALS:
        raise FrameError(f"refused is {kind!r:.50}")
    error, sentence = _REFUSALS[kind]
    return error(sentence.format(path=shown, verb=verb))
