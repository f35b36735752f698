"""One conversation's files in a workspace: its uploads, what was saved, and the manifest.

Lies between the sessions and the workspace seam, and knows the layout:

    <user>/<session>/uploads/<name>
    <user>/<session>/code-interpreter/<name>
    <user>/<session>/state/manifest.json

`code-interpreter/` is flat. The manifest keeps for each stored name which sandbox file it came
from, so that a file of the same name from another place never replaces it, and so that a new
sandbox gets each file back where it was. Names are taken in the manifest before contents are
stored, by conditional puts: two processes that save at once cannot take the same name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from mimetypes import guess_type
from posixpath import splitext
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ci_toolkit.errors import (
    InvalidArgumentsError,
    TooLargeError,
    WorkspaceConflictError,
    WorkspaceError,
    WorkspaceFileMissingError,
)
from ci_toolkit.paths import base_name
from ci_toolkit.scope import Scope
from ci_toolkit.workspaces.base import StoredFile, Workspace
from ci_toolkit.workspaces.presigned import Presigned, PresignedRequest

__all__ = ["SAVED", "UPLOADS", "ConversationFiles", "Hashed", "SavedFile", "media_type_of"]

SAVED: Final = "code-interpreter/"
UPLOADS: Final = "uploads/"
_STATE = "state/"
_MANIFEST = f"{_STATE}manifest.json"
_TRIES = 50
_LONGEST_NAME = 240

_Value = TypeVar("_Value")


class SavedFile(BaseModel):
    """One entry of the manifest.

    Attributes:
        path: Where it lies in the sandbox, relative to the working directory, or absolute.
        branch: The line of work whose sandbox it came from.
        size: Bytes.
        media_type: Guessed from the name.
        sha256: Hexadecimal digest; empty while the content is not stored yet.
        etag: The workspace's version of the content.
        modified: Seconds since the epoch when it was stored, by the workspace's clock.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    branch: str = ""
    size: int = 0
    media_type: str = "application/octet-stream"
    sha256: str = ""
    etag: str = ""
    modified: float = 0.0


class _Manifest(BaseModel):
    """What the manifest file holds."""

    version: int = 1
    files: dict[str, SavedFile] = {}


