"""What MCP clients can read: the skill's text, and the conversation's files in the workspace."""

from base64 import b64encode
from typing import Final
from urllib.parse import quote, unquote

import mcp_types as types
from mcp.shared.exceptions import MCPError

from ci_toolkit.errors import WorkspaceFileMissingError
from ci_toolkit.files import media_type_of
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.scope import Scope
from ci_toolkit.skill import SKILL_DIR
from ci_toolkit.workspaces.base import StoredFile

__all__ = ["WORKSPACE_TEMPLATE", "list_resources", "read_resource"]

_SKILL: Final = f"skill://{SKILL_DIR.name}/"
_SKILL_TITLE: Final = "When and how to use the code interpreter"
_WORKSPACE: Final = "workspace:///"
_PAGE = 500
_MOST_BYTES = 10_000_000

WORKSPACE_TEMPLATE: Final = types.ResourceTemplate(
    uri_template=f"{_WORKSPACE}{{+path}}",
    name="workspace-file",
    title="Workspace file",
    description="A file that was saved to the workspace or uploaded, such as "
    f"{_WORKSPACE}code-interpreter/chart.png.",
)


def list_resources(
    interpreter: CodeInterpreter, scope: Scope, *, after: str
) -> types.ListResourcesResult:
    """The skill and the conversation's files, a page at a time; the skill is on the first.

    Args:
        interpreter: Keeps the files.
        scope: Whose.
        after: The cursor of the page before; empty for the first page.

    Raises:
        WorkspaceError: The workspace failed.
    """
    files = sorted(interpreter.files(scope), key=lambda stored: stored.key)
    later = [stored for stored in files if stored.key > after]
    page = later[:_PAGE]
    skill = [] if after else _skill_resources()
    return types.ListResourcesResult(
        resources=[*skill, *(_described(stored) for stored in page)],
        next_cursor=page[-1].key if len(later) > len(page) else None,
    )


def read_resource(
    interpreter: CodeInterpreter, scope: Scope, *, uri: str
) -> types.TextResourceContents | types.BlobResourceContents:
    """The content of one resource.

    Raises:
        MCPError: There is none, or it is too large to be sent in one piece.
        WorkspaceError: The workspace failed.
    """
    if uri.startswith(_SKILL):
        return _contents(uri, _skill_text(uri))
    if not uri.startswith(_WORKSPACE):
        raise _missing(uri)
    path = unquote(uri.removeprefix(_WORKSPACE))
    # Only what is listed, here too: what a client sent is never made into a key.
    if not any(stored.key == path for stored in interpreter.files(scope, path)):
        raise _missing(uri)
    content = bytearray()
    try:
        for piece in interpreter.open(path, scope=scope):
            content += piece
            if len(content) > _MOST_BYTES:
                raise MCPError(
                    code=types.INVALID_PARAMS,
                    message=f"{uri} has more than {_MOST_BYTES:,} bytes, the most that is sent as "
                    "a resource. Take it from the workspace itself.",
                )
    except WorkspaceFileMissingError:
        raise _missing(uri) from None
    return _contents(uri, bytes(content))


def _skill_resources() -> list[types.Resource]:
    pages = {path.relative_to(SKILL_DIR).as_posix(): path for path in SKILL_DIR.rglob("*.md")}
    return [
        types.Resource(
            uri=f"{_SKILL}{quote(name)}",
            name=name,
            title=_SKILL_TITLE if name == "SKILL.md" else None,
            mime_type="text/markdown",
            size=page.stat().st_size,
        )
        for name, page in sorted(pages.items())
    ]


def _skill_text(uri: str) -> bytes:
    # Only what is listed: a path is never made of what a client sent.
    if uri not in {resource.uri for resource in _skill_resources()}:
        raise _missing(uri)
    return (SKILL_DIR / unquote(uri.removeprefix(_SKILL))).read_bytes()


def _described(stored: StoredFile) -> types.Resource:
    return types.Resource(
        uri=_WORKSPACE + quote(stored.key),
        name=stored.key,
        mime_type=media_type_of(stored.key),
        size=stored.size,
    )


def _contents(uri: str, content: bytes) -> types.TextResourceContents | types.BlobResourceContents:
    """As text where the bytes are text, which loses nothing of them."""
    media_type = media_type_of(unquote(uri))
    try:
        text = content.decode()
    except UnicodeDecodeError:
        blob = b64encode(content).decode()
        return types.BlobResourceContents(uri=uri, blob=blob, mime_type=media_type)
    return types.TextResourceContents(uri=uri, text=text, mime_type=media_type)


def _missing(uri: str) -> MCPError:
    said = f"There is no resource {uri[:500]!r}."
    return MCPError(code=types.INVALID_PARAMS, message=said, data={"uri": uri})
