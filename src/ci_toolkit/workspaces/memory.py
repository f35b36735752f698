"""A workspace that lives as long as its object: for tests, demonstrations and notebooks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from threading import Lock
from time import time

from ci_toolkit.errors import WorkspaceConflictError, WorkspaceFileMissingError
from ci_toolkit.workspaces.base import CHUNK, StoredFile
from ci_toolkit.workspaces.keys import check_key, check_prefix

__all__ = ["InMemoryWorkspace"]


@dataclass(frozen=True)
class _Entry:
    stored: StoredFile
    data: bytes
    media_type: str


class InMemoryWorkspace:
    """Keeps files in this process's memory; every put has an etag of its own.

    ```python
    workspace = InMemoryWorkspace()
    workspace.put("ada/notes.txt", [b"hello"], media_type="text/plain")
    assert b"".join(workspace.open("ada/notes.txt")) == b"hello"
    ```
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = Lock()
        self._versions = count(1)

    def __repr__(self) -> str:
        return f"InMemoryWorkspace({len(self._entries)} files)"

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
        check_key(key)
        data = b"".join(chunks)
        with self._lock:
            found = self._entries.get(key)
            if if_absent and found is not None:
                raise WorkspaceConflictError(f"Something is stored under {key!r} already.")
            if if_match is not None and (found is None or found.stored.etag != if_match):
                raise WorkspaceConflictError(f"{key!r} is not the expected version any more.")
            etag = f"v{next(self._versions)}"
            stored = StoredFile(key=key, size=len(data), etag=etag, modified=time())
            self._entries[key] = _Entry(stored, data, media_type)
            return stored

    def open(self, key: str) -> Iterator[bytes]:
        """Reads a file, as `Workspace.open` says."""
        data = self._entry(key).data
        return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Lists files, as `Workspace.list` says; those that are there at the call."""
        check_prefix(prefix)
        with self._lock:
            found = [entry.stored for entry in self._entries.values()]
        matching = (stored for stored in found if stored.key.startswith(prefix))
        return iter(sorted(matching, key=lambda stored: stored.key))

    def delete(self, key: str) -> None:
        """Removes a file, as `Workspace.delete` says."""
        check_key(key)
        with self._lock:
            self._entries.pop(key, None)

    def media_type(self, key: str) -> str:
        """The media type that a file was put with.

        Raises:
            WorkspaceFileMissingError: Nothing is stored under this key.
        """
        return self._entry(key).media_type

    def _entry(self, key: str) -> _Entry:
        check_key(key)
        with self._lock:
            if key not in self._entries:
                raise WorkspaceFileMissingError(f"Nothing is stored under {key!r}.")
            return self._entries[key]
