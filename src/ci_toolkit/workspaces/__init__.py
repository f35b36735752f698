"""Places that keep files after a sandbox is gone; the sandbox's results are saved here."""

from ci_toolkit.workspaces.base import CHUNK, StoredFile, Workspace
from ci_toolkit.workspaces.directory import DirectoryWorkspace
from ci_toolkit.workspaces.memory import InMemoryWorkspace

__all__ = ["CHUNK", "DirectoryWorkspace", "InMemoryWorkspace", "StoredFile", "Workspace"]
