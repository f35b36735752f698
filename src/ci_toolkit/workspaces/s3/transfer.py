"""How contents travel to and from S3: in parts, in bounded memory, and checked.

Between `S3Workspace` and `requests`.
"""

import zlib
from base64 import b64encode
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Any, Final
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from ci_toolkit.errors import (
    WorkspaceConflictError,
    WorkspaceError,
    WorkspaceFileMissingError,
)
from ci_toolkit.telemetry import scoped_logger
from ci_toolkit.workspaces.base import CHUNK
from ci_toolkit.workspaces.s3.errors import code_of
from ci_toolkit.workspaces.s3.requests import Requests

__all__ = ["PARALLEL", "PART", "read", "store"]

PART: Final = 8 * CHUNK
"""Bytes of a part, and of the largest file that is sent as one."""

PARALLEL: Final = 4
"""Parts of one file that are on their way at a time."""

_PARTS_OF_A_SIZE: Final = 2500
_MOST_PARTS: Final = 10_000
_RESUMES: Final = 5
_PUT: Final = "ci-toolkit-put"

logger = scoped_logger(__name__)


def store(
    requests: Requests,
    key: str,
    chunks: Iterable[bytes],
    *,
    settings: Mapping[str, object],
    condition: Mapping[str, str],
) -> tuple[dict[str, Any], int]:
    """Stores a file whole or not at all.

    At most eight parts are in memory: on their way, waiting, and being filled. What `chunks`
    raises passes through, and no part is left in the bucket.

    Args:
        requests: The workspace.
        key: Where.
        chunks: The content, read once.
        settings: What is kept with the file, as S3 calls it.
        condition: `IfMatch` or `IfNoneMatch`, checked in the request that makes the file visible.

    Returns:
        S3's answer, with the `ETag`, and the file's size.

    Raises:
        WorkspaceConflictError: The condition does not hold.
        WorkspaceError: As the table of `errors` says.
    """
    mark = uuid4().hex
    settings = {**settings, "Metadata": {_PUT: mark}}
    parts = _cut(chunks)
    part, last = next(parts)
    if last:
        sums = {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": _text(zlib.crc32(part))}
        arguments = {"Body": part, **sums, **settings, **condition}
        return _commit(requests, "PutObject", key, mark, arguments), len(part)
    everything = chain([part], (each for each, _ in parts))
    del part  # it is free again as soon as it has been sent
    upload = _Upload(requests, key, settings, mark)
    try:
        upload.send(everything)
        return upload.complete(condition), upload.size
    except BaseException:
        upload.abort()
        raise


class _Upload:
    """One upload in parts; it has to be completed or aborted."""

    def __init__(
        self, requests: Requests, key: str, settings: Mapping[str, object], mark: str
    ) -> None:
        self._requests = requests
        self._key = key
        self._mark = mark
        sums = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
        self._id = requests.send("CreateMultipartUpload", key, **sums, **settings)["UploadId"]
        self._done: list[dict[str, object]] = []
        self._checksum = 0
        self.size = 0

    def send(self, parts: Iterator[bytes]) -> None:
        """Sends all parts, some at a time; no request is under way when this returns or raises."""
        pending: deque[Future[dict[str, object]]] = deque()
        with ThreadPoolExecutor(PARALLEL, "s3-upload") as threads:
            try:
                for number, part in enumerate(parts, 1):
                    if len(pending) == PARALLEL:
                        self._done.append(pending.popleft().result())
                    pending.append(threads.submit(self._send, number, *self._counted(part)))
                self._done += [each.result() for each in pending]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def complete(self, condition: Mapping[str, str]) -> dict[str, Any]:
        """Makes the file visible, if the condition holds and S3 counts the same checksum."""
        arguments = {
            "UploadId": self._id,
            "MultipartUpload": {"Parts": self._done},
            "ChecksumCRC32": _text(self._checksum),
            "ChecksumType": "FULL_OBJECT",
            "MpuObjectSize": self.size,
            **condition,
        }
        return _commit(self._requests, "CompleteMultipartUpload", self._key, self._mark, arguments)

    def abort(self) -> None:
        """Removes the parts; where that fails, the log says what is left."""
        try:
            self._requests.send("AbortMultipartUpload", self._key, UploadId=self._id)
        except WorkspaceError as error:
            if code_of(error.__cause__) == "NoSuchUpload":
                return
            logger.warning(
                "Parts of the upload %s may be left in the bucket and cost money, until a "
                "lifecycle rule aborts incomplete uploads: %s",
                self._id,
                error,
            )

    def _counted(self, part: bytes) -> tuple[bytes, str]:
        self._checksum = zlib.crc32(part, self._checksum)
        self.size += len(part)
        return part, _text(zlib.crc32(part))

    def _send(self, number: int, part: bytes, checksum: str) -> dict[str, object]:
        answer = self._requests.send(
            "UploadPart",
            self._key,
            UploadId=self._id,
            PartNumber=number,
            Body=part,
            ChecksumAlgorithm="CRC32",
            ChecksumCRC32=checksum,
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": checksum}


def _commit(
    requests: Requests, operation: str, key: str, mark: str, arguments: Mapping[str, object]
) -> dict[str, Any]:
    """Sends the request that makes a file visible.

    boto3 sends it again where the answer was lost, and the second one then meets the first: a
    refusal counts only if what is stored does not bear the mark of this very put.
    """
    try:
        return requests.send(operation, key, **arguments)
    except WorkspaceError as error:
        if isinstance(error.__cause__, (ClientError, HTTPClientError)):
            with suppress(WorkspaceError):
                found = requests.send("HeadObject", key)
                if found.get("Metadata", {}).get(_PUT) == mark:
                    return found
        if isinstance(error, WorkspaceFileMissingError):
            expected = WorkspaceConflictError if "IfMatch" in arguments else WorkspaceError
            raise expected(str(error)) from error.__cause__
        raise


def _cut(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The content in parts, at least one, and whether each is the last.

    Parts grow after every 2,500, so that 10,000 of them hold 292 GiB.
    """
    buffer, number = bytearray(), 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            size = PART << (number // _PARTS_OF_A_SIZE)
            if len(buffer) == size:
                number += 1
                if number == _MOST_PARTS:
                    raise WorkspaceError("The file is too large for S3 in 10,000 parts.")
                yield _taken(buffer), False
            taken = rest[: size - len(buffer)]
            buffer += taken
            rest = rest[len(taken) :]
    yield _taken(buffer), True


def _taken(buffer: bytearray) -> bytes:
    """What a buffer holds, which is empty afterwards."""
    part = bytes(buffer)
    buffer.clear()
    return part


def read(requests: Requests, key: str) -> Generator[bytes, None, None]:
    """Reads a file as it is at the first step, whose piece is empty.

    A broken connection is taken up again where it broke, in the same version of the file; length
    and checksum are checked over the whole.

    Raises:
        WorkspaceError: The file cannot be read to its end, or is not what was stored.
        WorkspaceFileMissingError: Nothing is stored under this key.
    """
    answer = requests.send("GetObject", key, ChecksumMode="ENABLED")
    size, etag, body = answer["ContentLength"], answer["ETag"], answer["Body"]
    at, checksum, resumes = 0, 0, 0
    try:
        yield b""
        while True:
            try:
                piece = body.read(CHUNK)
            except (BotoCoreError, HTTPError, OSError) as error:
                if at == size or resumes == _RESUMES:
                    raise _broken(requests, key, error) from error
                resumes += 1
                body.close()
                body = _resume(requests, key, etag, at)
                continue
            if not piece:
                break
            at += len(piece)
            checksum = zlib.crc32(piece, checksum)
            yield piece
    finally:
        body.close()
    _check(key, answer, at, checksum)


def _resume(requests: Requests, key: str, etag: str, at: int) -> Any:
    try:
        return requests.send("GetObject", key, Range=f"bytes={at}-", IfMatch=etag)["Body"]
    except (WorkspaceConflictError, WorkspaceFileMissingError) as error:
        raise WorkspaceError(
            f"The connection broke while {key!r} was read, and the file was replaced or deleted "
            "before the rest could be fetched: read it again."
        ) from error


def _broken(requests: Requests, key: str, error: Exception) -> WorkspaceError:
    if isinstance(error, BotoCoreError):
        return requests.told(error, "GetObject", key)
    return WorkspaceError(f"Reading {key!r} broke off, also after several tries: {error}")


def _check(key: str, answer: Mapping[str, Any], size: int, checksum: int) -> None:
    """Compares what was read with what S3 announced."""
    if size != answer["ContentLength"]:
        raise WorkspaceError(
            f"{key!r} has {answer['ContentLength']} bytes, and {size} of them arrived."
        )
    expected = answer.get("ChecksumCRC32")
    whole = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    if expected and whole and expected != _text(checksum):
        raise WorkspaceError(f"{key!r} is damaged: its checksum is not the one it was stored with.")


def _text(checksum: int) -> str:
    """A CRC32 as S3 writes it."""
    return b64encode(checksum.to_bytes(4, "big")).decode()
