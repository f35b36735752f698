"""The command `ci-toolkit mcp`: the tools for any MCP client, over stdio or HTTP."""

import os
import signal
import sys
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ci_toolkit.cli.options import (
    BackendOption,
    EndpointOption,
    IdentifierOption,
    IsolationOption,
    NetworkOption,
    PythonOption,
    RegionOption,
    SessionTimeoutOption,
    TimeoutOption,
    WorkspaceOption,
    open_interpreter,
)
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.limits import Limits

if TYPE_CHECKING:
    from ci_toolkit.mcp import CodeInterpreterServer, FixedTokens

__all__ = ["mcp"]

_OWNER = "owner"
_PATIENCE_SECONDS = 10.0
_HTTP = "Over HTTP"


def mcp(  # noqa: PLR0913 - each is an option
    *,
    transport: Annotated[
        Literal["stdio", "http"],
        typer.Option(help="'stdio' for a client that starts this command; 'http' for many."),
    ] = "stdio",
    host: Annotated[
        str,
        typer.Option(
            help="Where to listen; beyond this machine only with tokens.", rich_help_panel=_HTTP
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="0 for any that is free.", rich_help_panel=_HTTP)
    ] = 8765,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name by which clients reach the server. May be repeated.",
            metavar="NAME",
            rich_help_panel=_HTTP,
        ),
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option(
            help="A bearer token that clients have to send; USER:TOKEN where there are several.",
            metavar="TOKEN",
            envvar="CI_TOOLKIT_MCP_TOKEN",
            rich_help_panel=_HTTP,
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            help="One session for all clients of a user, which goes on after a restart; without "
            "it each client has its own.",
            metavar="NAME",
        ),
    ] = None,
    workspace: WorkspaceOption = "memory",
    workspace_tools: Annotated[
        bool, typer.Option("--workspace-tools", help="Offer workspace_read and workspace_list.")
    ] = False,
    images: Annotated[bool, typer.Option(help="Send pictures.")] = True,
    structured: Annotated[bool, typer.Option(help="Send structured content.")] = True,
    prefix: Annotated[str, typer.Option(help="Put before the tools' names.")] = "",
    timeout: TimeoutOption = 300.0,
    backend: BackendOption = "local",
    isolation: IsolationOption = "bubblewrap",
    network: NetworkOption = "none",
    python: PythonOption = None,
    region: RegionOption = None,
    identifier: IdentifierOption = None,
    endpoint_url: EndpointOption = None,
    session_timeout: SessionTimeoutOption = 3600,
) -> None:
    """Serve the tools to MCP clients, such as Claude, editors and agents."""
    try:
        from ci_toolkit.mcp import create_server, one_session  # noqa: PLC0415 - an extra
    except ImportError as error:
        sys.exit(f"ci-toolkit: {error}")
    with open_interpreter(
        backend=backend,
        isolation=isolation,
        network=network,
        python=python,
        region=region,
        identifier=identifier,
        endpoint_url=endpoint_url,
        session_timeout=session_timeout,
        workspace=workspace,
        limits=Limits(timeout=timeout),
    ) as interpreter:
        server = create_server(
            interpreter,
            scope=None if session is None else one_session(session),
            workspace_tools=workspace_tools,
            images=images,
            structured=structured,
            prefix=prefix,
        )
        if transport == "stdio":
            _serve_stdio(server)
        else:
            _serve_http(server, host=host, port=port, hosts=allow_host or [], tokens=token or [])


def _serve_stdio(server: "CodeInterpreterServer") -> None:
    from ci_toolkit.mcp import serve_stdio  # noqa: PLC0415 - an extra

    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, lambda number, _: _leave(server.interpreter, number))
    if sys.stdin.isatty():
        sys.stderr.write(
            "ci-toolkit: an MCP server on stdin and stdout, to be started by a client. "
            "With --transport http it serves clients by itself.\n"
        )
    serve_stdio(server)


def _leave(interpreter: CodeInterpreter, number: int) -> None:
    """Ends sandboxes and the process, which a thread that waits for stdin would keep."""
    closing = Thread(target=interpreter.close, daemon=True)
    closing.start()
    closing.join(_PATIENCE_SECONDS)
    os._exit(128 + number)


def _serve_http(
    server: "CodeInterpreterServer", *, host: str, port: int, hosts: list[str], tokens: list[str]
) -> None:
    from ci_toolkit.mcp import serve_http  # noqa: PLC0415 - an extra

    def say(url: str) -> None:
        sys.stdout.write(f"MCP server listening on {url}\n")
        sys.stdout.flush()

    serve_http(
        server,
        host=host,
        port=port,
        hosts=hosts,
        token_verifier=_verifier(tokens) if tokens else None,
        on_ready=say,
    )


def _verifier(tokens: list[str]) -> "FixedTokens":
    from ci_toolkit.mcp import FixedTokens  # noqa: PLC0415 - an extra

    users: dict[str, str] = {}
    for text in tokens:
        name, _, secret = text.rpartition(":")
        name = name or _OWNER
        if name in users:
            raise ConfigurationError(f"There are two tokens of {name!r}; write USER:TOKEN.")
        users[name] = secret
    return FixedTokens(users)
