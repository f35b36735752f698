"""What MCP clients are shown: tools with their schemas, and outcomes as tool results."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Final

import mcp_types as types

from ci_toolkit.doors import Offer
from ci_toolkit.mcp.scopes import SESSION_KEY
from ci_toolkit.results import Outcome
from ci_toolkit.schemas import json_schema

__all__ = ["describe", "hides_content", "tool_result"]

_TITLES: Final = {
    "execute_code": "Run code",
    "execute_command": "Run a shell command",
    "file_operations": "Sandbox files",
    "ci_push_to_workspace": "Save files",
    "workspace_read": "Read a saved file",
    "workspace_list": "List saved files",
}
_READS_ONLY: Final = {"workspace_read", "workspace_list"}
_ADDS_ONLY: Final = {"ci_push_to_workspace"}

_HIDE_CONTENT: Final = ("claude-code", "Visual Studio Code")
"""How the names of clients begin that show a model structured content in place of text and images.

See anthropics/claude-code#79944 and microsoft/vscode#290063.
"""


def describe(offers: Iterable[Offer], *, open_world: bool) -> list[types.Tool]:
    """The tools as a client lists them.

    Args:
        offers: The tools, with the names that models call.
        open_world: Whether what they run can reach a network.
    """
    return [
        types.Tool(
            name=offer.name,
            title=_TITLES[offer.tool.name],
            description=offer.description,
            input_schema=json_schema(offer.tool.arguments),
            annotations=_annotations(offer.tool.name, open_world=open_world),
        )
        for offer in offers
    ]


def _annotations(name: str, *, open_world: bool) -> types.ToolAnnotations:
    if name in _READS_ONLY:
        return types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
    return types.ToolAnnotations(
        read_only_hint=False,
        destructive_hint=name not in _ADDS_ONLY,
        idempotent_hint=False,
        open_world_hint=open_world and name in {"execute_code", "execute_command"},
    )


def hides_content(client: types.Implementation | None) -> bool:
    """Whether this client keeps a result's text and images from the model beside its record."""
    return client is not None and client.name.startswith(_HIDE_CONTENT)


def tool_result(
    outcome: Outcome, *, images: bool, structured: bool, handle: str = ""
) -> types.CallToolResult:
    """An outcome as the client gets it.

    Args:
        outcome: How the call ended.
        images: Whether pictures are in it.
        structured: Whether its record is in it, as structured content, with the text as `text`.
        handle: The session, for the host to send back; empty where it needs none.
    """
    content: list[types.ContentBlock] = [types.TextContent(text=outcome.text)]
    content += [
        types.ImageContent(data=b64encode(image.data).decode(), mime_type=image.media_type)
        for image in (outcome.images if images else ())
    ]
    return types.CallToolResult(
        content=content,
        structured_content={"text": outcome.text, **outcome.artifact} if structured else None,
        is_error=outcome.is_error,
        meta={SESSION_KEY: handle} if handle else None,
    )
