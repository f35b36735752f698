"""A workspace in a bucket of Amazon S3, or of a store that speaks its protocol.

The words are those of the `Workspace` seam; `transfer` moves the bytes, `requests`
sends the requests, and `errors` says what each refusal means.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final
from urllib.parse import urlencode

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from ci_toolkit.errors import (
    ConfigurationError,
    WorkspaceConflictError,
    WorkspaceError,
)
from ci_toolkit.workspaces.base import StoredFile
from ci_toolkit.workspaces.keys import check_key, check_prefix, is_key
from ci_toolkit.workspaces.presigned import PresignedRequest
from ci_toolkit.workspaces.s3.requests import Requests
from ci_toolkit.workspaces.s3.transfer import read, store

__all__ = ["S3Workspace"]

_LONGEST_KEY: Final = 1024
_MOST_TAGS: Final = 10
_TAG: Final = re.compile(r"[\w\s+\-=.:/@]*")
_MOST_SECONDS: Final = 7 * 24 * 3600.0


class S3Workspace:
    """Keeps files as objects of a bucket; the bucket has to be there.

    Any number of processes may use one bucket and prefix at a time: conditional puts are decided
    by S3 itself. Contents are checked by CRC32 on the way there, in the bucket and on the way
    back. A put holds at most eight parts of 8 MiB in memory (of more above 20 GB), and a file may
    have 292 GiB.

    `etag` is S3's own: putting the same bytes again may give the same one. Give `prefix` 24 bytes
    at most where keys of the full 1,000 bytes are used, because S3 counts it as part of the key.

    ```python
    workspace = S3Workspace("my-bucket", prefix="agents")
    workspace.put("ada/thread-1/code-interpreter/chart.png", [data], media_type="image/png")
    ```

    Args:
        bucket: Its name, or the ARN of an access point.
        prefix: Parts joined by `/` that stand before every key.
        client: A boto3 client for S3; otherwise one is made from the settings of the machine.
        kms_key_id: Id, ARN or alias of the KMS key that encrypts what is put; without it the
            bucket's own rule holds.
        tags: At most ten tags, put on every file.

    Raises:
        ConfigurationError: An argument cannot be used, or no client can be made.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        client: BaseClient | None = None,
        kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        if not bucket or "//" in bucket:
            raise ConfigurationError(f"{bucket!r} is no bucket: give its plain name or an ARN.")
        prefix = _folder(prefix)
        tagging = _tagging(tags or {})
        self._requests = Requests(client or _client(), bucket, prefix)
        self._settings: dict[str, str] = {}
        if kms_key_id:
            self._settings |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}
        if tagging:
            self._settings["Tagging"] = tagging

    def __repr__(self) -> str:
        return f"S3Workspace({self._requests.bucket!r}, prefix={self._requests.prefix!r})"

    def put(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        media_type: str = "application/octet-stream",
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> StoredFile:
        """Stores a file, as `Workspace.put` says."""
        self._check(key)
        condition = _condition(key, if_absent=if_absent, if_match=if_match)
        answer, size = store(
            self._requests,
            key,
            chunks,
            settings={"ContentType": media_type, **self._settings},
            condition=condition,
        )
        etag: str = answer["ETag"]
        return StoredFile(key=key, size=size, etag=etag, modified=self._modified(key, etag, answer))

    def open(self, key: str) -> Iterator[bytes]:
        """Reads a file, as `Workspace.open` says; a broken connection is taken up again."""
        self._check(key)
        pieces = read(self._requests, key)
        next(pieces)  # from here on the connection is closed also when nobody reads it
        return pieces

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Lists files, as `Workspace.list` says, while the pages arrive."""
        check_prefix(prefix)
        return self._pages(prefix)

    def delete(self, key: str) -> None:
        """Removes a file, as `Workspace.delete` says; a bucket with versions keeps the old one."""
        self._check(key)
        self._requests.send("DeleteObject", key)

    def presigned_put(
        self,
        key: str,
        *,
        media_type: str = "application/octet-stream",
        size: int | None = None,
        sha256: str | None = None,
        expires: float = 900.0,
    ) -> PresignedRequest:
        """A link that stores a file of at most 5 GiB, as `Presigned.presigned_put` says."""
        arguments: dict[str, object] = {"ContentType": media_type, **self._settings}
        headers = {"Content-Type": media_type}
        if size is not None:
            arguments["ContentLength"] = size
            headers["Content-Length"] = str(size)
        if sha256 is not None:
            arguments["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = _digest(sha256)
        for name, header in _HEADERS.items():
            if name in self._settings:
                headers[header] = self._settings[name]
        url = self._presigned("PutObject", key, expires, arguments)
        return PresignedRequest(method="PUT", url=url, headers=headers)

    def presigned_get(self, key: str, *, expires: float = 900.0) -> PresignedRequest:
        """A link that reads a file, as `Presigned.presigned_get` says."""
        url = self._presigned("GetObject", key, expires, {})
        return PresignedRequest(method="GET", url=url, headers={})

    def _check(self, key: str) -> None:
        check_key(key)
        if len((self._requests.prefix + key).encode()) > _LONGEST_KEY:
            raise WorkspaceError(
                f"The key {key[:100]!r}... and the workspace's prefix have more than "
                f"{_LONGEST_KEY} bytes together, which is the most of S3: use a shorter prefix."
            )

    def _pages(self, prefix: str) -> Iterator[StoredFile]:
        own = self._requests.prefix
        page: dict[str, Any] = {}
        while page.get("IsTruncated", True):
            page = self._requests.page(prefix, page.get("NextContinuationToken"))
            for found in page.get("Contents", []):
                key = found["Key"].removeprefix(own)
                if is_key(key):  # other programs may keep what is no key here, such as `folder/`
                    yield StoredFile(
                        key=key,
                        size=found["Size"],
                        etag=found["ETag"],
                        modified=found["LastModified"].timestamp(),
                    )

    def _modified(self, key: str, etag: str, answer: Mapping[str, Any]) -> float:
        """The time that listings show; S3 tells it only when it is asked."""
        try:
            head = self._requests.send("HeadObject", key, IfMatch=etag)
        except WorkspaceError:  # stored it is: replaced since, or this process may not read
            date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
            return parsedate_to_datetime(date).timestamp() if date else time()
        modified: float = head["LastModified"].timestamp()
        return modified

    def _presigned(
        self, operation: str, key: str, expires: float, arguments: Mapping[str, object]
    ) -> str:
        self._check(key)
        if not 1 <= expires <= _MOST_SECONDS:
            raise WorkspaceError(f"A link is valid for 1 to {_MOST_SECONDS:.0f} seconds.")
        return self._requests.presigned(operation, key, arguments, expires)


_HEADERS: Final = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "Tagging": "x-amz-tagging",
}


def _digest(sha256: str) -> str:
    """A digest as S3 writes it."""
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise WorkspaceError(f"{sha256[:80]!r} is no SHA-256 in hexadecimal.")
    return b64encode(bytes.fromhex(sha256)).decode()


def _client() -> BaseClient:
    config = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        tcp_keepalive=True,
    )
    try:
        client: BaseClient = boto3.client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"No S3 client can be made from this machine's AWS settings: {error} "
            "Correct them, or pass client=boto3.client('s3', ...)."
        ) from error
    return client


def _folder(prefix: str) -> str:
    """The prefix with its `/`."""
    folder = f"{prefix.removesuffix('/')}/" if prefix else ""
    try:
        check_prefix(folder)
    except WorkspaceError as error:
        raise ConfigurationError(
            f"{error} Give the workspace's prefix as 'team/agents'."
        ) from error
    return folder


def _tagging(tags: Mapping[str, str]) -> str:
    """Tags as S3 takes them."""
    for key, value in tags.items():
        if not key or len(key) > 128 or len(value) > 256 or not _TAG.fullmatch(key + value):
            raise ConfigurationError(
                f"{key!r}: {value!r} is no tag of S3: 1 to 128 and up to 256 letters, digits, "
                "spaces and + - = . _ : / @."
            )
    if len(tags) > _MOST_TAGS:
        raise ConfigurationError(f"S3 keeps at most {_MOST_TAGS} tags, not {len(tags)}.")
    return urlencode(tags)


def _condition(key: str, *, if_absent: bool, if_match: str | None) -> dict[str, str]:
    if if_match == "" or (if_absent and if_match is not None):
        raise WorkspaceConflictError(f"No file {key!r} can be what the put asks for.")
    if if_absent:
        return {"IfNoneMatch": "*"}
    return {} if if_match is None else {"IfMatch": if_match}
