"""Which sandbox a line of work is in, kept beside its files; used by the tenancies.

Another process, after a restart or in another pod, reads it and attaches to the same sandbox. The
layout, beside that of `files`:

    <user>/<session>/sandboxes/<branch>/record.json

A record is changed by conditional puts only: of two processes that start a sandbox at once, one
is told that the other was first.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ci_toolkit.errors import WorkspaceConflictError, WorkspaceFileMissingError
from ci_toolkit.scope import Scope, encode_part
from ci_toolkit.telemetry import scoped_logger
from ci_toolkit.workspaces.base import Workspace

__all__ = ["Record", "Records", "UploadRecord", "digest_of"]

logger = scoped_logger(__name__)

_FOLDER: Final = "sandboxes/"
_MAIN: Final = "main"


def digest_of(scope: Scope) -> str:
    """A short name of a scope that tells nothing of it."""
    return sha256(repr(scope).encode()).hexdigest()[:16]


class UploadRecord(BaseModel):
    """An upload as it was brought into a sandbox."""

    model_config = ConfigDict(frozen=True)

    etag: str
    sha256: str = ""
    modified: float = 0.0


class Record(BaseModel):
    """What another process has to know of a sandbox.

    Attributes:
        scope: `digest_of` the scope that it belongs to.
        backend: The backend's name.
        sandbox: What `Backend.attach` takes; empty when it was ended.
        owner: The session object that started it, or attached to it last, and that ends it.
        began: Seconds since the epoch when it was started.
        uploads: What was brought into it, by name.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    scope: str
    backend: str
    sandbox: str
    owner: str
    began: float
    uploads: dict[str, UploadRecord] = {}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A record as it was read or written, and its version."""

    record: Record
    etag: str


class Records:
    """The record of one scope.

    Every method raises a `WorkspaceError` where the workspace fails.
    """

    def __init__(self, workspace: Workspace, scope: Scope) -> None:
        self._workspace = workspace
        self._scope = digest_of(scope)
        branch = f"branch-{encode_part(scope.branch)}" if scope.branch else _MAIN
        self._folder = f"{scope.folder}/{_FOLDER}{branch}/"
        self._key = f"{self._folder}record.json"

    def read(self) -> Kept | None:
        """The record; None where there is none, or none that can be believed."""
        stored = next((f for f in self._workspace.list(self._folder) if f.key == self._key), None)
        if stored is None:
            return None
        try:
            content = b"".join(self._workspace.open(self._key))
            record = Record.model_validate_json(content)
        except WorkspaceFileMissingError:
            return None
        except ValidationError as error:
            logger.warning("The record %r is damaged and is not used: %s", self._key, error)
            record = Record(scope="", backend="", sandbox="", owner="", began=0.0)
        if record.scope != self._scope:
            record = record.model_copy(update={"backend": "", "sandbox": ""})
        return Kept(record=record, etag=stored.etag)

    def write(self, record: Record, before: Kept | None) -> Kept | None:
        """Replaces the record that was read before; None where somebody else has meanwhile."""
        try:
            stored = self._workspace.put(
                self._key,
                [record.model_dump_json(indent=1).encode()],
                media_type="application/json",
                if_absent=before is None,
                if_match=None if before is None else before.etag,
            )
        except WorkspaceConflictError:
            return None
        return Kept(record=record, etag=stored.etag)

    def forget(self) -> None:
        """Removes the record."""
        self._workspace.delete(self._key)
