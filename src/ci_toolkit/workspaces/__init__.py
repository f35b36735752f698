"""Places that keep files after a sandbox is gone; the sandbox's results are saved here."""

from typing import TYPE_CHECKING

from ci_toolkit.workspaces.base import CHUNK, StoredFile, Workspace
from ci_toolkit.workspaces.directory import DirectoryWorkspace
from ci_toolkit.workspaces.memory import InMemoryWorkspace
from ci_toolkit.workspaces.presigned import Presigned, PresignedRequest

if TYPE_CHECKING:
    from ci_toolkit.workspaces.s3 import S3Workspace

__all__ = [
    "CHUNK",
    "DirectoryWorkspace",
    "InMemoryWorkspace",
    "Presigned",
    "PresignedRequest",
    "S3Workspace",
    "StoredFile",
    "Workspace",
]


def __getattr__(name: str) -> object:
    """Opens the room of S3 at its first use, because boto3 is slow to import."""
    if name == "S3Workspace":
        from ci_toolkit.workspaces.s3 import S3Workspace  # noqa: PLC0415

        return S3Workspace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
