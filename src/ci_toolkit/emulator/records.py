"""What an emulator remembers of each request, for tests to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ci_toolkit.emulator.faults import FaultKind

__all__ = ["RequestRecord", "shortened"]

_LONGEST = 2000


@dataclass
class RequestRecord:
    """One request.

    Attributes:
        operation: Such as `InvokeCodeInterpreter`; empty for a route that is none.
        tool: Of an invoke.
        session: The session's id, where the request names one.
        arguments: Members of the request, or of an invoke its tool's arguments; long texts are
            shortened and of bytes only the number is told.
        status: Of HTTP; 0 while there is none, or when the connection was cut before it.
        fault: What went wrong on demand.
    """

    operation: str = ""
    tool: str = ""
    session: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
    fault: FaultKind | None = None


def shortened(value: Any) -> Any:
    """A value without what is too long to remember."""
    if isinstance(value, Mapping):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}... <{len(value)} characters>"
    return value
