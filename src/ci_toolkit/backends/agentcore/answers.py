"""Reads what `InvokeCodeInterpreter` answers: every event, every kind of block, believing none."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ci_toolkit.results import Image

__all__ = ["Answer", "NoResultError", "StoredFile", "read_answer"]

_IMAGE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"}
_IMAGES = 16
_IMAGE_BYTES = 21_000_000
_BLOCKS = 10_000
_TASK = re.compile(r"[A-Za-z0-9_-]{1,200}")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class NoResultError(Exception):
    """A stream ended cleanly, and the service did not say what became of the call."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of `readFiles`: its place and its bytes."""

    uri: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The `result` events of one call, as one.

    Attributes:
        is_error: Whether any of them says so.
        text: All text blocks.
        structured: Whether there was a `structuredContent`.
        stdout: Of `structuredContent`.
        stderr: Likewise, without colour codes.
        exit_code: Likewise; None when it was not given.
        seconds: How long it took; the service gives seconds where its model says milliseconds.
        task_id: Of a command that runs as a task.
        task_status: Likewise.
        images: Picture blocks.
        files: Resources.
        links: The URIs of resource links.
    """

    is_error: bool = False
    text: str = ""
    structured: bool = False
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None
    seconds: float | None = None
    task_id: str = ""
    task_status: str = ""
    images: tuple[Image, ...] = ()
    files: tuple[StoredFile, ...] = ()
    links: tuple[str, ...] = ()


def read_answer(events: Iterable[object]) -> Answer:
    """Reads all events to the end; members that are unknown or of a wrong type are passed over.

    Args:
        events: What boto3's event stream gives.

    Raises:
        NoResultError: There was no result among them.
    """
    answer = None
    for event in events:
        result = event.get("result") if isinstance(event, Mapping) else None
        if isinstance(result, Mapping):
            answer = _with_result(answer or Answer(), result)
    if answer is None:
        raise NoResultError("the stream ended without a result")
    return answer


def _with_result(answer: Answer, result: Mapping[str, object]) -> Answer:
    structured = result.get("structuredContent")
    if isinstance(structured, Mapping):
        answer = _with_structured(answer, structured)
    content = result.get("content")
    blocks = content[:_BLOCKS] if isinstance(content, Sequence) else []
    for block in blocks:
        if isinstance(block, Mapping):
            answer = _with_block(answer, block)
    return replace(answer, is_error=answer.is_error or result.get("isError") is True)


def _with_structured(answer: Answer, found: Mapping[str, object]) -> Answer:
    code, seconds, task = found.get("exitCode"), found.get("executionTime"), _text(found, "taskId")
    is_code = isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**32
    is_time = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
    return replace(
        answer,
        structured=True,
        stdout=answer.stdout + _text(found, "stdout"),
        stderr=answer.stderr + _COLOURS.sub("", _text(found, "stderr")),
        exit_code=code if is_code and isinstance(code, int) else answer.exit_code,
        seconds=float(seconds) if is_time and isinstance(seconds, int | float) else answer.seconds,
        task_id=task if _TASK.fullmatch(task) else answer.task_id,
        task_status=_text(found, "taskStatus") or answer.task_status,
    )


def _with_block(answer: Answer, block: Mapping[str, object]) -> Answer:
    match block.get("type"):
        case "text":
            text = _text(block, "text")
            return replace(answer, text=f"{answer.text}\n{text}" if answer.text else text)
        case "image":
            return _with_image(answer, block.get("data"), _text(block, "mimeType"))
        case "resource":
            return _with_resource(answer, block.get("resource"))
        case "resource_link":
            return replace(answer, links=(*answer.links, _text(block, "uri")))
        case _:
            return answer


def _with_resource(answer: Answer, found: object) -> Answer:
    if not isinstance(found, Mapping):
        return answer
    blob, text = found.get("blob"), found.get("text")
    if isinstance(blob, bytes | bytearray):
        data = bytes(blob)
    elif isinstance(text, str):
        data = text.encode(errors="replace")
    else:
        data = b""
    file = StoredFile(uri=_text(found, "uri"), data=data)
    return replace(answer, files=(*answer.files, file))


def _with_image(answer: Answer, data: object, media_type: str) -> Answer:
    if not isinstance(data, bytes | bytearray) or media_type not in _IMAGE_TYPES:
        return answer
    size = len(data) + sum(len(image.data) for image in answer.images)
    if len(answer.images) >= _IMAGES or size > _IMAGE_BYTES:
        return answer
    kind = media_type.removeprefix("image/").removesuffix("+xml")
    name = f"figure-{len(answer.images) + 1}.{kind}"
    image = Image(media_type=media_type, data=bytes(data), name=name)
    return replace(answer, images=(*answer.images, image))


def _text(found: Mapping[str, object], key: str) -> str:
    """A string that can be encoded; empty when there is none."""
    value = found.get(key)
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
