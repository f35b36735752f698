"""A backend without processes: scripted replies, or trusted Python in this process."""

from ci_toolkit.backends.memory.backend import InMemoryBackend
from ci_toolkit.backends.memory.files import FileTree
from ci_toolkit.backends.memory.sandbox import InMemorySandbox
from ci_toolkit.backends.memory.script import Call, Reply, Request

__all__ = ["Call", "FileTree", "InMemoryBackend", "InMemorySandbox", "Reply", "Request"]
