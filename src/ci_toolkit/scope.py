"""Whose conversation a call belongs to; decided by the host, never by the model."""

from dataclasses import dataclass
from hashlib import sha256
from string import ascii_lowercase, digits

from ci_toolkit.errors import ConfigurationError

__all__ = ["Scope", "encode_part"]

_PLAIN = frozenset(ascii_lowercase + digits + "-_")
_LONGEST_PART = 120


def encode_part(text: str) -> str:
    """One identifier as one safe part of a path or an object key.

    Small letters, digits, `-` and `_` stay; every other byte becomes `%xx`. Distinct identifiers
    stay distinct, also where file names ignore case, and none can be `.`, `..` or hold a slash.
    """
    encoded = "".join(
        char if char in _PLAIN else "".join(f"%{byte:02x}" for byte in char.encode())
        for char in text
    )
    if len(encoded) <= _LONGEST_PART:
        return encoded
    return f"{encoded[:40]}%{sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One user's conversation, and within it one line of work.

    Attributes:
        user_id: The user, as the host knows them.
        session_id: The conversation. Uploads and saved files belong to user and conversation.
        branch: A subagent's own line of work, which has its own sandbox; empty for the main one.
    """

    user_id: str
    session_id: str
    branch: str = ""

    def __post_init__(self) -> None:
        for name in ("user_id", "session_id", "branch"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise ConfigurationError(f"Scope.{name} must be a string, not {type(value)!r}.")
            if not value and name != "branch":
                raise ConfigurationError(f"Scope.{name} must not be empty.")
            if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
                raise ConfigurationError(f"Scope.{name} must be valid Unicode.")

    @property
    def folder(self) -> str:
        """Where this conversation's files lie in a workspace: `<user>/<session>`, both encoded."""
        return f"{encode_part(self.user_id)}/{encode_part(self.session_id)}"
