"""A separate ability of some sandboxes: files that go straight between sandbox and a URL.

The other half is a workspace that gives out links for single files: with both, a large file never
passes the host. Where a sandbox lacks it, or cannot reach the URL, files go through the host.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ci_toolkit.errors import ToolError

__all__ = ["Transferred", "Transfers"]


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """What became of one file.

    Attributes:
        path: As asked for.
        size: Bytes that were sent or received.
        sha256: Their hexadecimal digest, made in the sandbox.
        error: Why it was not done, or None. Then the other side has nothing that is whole.
    """

    path: str
    size: int = 0
    sha256: str = ""
    error: ToolError | None = None


@runtime_checkable
class Transfers(Protocol):
    """A sandbox that sends and fetches files by itself.

    A URL is a secret; it is in no log and in no error. Both verbs raise what every verb of
    `Sandbox` raises.

    Outcomes: those of reading and of writing, and `UnsupportedError` or `WriteFailedError` where
    the other side refuses, is not reached, or sends something else.
    """

    def upload_to(
        self, path: str, url: str, headers: Mapping[str, str], *, sha256: str = ""
    ) -> Transferred:
        """Sends a file with HTTP PUT.

        Args:
            path: Of the sandbox.
            url: Where to.
            headers: Sent with it; the length is added.
            sha256: Of the content that is meant; another one is an error afterwards. A URL that
                was signed for the digest refuses it before.
        """
        ...

    def download_from(
        self, url: str, path: str, *, headers: Mapping[str, str] | None = None, sha256: str = ""
    ) -> Transferred:
        """Fetches a file with HTTP GET; it appears whole or not at all.

        Args:
            url: Where from.
            path: Of the sandbox.
            headers: Sent with the request.
            sha256: Of the content that is meant; another one is not put in place.
        """
        ...
