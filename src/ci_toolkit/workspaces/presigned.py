"""A separate ability of some workspaces: links that carry a file without passing the host.

A sandbox that can reach the workspace by HTTP sends or fetches large files by itself; it gets one
link for one file, and never credentials.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

__all__ = ["Presigned", "PresignedRequest"]


@dataclass(frozen=True, kw_only=True)
class PresignedRequest:
    """One HTTP request that is allowed in advance.

    Attributes:
        method: The HTTP method.
        url: The whole link. It is a secret: who has it may send the request.
        headers: Headers that must be sent exactly so; what is not listed may be left out.
    """

    method: Literal["GET", "PUT"]
    url: str = field(repr=False)
    headers: Mapping[str, str]


@runtime_checkable
class Presigned(Protocol):
    """A workspace that gives out links; nothing is sent while one is made.

    Both verbs raise:
        WorkspaceError: The key is none, the time is out of range, or no link can be signed.
    """

    def presigned_put(
        self,
        key: str,
        *,
        media_type: str = "application/octet-stream",
        size: int | None = None,
        sha256: str | None = None,
        expires: float = 900.0,
    ) -> PresignedRequest:
        """A link that stores one file, whole or not at all, and replaces what is there.

        Args:
            key: Where.
            media_type: Kept with the file.
            size: Bytes; another length is refused.
            sha256: Hexadecimal digest; another content is refused.
            expires: Seconds until the link is void; at most seven days.
        """
        ...

    def presigned_get(self, key: str, *, expires: float = 900.0) -> PresignedRequest:
        """A link that reads one file; a missing one is found out by who uses the link.

        Args:
            key: Where.
            expires: Seconds until the link is void; at most seven days.
        """
        ...
