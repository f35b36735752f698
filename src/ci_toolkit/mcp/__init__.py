"""The front door for MCP clients: outcomes as tool results of the Model Context Protocol.

The last room of the flow: call → schema → tool → session → sandbox → result → rendering → adapter.
"""

from ci_toolkit.doors import extra

with extra("mcp", "mcp", "mcp_types", "anyio", "starlette", "uvicorn"):
    from ci_toolkit.mcp.http import http_app, serve_http
    from ci_toolkit.mcp.scopes import SESSION_KEY, one_session
    from ci_toolkit.mcp.server import CodeInterpreterServer, create_server
    from ci_toolkit.mcp.stdio import serve_stdio
    from ci_toolkit.mcp.tokens import FixedTokens

__all__ = [
    "SESSION_KEY",
    "CodeInterpreterServer",
    "FixedTokens",
    "create_server",
    "http_app",
    "one_session",
    "serve_http",
    "serve_stdio",
]
