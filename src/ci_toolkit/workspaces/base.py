"""The seam between a conversation and a place that keeps files: `Workspace`.

A workspace knows keys and bytes, and nothing of users, sandboxes or tools. It is signed with an
object store and with several writing processes in mind.
`ci_toolkit.testing.WorkspaceContract` checks every sentence that can be checked.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["CHUNK", "StoredFile", "Workspace"]

CHUNK = 1024 * 1024
"""Bytes of the longest piece in which contents travel."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """What a workspace knows of one file without reading it.

    Attributes:
        key: The full key.
        size: Bytes.
        etag: An opaque version: it changes whenever the content is put again with other bytes.
        modified: Seconds since the epoch of the last put, by the workspace's clock.
    """

    key: str
    size: int
    etag: str
    modified: float


@runtime_checkable
class Workspace(Protocol):
    """A place that keeps files under keys; safe to use from many threads and processes.

    A key is 1 to 1,000 bytes of UTF-8: parts joined by `/`, none of them empty, `.` or `..`, and
    without NUL. Every verb raises:
        WorkspaceError: The place cannot be reached, is full, or refuses; or the key is none.
    """

    def put(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        media_type: str = "application/octet-stream",
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> StoredFile:
        """Stores a file whole or not at all, in bounded memory.

        Readers see the old file or the new one, never a part. What `chunks` raises passes through;
        nothing is then stored.

        Args:
            key: Where.
            chunks: The content in pieces of any size, read once.
            media_type: Kept with the file where the place can keep one.
            if_absent: Store only where nothing is yet.
            if_match: Store only where a file of this etag is.

        Raises:
            WorkspaceConflictError: The condition does not hold; nothing was stored.
        """
        ...

    def open(self, key: str) -> Iterator[bytes]:
        """Reads a file in pieces of at most `CHUNK` bytes; the file as it is at this moment.

        A missing file raises at the call, not at the first piece.

        Raises:
            WorkspaceFileMissingError: Nothing is stored under this key.
        """
        ...

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Every file whose key begins with `prefix`, sorted by key, all pages.

        Args:
            prefix: Empty, or parts each followed by `/`.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes a file; nothing happens where there is none."""
        ...
