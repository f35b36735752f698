"""Fixed bearer tokens: the simplest way to know who speaks to the server over HTTP."""

from collections.abc import Mapping
from hmac import compare_digest

from mcp.server.auth.provider import AccessToken

from ci_toolkit.errors import ConfigurationError

__all__ = ["FixedTokens"]

_SHORTEST = 16


class FixedTokens:
    """A token verifier of the MCP SDK that knows a few users, each by one token.

    Args:
        tokens: A user's name and their token.

    Raises:
        ConfigurationError: There is none, or one is too short to be a secret.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {name: token.encode() for name, token in tokens.items()}
        if not self._tokens or "" in self._tokens:
            raise ConfigurationError("Tokens are needed, each with the name of its user.")
        if any(len(token) < _SHORTEST for token in self._tokens.values()):
            raise ConfigurationError(f"A token has at least {_SHORTEST} characters.")
        if len(set(self._tokens.values())) < len(self._tokens):
            raise ConfigurationError("Two users cannot have the same token.")

    def __repr__(self) -> str:
        return f"FixedTokens({', '.join(self._tokens)})"

    async def verify_token(self, token: str) -> AccessToken | None:
        """Whose token it is, or None."""
        sent = token.encode(errors="replace")
        found = [name for name, known in self._tokens.items() if compare_digest(known, sent)]
        return AccessToken(token=token, client_id=found[0], scopes=[]) if found else None
