"""The MCP server over stdin and stdout: one client, which started the process."""

import anyio
from mcp.server.stdio import stdio_server

from ci_toolkit.mcp.server import CodeInterpreterServer

__all__ = ["serve_stdio"]


def serve_stdio(server: CodeInterpreterServer) -> None:
    """Serves the client at the other end of stdin and stdout, until it closes stdin.

    Nothing but the protocol goes to stdout: what else is printed meanwhile goes to stderr.
    """
    anyio.run(_serve, server)


async def _serve(server: CodeInterpreterServer) -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
