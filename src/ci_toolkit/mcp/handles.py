"""Names of sessions that a server made up itself, and that nobody can guess or pass on."""

from hmac import compare_digest, new
from secrets import token_bytes, token_urlsafe

__all__ = ["Handles"]


class Handles:
    """Makes handles, each for one user, and knows its own again.

    Nothing is remembered: a handle carries a signature, whose key lives as long as this object.
    """

    def __init__(self) -> None:
        self._key = token_bytes(32)

    def mint(self, user_id: str) -> str:
        """A new handle for a user."""
        name = token_urlsafe(18)
        return f"{name}.{self._signature(name, user_id)}"

    def owns(self, handle: str, user_id: str) -> bool:
        """Whether this object made the handle, and for this user."""
        name, _, signature = handle.partition(".")
        expected = self._signature(name, user_id)
        return compare_digest(signature.encode(), expected.encode())

    def _signature(self, name: str, user_id: str) -> str:
        return new(self._key, f"{name}\n{user_id}".encode(), "sha256").hexdigest()[:32]
