"""Whose conversation an MCP request belongs to, from what its transport and its host say of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from mcp.server import ServerRequestContext
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import HTTPConnection

from ci_toolkit.doors import ANONYMOUS
from ci_toolkit.errors import ToolError
from ci_toolkit.mcp.handles import Handles
from ci_toolkit.scope import Scope

__all__ = [
    "SESSION_KEY",
    "TICKET",
    "Identity",
    "Ticket",
    "one_session",
    "principal",
    "requested_scope",
    "session_within",
]

SESSION_KEY: Final = "dev.ci-toolkit/session"
"""The key of `_meta` that names a session: in a request the host's, in a result the server's."""

TICKET: Final = "ci_toolkit.ticket"
"""The key of an ASGI scope under which `http_app` leaves a client's `Ticket`."""

_LONGEST_NAME = 200
_OWNER = "owner"


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A handle that came with a request, or that is sent with its answer.

    Attributes:
        handle: Made by this server for this user.
        fresh: Whether the client does not know it yet.
    """

    handle: str
    fresh: bool


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose a request is.

    Attributes:
        scope: The conversation.
        handle: What the host can send back to come to this session again; empty where it has
            another way to it.
        fresh: Whether the handle was made for this request.
    """

    scope: Scope
    handle: str = ""
    fresh: bool = False


def principal(connection: HTTPConnection) -> str:
    """The authenticated user of an HTTP request, as an identifier; empty where there is none.

    Client, issuer and subject of the access token, as far as its verifier supplies them.
    """
    user = connection.scope.get("user")
    if not isinstance(user, AuthenticatedUser):
        return ""
    client, *others = (
        quote(part or "", safe="") for part in principal_components(user.access_token)
    )
    return "/".join([client, *others]) if any(others) else client


def one_session(name: str) -> Callable[[ServerRequestContext[Any, Any]], Scope]:
    """A `scope` option: one session of this name for each user, whichever client they use.

    Over HTTP a user is who a token verifier says. Where there is none, and over stdio, whoever
    reaches the server is the one user that it has.

    Raises:
        ConfigurationError: It cannot be a name.
    """
    owner = Scope(user_id=_OWNER, session_id=name)

    def find(context: ServerRequestContext[Any, Any]) -> Scope:
        request = context.request
        user = principal(request) if isinstance(request, HTTPConnection) else ""
        return replace(owner, user_id=user) if user else owner

    return find


def session_within(transport: str, name: str) -> str:
    """The id of the session that a host names within one of the transport."""
    return f"{transport}|{name}"


def requested_scope(
    context: ServerRequestContext[Any, Any], handles: Handles, *, connection_id: str
) -> Identity:
    """The scope of a request by the default keys.

    Two clients never come to one session, unless they are one user who names it. Over streams
    there is one client at the other end. Over HTTP a session is the transport's where the protocol
    has it, and otherwise a handle of the server's own; a name that the host chose counts only
    within an authenticated user, or within a session of the transport.

    Args:
        context: The request.
        handles: Made by this server.
        connection_id: The conversation of a client at the other end of streams.

    Raises:
        ToolError: The request names a session that is not its own.
    """
    named = _named(context)
    request = context.request
    if not isinstance(request, HTTPConnection):
        return Identity(scope=Scope(user_id=ANONYMOUS, session_id=named or connection_id))
    user = principal(request)
    user_id = user or ANONYMOUS
    transport = _transport_session(context, request)
    if named and user:
        return Identity(scope=Scope(user_id=user_id, session_id=named))
    if named and transport:
        return Identity(scope=Scope(user_id=user_id, session_id=session_within(transport, named)))
    if named and not handles.owns(named, user_id):
        raise ToolError(
            f"The session in _meta[{SESSION_KEY!r}] is none of this server's; nothing was run. "
            "Leave it out to be given one, or authenticate to choose names."
        )
    if transport:
        return Identity(scope=Scope(user_id=user_id, session_id=transport))
    ticket = Ticket(handle=named, fresh=False) if named else request.scope.get(TICKET)
    if ticket is None:
        ticket = Ticket(handle=handles.mint(user_id), fresh=True)
    scope = Scope(user_id=user_id, session_id=ticket.handle)
    return Identity(scope=scope, handle=ticket.handle, fresh=ticket.fresh)


def _named(context: ServerRequestContext[Any, Any]) -> str:
    """The session that the host names, if any.

    Raises:
        ToolError: It is no name.
    """
    named = (context.meta or {}).get(SESSION_KEY)
    if named is None or named == "":
        return ""
    if not isinstance(named, str) or len(named) > _LONGEST_NAME or not named.isprintable():
        raise ToolError(
            f"_meta[{SESSION_KEY!r}] must be a text of at most {_LONGEST_NAME} characters; "
            "nothing was run."
        )
    return named


def _transport_session(context: ServerRequestContext[Any, Any], request: HTTPConnection) -> str:
    """The transport's session, in the protocols that have one: in others nobody checks it."""
    if context.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return ""
    return request.headers.get("mcp-session-id", "")
