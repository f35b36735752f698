"""Sends a file of the sandbox to a URL, or fetches one from there, past the host."""

# The standard library only, and old ways with paths: this text is sent with every call.
# ruff: noqa: PTH116, PTH123, S310 - the URL is the host's

import hashlib
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from ci_toolkit.backends.errands.guest.paths import Refused, outcome, put, resolve

_CHUNK = 1024 * 1024
_IDLE_SECONDS = 60


def main(header: dict[str, Any], _payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Does one transfer: `upload` or `download` of `path`, with `url` and `headers`."""
    work = _upload if header["verb"] == "upload" else _download
    writing = header["verb"] == "download"
    return {"outcome": outcome(work, header, writing=writing)}, b""


def _upload(header: dict[str, Any]) -> dict[str, Any]:
    place = resolve(header["path"], follow=True)
    if not stat.S_ISREG(os.stat(place).st_mode):
        raise Refused("not_file")
    with open(place, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        body = _Body(file, size)
        # Without a type, urllib would say that it is a form.
        headers = {"Content-type": "application/octet-stream"}
        headers |= {name.capitalize(): value for name, value in header["headers"].items()}
        headers["Content-length"] = str(size)
        with _sent(header["url"], headers, method="PUT", data=body):
            return {"size": size, "sha256": body.digest.hexdigest()}


def _download(header: dict[str, Any]) -> dict[str, Any]:
    with _sent(header["url"], header["headers"], method="GET") as answer:
        pieces = _Pieces(answer, answer.headers.get("Content-Length"))
        put(header["path"], iter(pieces), header["sha256"])
        return {"size": pieces.size, "sha256": pieces.digest.hexdigest()}


def _sent(url: str, headers: dict[str, str], *, method: str, data: Any = None) -> Any:
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        return urllib.request.urlopen(request, timeout=_IDLE_SECONDS)
    except urllib.error.HTTPError as error:
        raise Refused("failed", f"the other side answered {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Refused("failed", f"the other side was not reached: {reason}"[:200]) from None


class _Body:
    """What `http.client` reads, with the digest of what was sent; no more than was announced."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._left = size
        self.digest = hashlib.sha256()

    def read(self, size: int = _CHUNK) -> bytes:
        piece = bytes(self._file.read(min(size, self._left)))
        self._left -= len(piece)
        self.digest.update(piece)
        return piece


class _Pieces:
    """What is received; an end before the announced length is an error."""

    def __init__(self, answer: Any, announced: "str | None") -> None:
        self._answer = answer
        self._announced = int(announced) if announced and announced.isdigit() else None
        self.size = 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._answer.read(_CHUNK):
            self.size += len(piece)
            self.digest.update(piece)
            yield piece
        if self._announced not in (None, self.size):
            raise Refused("failed", "the connection ended in the middle")
