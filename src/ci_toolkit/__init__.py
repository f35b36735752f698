"""A code interpreter for agents: four tools over pluggable sandboxes and workspaces.

The front door: the few names that every user needs. It imports no optional library.
"""

from ci_toolkit.cancellation import Cancellation
from ci_toolkit.errors import (
    BackendError,
    CodeInterpreterError,
    ConfigurationError,
    ToolError,
    WorkspaceError,
)
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.limits import Limits
from ci_toolkit.results import Image, Outcome
from ci_toolkit.scope import Scope

__all__ = [
    "BackendError",
    "Cancellation",
    "CodeInterpreter",
    "CodeInterpreterError",
    "ConfigurationError",
    "Image",
    "Limits",
    "Outcome",
    "Scope",
    "ToolError",
    "WorkspaceError",
]