class ConversationFiles:
    """The files of one user's conversation, seen from one line of work.

    Every method raises a `WorkspaceError` where the workspace fails.
    """

    def __init__(
        self, workspace: Workspace, scope: Scope, *, file_bytes: int | None = None
    ) -> None:
        self._workspace = workspace
        self._folder = f"{scope.folder}/"
        self._branch = scope.branch
        self._most = file_bytes

    def upload(self, name: str, chunks: Iterable[bytes]) -> StoredFile:
        """Keeps an upload; one of the same name is replaced.

        Returns:
            The file, with a key such as `uploads/sales.csv`, as `open` takes it.

        Raises:
            InvalidArgumentsError: The name is no plain file name.
        """
        if (
            name in {"", ".", ".."}
            or "/" in name
            or "\0" in name
            or len(name.encode(errors="replace")) > _LONGEST_NAME
        ):
            raise InvalidArgumentsError(
                f"An upload needs a plain file name without folders, not {name[:80]!r}."
            )
        key = f"{self._folder}{UPLOADS}{name}"
        return self._within(self._workspace.put(key, chunks, media_type=media_type_of(name)))

    def stored(self, prefix: str = "") -> Iterator[StoredFile]:
        """Uploads and saved files, with keys such as `code-interpreter/chart.png`."""
        for part in (SAVED, UPLOADS):
            if not (part.startswith(prefix) or prefix.startswith(part)):
                continue
            for stored in self._workspace.list(f"{self._folder}{part}"):
                within = self._within(stored)
                if within.key.startswith(prefix):
                    yield within

    def _within(self, stored: StoredFile) -> StoredFile:
        return replace(stored, key=stored.key.removeprefix(self._folder))

    def open(self, name: str) -> Iterator[bytes]:
        """Reads a file by a name such as `code-interpreter/chart.png`.

        Raises:
            WorkspaceFileMissingError: There is no such file in this conversation.
        """
        if not name.startswith((SAVED, UPLOADS)) or base_name(name) in {"", ".", ".."}:
            raise WorkspaceFileMissingError(f"No file {name!r}.")
        return self._workspace.open(f"{self._folder}{name}")

    def uploads(self) -> list[StoredFile]:
        """The uploads, with their bare names as keys."""
        folder = f"{self._folder}{UPLOADS}"
        return [
            StoredFile(
                key=stored.key.removeprefix(folder),
                size=stored.size,
                etag=stored.etag,
                modified=stored.modified,
            )
            for stored in self._workspace.list(folder)
        ]

    def manifest(self) -> dict[str, SavedFile]:
        """What the manifest knows of all lines of work: stored name to entry."""
        return self._load()[0].files

    def saved(self) -> dict[str, SavedFile]:
        """Stored name to entry, for what this line of work has saved completely."""
        return {
            name: entry
            for name, entry in self.manifest().items()
            if entry.branch == self._branch and entry.sha256
        }

    def reserve(self, paths: Iterable[str]) -> dict[str, str]:
        """The stored name for each sandbox path: its own from before, or a free one."""
        wanted = list(paths)

        def take(files: dict[str, SavedFile]) -> dict[str, str]:
            own = {e.path: name for name, e in files.items() if e.branch == self._branch}
            taken = set(files) | {
                base_name(stored.key) for stored in self._workspace.list(self._folder + SAVED)
            }
            for path in wanted:
                if path not in own:
                    own[path] = _free_name(path, taken)
                    taken.add(own[path])
                    files[own[path]] = SavedFile(path=path, branch=self._branch)
            return {path: own[path] for path in wanted}

        return self._update(take)

    def store(self, name: str, path: str, chunks: Iterable[bytes]) -> SavedFile:
        """Stores the content of a reserved name; `record` makes it known.

        Raises:
            TooLargeError: It is longer than a file may be; nothing was stored.
        """
        digest = Hashed(chunks, most=self._most)
        stored = self._workspace.put(
            f"{self._folder}{SAVED}{name}", digest, media_type=media_type_of(name)
        )
        return SavedFile(
            path=path,
            branch=self._branch,
            size=stored.size,
            media_type=media_type_of(name),
            sha256=digest.hexdigest,
            etag=stored.etag,
            modified=stored.modified,
        )

    @property
    def gives_links(self) -> bool:
        """Whether the workspace lets others store and read single files by links."""
        return isinstance(self._workspace, Presigned)

    def link_to_open(self, name: str) -> PresignedRequest:
        """A link that reads a file such as `uploads/sales.csv`; only where `gives_links`."""
        return self._links().presigned_get(f"{self._folder}{name}")

    def link_to_store(self, name: str, *, size: int, sha256: str) -> PresignedRequest:
        """A link that stores exactly this content under a reserved name."""
        key = f"{self._folder}{SAVED}{name}"
        return self._links().presigned_put(
            key, media_type=media_type_of(name), size=size, sha256=sha256
        )

    def stored_straight(self, name: str, path: str, *, sha256: str) -> SavedFile:
        """The entry of what was stored by a link; `record` makes it known.

        Raises:
            WorkspaceFileMissingError: Nothing was stored.
        """
        key = f"{self._folder}{SAVED}{name}"
        folder = self._workspace.list(f"{self._folder}{SAVED}")
        stored = next((each for each in folder if each.key == key), None)
        if stored is None:
            raise WorkspaceFileMissingError(f"Nothing was stored under {key!r}.")
        return SavedFile(
            path=path,
            branch=self._branch,
            size=stored.size,
            media_type=media_type_of(name),
            sha256=sha256,
            etag=stored.etag,
            modified=stored.modified,
        )

    def _links(self) -> Presigned:
        if not isinstance(self._workspace, Presigned):
            raise WorkspaceError("This workspace gives out no links.")
        return self._workspace

    def record(self, entries: Mapping[str, SavedFile]) -> None:
        """Writes stored files into the manifest.

        Where another process has stored the same name since, its entry is the one that counts.
        """

        def write(files: dict[str, SavedFile]) -> None:
            folder = self._folder + SAVED
            now = {
                each.key.removeprefix(folder): each.etag for each in self._workspace.list(folder)
            }
            files.update({n: entry for n, entry in entries.items() if now.get(n) == entry.etag})

        if entries:
            self._update(write)

    def _load(self) -> tuple[_Manifest, str | None]:
        """The manifest and its version, which is None where there is none yet."""
        key = self._folder + _MANIFEST
        stored = next(
            (f for f in self._workspace.list(self._folder + _STATE) if f.key == key), None
        )
        if stored is None:
            return _Manifest(), None
        try:
            return _Manifest.model_validate_json(b"".join(self._workspace.open(key))), stored.etag
        except ValidationError as error:
            raise WorkspaceError(
                f"The manifest {key!r} is damaged; repair or remove it. The files beside it are "
                f"untouched. {error}"
            ) from error

    def _update(self, change: Callable[[dict[str, SavedFile]], _Value]) -> _Value:
        """Changes the manifest as if nobody else did at the same time."""
        for _ in range(_TRIES):
            manifest, etag = self._load()
            before = dict(manifest.files)
            value = change(manifest.files)
            if manifest.files == before:
                return value
            try:
                self._workspace.put(
                    self._folder + _MANIFEST,
                    [manifest.model_dump_json(indent=1).encode()],
                    media_type="application/json",
                    if_absent=etag is None,
                    if_match=etag,
                )
            except WorkspaceConflictError:
                continue
            return value
        raise WorkspaceError(f"The manifest of {self._folder!r} changes too fast to be written.")


class Hashed:
    """Passes chunks through once and knows their digest and size afterwards."""

    def __init__(self, chunks: Iterable[bytes], *, most: int | None = None) -> None:
        self._chunks = chunks
        self._most = most
        self._digest = sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            self.size += len(chunk)
            if self._most is not None and self.size > self._most:
                raise TooLargeError(f"It has grown over {self._most:,} bytes while it was read.")
            yield chunk

    @property
    def hexdigest(self) -> str:
        """SHA-256 of what went through so far."""
        return self._digest.hexdigest()


def media_type_of(name: str) -> str:
    """A media type guessed from a file name."""
    kind, encoding = guess_type(name)
    return "application/octet-stream" if kind is None or encoding else kind


def _free_name(path: str, taken: set[str]) -> str:
    """The base name, else the path in one word, else that with a number."""
    base, qualified = base_name(path), path.strip("/").replace("/", "_")
    for name in (base, qualified):
        if name not in taken and len(name.encode()) <= _LONGEST_NAME:
            return name
    stem, suffix = splitext(qualified)
    short = stem.encode()[:200].decode(errors="ignore")
    number = 2
    while f"{short}-{number}{suffix}" in taken:
        number += 1
    return f"{short}-{number}{suffix}"
