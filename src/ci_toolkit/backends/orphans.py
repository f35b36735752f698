"""A separate ability of some backends: what processes that crashed have left, found and ended.

A sandbox has the name that `Backend.start` was given; sessions give names that begin alike. Where
sandboxes cannot outlive their process, what they leave is folders and the like.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Leftover", "Orphans"]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A sandbox that another object or process started, or what is left of one.

    Attributes:
        id: What `Orphans.end_leftover` takes.
        name: As it was named when it was started.
        started: Seconds since the epoch when that was.
        abandoned: Whether it is certain that nobody uses it any more. False where only its age
            and its name are known: then it may be the sandbox of a process that lives.
    """

    id: str
    name: str
    started: float
    abandoned: bool


@runtime_checkable
class Orphans(Protocol):
    """A backend that knows of sandboxes which it did not start itself."""

    def list_leftovers(self, prefix: str) -> tuple[Leftover, ...]:
        """What others have started, and what is still there of it; the first 10,000.

        Those that this object has started are not among them.

        Args:
            prefix: What the names begin with.

        Raises:
            BackendUnavailableError, ThrottledError, AccessDeniedError: It could not be asked.
        """
        ...

    def end_leftover(self, leftover_id: str) -> None:
        """Ends a sandbox with everything in it, or removes what is left of it.

        What has vanished meanwhile is no error, and what is not abandoned any more, where that can
        be known, is left alone.

        Raises:
            BackendUnavailableError, ThrottledError, AccessDeniedError: It may still be there.
        """
        ...
