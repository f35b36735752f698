"""Turns the bytes of one file into what a model can be shown; used by the tools that read."""

from collections.abc import Iterable
from typing import Final

from ci_toolkit.files import media_type_of
from ci_toolkit.limits import Limits
from ci_toolkit.paths import base_name
from ci_toolkit.results import FileReport, Image

__all__ = ["PICTURES", "report_content"]

_TEXT_BYTES = 2 * 1024 * 1024
_PICTURE_BYTES = 32 * 1024 * 1024

PICTURES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
"""First bytes of the pictures that models are shown, and their media types."""


def report_content(path: str, size: int, chunks: Iterable[bytes], limits: Limits) -> FileReport:
    """One file as text, as a picture, or by its name, type and size.

    Reads no more of it than can be shown. Bytes that are not UTF-8 in what is otherwise text are
    shown as replacement characters, and the report says so.
    """
    data = _beginning(chunks)
    picture = _picture_type(data)
    if picture and len(data) == size:
        image = Image(media_type=picture, data=bytes(data), name=base_name(path))
        return FileReport(path=path, size=size, media_type=picture, image=image)
    media_type = picture or media_type_of(path)
    if picture or b"\0" in data[:8192]:
        return FileReport(path=path, size=size, media_type=media_type)
    most = min(_TEXT_BYTES, 8 * limits.text_chars)
    complete = size <= most
    text = bytes(data[:most]).decode(errors="replace")
    if not complete:
        text = text.rstrip("\ufffd")
    odd = text.count("\ufffd")
    if odd * 10 > len(text):
        return FileReport(path=path, size=size, media_type=media_type)
    remark = "not valid UTF-8; undecodable bytes are shown as \ufffd" if odd else ""
    return FileReport(
        path=path,
        size=size,
        media_type=media_type,
        text=text,
        complete=complete,
        remark=remark,
    )


def _beginning(chunks: Iterable[bytes]) -> bytearray:
    """As much of a file as is needed to show it."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        most = _PICTURE_BYTES if _picture_type(data) else _TEXT_BYTES
        if len(data) >= most:
            break
    return data


def _picture_type(data: bytearray) -> str:
    for magic, media_type in PICTURES.items():
        if data.startswith(magic):
            return media_type
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""
