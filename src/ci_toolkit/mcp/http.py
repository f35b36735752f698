"""The MCP server over streamable HTTP: who may speak to it, and sessions where MCP has none."""

import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

import uvicorn
from anyio.to_thread import run_sync
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import TokenVerifier
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as ConnectionScope

from ci_toolkit.doors import ANONYMOUS
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.mcp.scopes import TICKET, Ticket, principal
from ci_toolkit.mcp.server import CodeInterpreterServer

__all__ = ["http_app", "serve_http"]

_COOKIE: Final = "ci-toolkit-session"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_BODY_BYTES = 32 * 1024 * 1024


def http_app(
    server: CodeInterpreterServer,
    *,
    path: str = "/mcp",
    hosts: Iterable[str] = _LOOPBACK,
    token_verifier: TokenVerifier | None = None,
) -> Starlette:
    """An ASGI application that serves MCP over streamable HTTP, in one process.

    A request from a web page, or under a name that is not one of the hosts, is refused. Whoever
    else reaches the application can run code in a sandbox of their own, and nobody can come into
    one of another. With a token verifier only authenticated users can, and sessions are bound to
    them.

    Clients of protocols from 2026-07-28 on have no session of the transport; those that keep
    cookies, as the Python SDK does, have one all the same.

    Mounted in another application, it needs its lifespan run by that one:
    `Starlette(routes=[Mount("/tools", app)], lifespan=lambda _: app.router.lifespan_context(app))`.

    Args:
        server: Serves the requests; one application for each server.
        path: Where the endpoint is.
        hosts: The names by which clients reach it, without a port.
        token_verifier: Says whose a bearer token is, such as `FixedTokens`, or one for the tokens
            of an OAuth server.
    """
    hosts = tuple(hosts)
    limits = server.interpreter.limits
    manager = StreamableHTTPSessionManager(
        server,
        security_settings=TransportSecuritySettings(
            allowed_hosts=[name for host in hosts for name in (host, f"{host}:*")],
            allowed_origins=[
                f"{scheme}://{host}{port}"
                for scheme in ("http", "https")
                for host in hosts
                for port in ("", ":*")
            ],
        ),
        session_idle_timeout=limits.idle_seconds + limits.timeout,
        max_request_body_size=_BODY_BYTES,
    )
    endpoint: ASGIApp = _Sessions(StreamableHTTPASGIApp(manager), server, path)
    middleware = []
    if token_verifier is not None:
        endpoint = RequireAuthMiddleware(endpoint, [])
        middleware = [
            Middleware(AuthenticationMiddleware, backend=BearerAuthBackend(token_verifier)),
            Middleware(AuthContextMiddleware),
        ]
    return Starlette(
        routes=[Route(path, endpoint=endpoint)],
        middleware=middleware,
        lifespan=lambda _: manager.run(),
    )


def serve_http(
    server: CodeInterpreterServer,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    hosts: Iterable[str] = (),
    token_verifier: TokenVerifier | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serves MCP over streamable HTTP until the process is asked to end.

    Args:
        server: Serves the requests.
        host: Where to listen.
        port: 0 for any that is free.
        hosts: Further names by which clients reach it, such as a proxy's.
        token_verifier: Says whose a bearer token is.
        on_ready: Is given the URL once clients can connect.

    Raises:
        ConfigurationError: The address cannot be listened at, or others could reach it without
            being authenticated.
    """
    names = tuple(hosts)
    if not _is_loopback(host):
        if token_verifier is None:
            raise ConfigurationError(
                f"Whoever reaches {host} could run code. Listen at 127.0.0.1, or ask for tokens."
            )
        if host in {"0.0.0.0", "::", ""} and not names:  # noqa: S104 - it is refused
            raise ConfigurationError(
                f"{host or 'An empty host'} stands for all addresses: say by which names clients "
                "reach the server."
            )
    shown = f"[{host}]" if ":" in host else host
    app = http_app(server, hosts=(*_LOOPBACK, shown, *names), token_verifier=token_verifier)
    with _listen(host, port) as listener:
        url = f"http://{shown}:{listener.getsockname()[1]}/mcp"
        if on_ready is not None:
            on_ready(url)
        config = uvicorn.Config(
            app, ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=3
        )
        uvicorn.Server(config).run(sockets=[listener])


class _Sessions:
    """Gives a session to clients of the protocol that has none, and ends what clients end."""

    def __init__(self, app: ASGIApp, server: CodeInterpreterServer, path: str) -> None:
        self._app = app
        self._server = server
        self._path = path

    async def __call__(self, scope: ConnectionScope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        user_id = principal(connection) or ANONYMOUS
        protocol = connection.headers.get("mcp-protocol-version")
        if protocol is not None and protocol not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._with_ticket(connection, user_id, receive, send)
        elif scope["method"] == "DELETE":
            await self._ended_by_client(connection, user_id, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _with_ticket(
        self, connection: HTTPConnection, user_id: str, receive: Receive, send: Send
    ) -> None:
        handle = connection.cookies.get(_COOKIE, "")
        ticket = Ticket(handle=handle, fresh=False)
        if not self._server.handles.owns(handle, user_id):
            ticket = Ticket(handle=self._server.handles.mint(user_id), fresh=True)
        secure = "; Secure" if connection.scope["scheme"] == "https" else ""
        path = connection.scope.get("root_path", "") + self._path
        cookie = f"{_COOKIE}={ticket.handle}; Path={path}; HttpOnly; SameSite=Strict{secure}"

        async def send_with_cookie(message: Message) -> None:
            if ticket.fresh and message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app({**connection.scope, TICKET: ticket}, receive, send_with_cookie)

    async def _ended_by_client(
        self, connection: HTTPConnection, user_id: str, receive: Receive, send: Send
    ) -> None:
        session_id = connection.headers.get("mcp-session-id", "")

        async def end_and_send(message: Message) -> None:
            # The transport says whether there was such a session, and whether it was this user's.
            if message.get("status") == 200 and session_id:
                await run_sync(self._server.end_transport, user_id, session_id)
            await send(message)

        await self._app(connection.scope, receive, end_and_send)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise ConfigurationError(f"Cannot listen at {host}:{port}: there is no such port.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ConfigurationError(f"Cannot listen at {host}:{port}: {error}") from error
