"""The MCP server: the tools, the skill as a prompt, and the workspace's files as resources."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TypeVar
from uuid import uuid4

import anyio
import mcp_types as types
from anyio.to_thread import run_sync
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from ci_toolkit.bridge import Bridge
from ci_toolkit.doors import ANONYMOUS, Offer, offers, scope_finder, unknown_tool
from ci_toolkit.errors import CodeInterpreterError, ConfigurationError, ToolError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.mcp.contents import describe, hides_content, tool_result
from ci_toolkit.mcp.handles import Handles
from ci_toolkit.mcp.live import LiveOutput
from ci_toolkit.mcp.resources import WORKSPACE_TEMPLATE, list_resources, read_resource
from ci_toolkit.mcp.scopes import Identity, requested_scope, session_within
from ci_toolkit.rendering import sentence
from ci_toolkit.results import Outcome
from ci_toolkit.scope import Scope
from ci_toolkit.skill import SKILL_DIR, skill_prompt
from ci_toolkit.telemetry import scoped_logger

__all__ = ["CodeInterpreterServer", "create_server"]

logger = scoped_logger(__name__)

Context = ServerRequestContext[str, Any]
_Value = TypeVar("_Value")
_PROMPT: Final = SKILL_DIR.name
_MOST_UNCLAIMED = 32


class CodeInterpreterServer(Server[str]):
    """A low-level MCP server with the tools of one interpreter; made by `create_server`.

    Its lifespan is one run: over streams one client's connection, over HTTP the whole server.

    Attributes:
        interpreter: Answers the calls.
        handles: The names of sessions that this server makes up.
    """

    def __init__(
        self,
        interpreter: CodeInterpreter,
        *,
        name: str,
        scope: Scope | Callable[[Context], Scope] | None,
        workspace_tools: bool,
        images: bool,
        prefix: str,
        structured: bool,
        available_skills: Collection[str] | None,
    ) -> None:
        self.interpreter = interpreter
        self.handles = Handles()
        self._bridge = Bridge(interpreter, prefix=prefix)
        self._default_scope = scope is None
        self._find_scope = scope_finder(scope, lambda context: self._requested(context).scope)
        self._unclaimed: OrderedDict[str, Scope] = OrderedDict()
        self._images = images
        self._structured = structured
        self._offers = offers(workspace_tools=workspace_tools, prefix=prefix)
        self._guidance = skill_prompt(
            available_skills,
            backend=interpreter.backend,
            prefix=prefix,
            workspace_tools=workspace_tools,
        )
        super().__init__(
            name,
            version=version("ci-toolkit"),
            title="Code interpreter",
            description="Runs code and commands in a sandbox, and keeps files.",
            instructions=self._guidance,
            lifespan=self._connected,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_resource_templates,
            on_read_resource=self._read_resource,
        )

    def end(self, scope: Scope) -> None:
        """Ends a session that only its default key led to, and whose client is gone."""
        if self._default_scope:
            self.interpreter.close(scope)

    def end_transport(self, user_id: str, session_id: str) -> None:
        """Ends a session of the transport, and those that were named within it, as `end` does."""
        within = session_within(session_id, "")
        named = [
            str(each["session_id"])
            for each in self.interpreter.describe()
            if each["user_id"] == user_id and str(each["session_id"]).startswith(within)
        ]
        for each in (session_id, *named):
            self.end(Scope(user_id=user_id, session_id=each))

    @asynccontextmanager
    async def _connected(self, _server: Server[str]) -> AsyncIterator[str]:
        """The conversation of a client at the other end of streams, which ends with them."""
        connection_id = f"connection-{uuid4().hex}"
        try:
            yield connection_id
        finally:
            scope = Scope(user_id=ANONYMOUS, session_id=connection_id)
            with anyio.CancelScope(shield=True):
                await run_sync(self.end, scope)

    async def _list_tools(
        self, _context: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        reaches_out = self.interpreter.backend.abilities.network != "none"
        return types.ListToolsResult(tools=describe(self._offers, open_world=reaches_out))

    async def _call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        handle = ""
        try:
            offer = self._offer(params.name)
            identity = self._identity(context)
            handle = identity.handle
        except (ToolError, ConfigurationError) as error:
            outcome = self._bridge.refuse(params.name[:200], error)
        else:
            # Before the run: what others begin meanwhile must not end the session under it.
            self._unclaimed.pop(handle, None)
            try:
                outcome = await self._answer(context, offer, params.arguments, identity.scope)
            finally:
                if identity.fresh:
                    with anyio.CancelScope(shield=True):
                        await self._keep_few(identity)
        client = context.session.client_params
        hidden = hides_content(client.client_info if client else None)
        return tool_result(
            outcome,
            images=self._images,
            structured=self._structured and not hidden,
            handle=handle,
        )

    async def _answer(
        self, context: Context, offer: Offer, arguments: dict[str, Any] | None, scope: Scope
    ) -> Outcome:
        """Carries a call to the interpreter; a cancelled request interrupts its run."""
        live = LiveOutput(context.session.report_progress)
        # Tasks of their own, because a cancelled request is cancelled again and again until it
        # ends, which would leave no peace to the interrupt.
        call = asyncio.create_task(
            self._bridge.acall(offer.tool.name, arguments or {}, scope=scope, on_output=live.report)
        )
        forwarding = asyncio.create_task(live.forward())
        try:
            await asyncio.wait({call})
            live.end()
            await asyncio.wait({forwarding})
        finally:
            if not (call.done() and forwarding.done()):
                call.cancel()
                forwarding.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({call, forwarding})
        return call.result()

    async def _list_prompts(
        self, _context: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        prompt = types.Prompt(
            name=_PROMPT,
            title="Code interpreter",
            description="When to run code, when to do something else, and how.",
        )
        return types.ListPromptsResult(prompts=[prompt])

    async def _get_prompt(
        self, _context: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        if params.name != _PROMPT:
            said = f"There is no prompt {params.name[:200]!r}; there is {_PROMPT!r}."
            raise MCPError(code=types.INVALID_PARAMS, message=said)
        text = types.TextContent(text=self._guidance)
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=text)])

    async def _list_resources(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        after = (params.cursor if params else None) or ""
        return await self._read(context, partial(list_resources, self.interpreter, after=after))

    async def _list_resource_templates(
        self, _context: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=[WORKSPACE_TEMPLATE])

    async def _read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        found = await self._read(context, partial(read_resource, self.interpreter, uri=uri))
        return types.ReadResourceResult(contents=[found])

    async def _read(self, context: Context, work: Callable[[Scope], _Value]) -> _Value:
        """Reads from the workspace of this conversation, in a thread.

        Raises:
            MCPError: It failed, or the conversation is unclear; in the words of the tools.
        """
        try:
            scope = self._identity(context).scope
            return await self._bridge.run(lambda _: work(scope))
        except CodeInterpreterError as error:
            if not isinstance(error, ToolError):
                logger.exception("A resource could not be read")
            raise MCPError(code=types.INTERNAL_ERROR, message=sentence(error)) from None

    def _offer(self, name: str) -> Offer:
        for offer in self._offers:
            if offer.name == name:
                return offer
        raise unknown_tool(name, self._offers)

    def _identity(self, context: Context) -> Identity:
        """Whose a request is.

        Raises:
            ToolError: It names a session that is not its own.
            ConfigurationError: The host's own `scope` failed, which is logged.
        """
        if self._default_scope:
            return self._requested(context)
        try:
            return Identity(scope=self._find_scope(context))
        except Exception as error:
            logger.exception("No scope for a request of %s", context.method)
            raise ConfigurationError("No scope.") from error

    def _requested(self, context: Context) -> Identity:
        return requested_scope(context, self.handles, connection_id=context.lifespan_context)

    async def _keep_few(self, identity: Identity) -> None:
        """Ends sessions that were made up long ago and whose handle never came back."""
        self._unclaimed[identity.handle] = identity.scope
        if len(self._unclaimed) > _MOST_UNCLAIMED:
            _, oldest = self._unclaimed.popitem(last=False)
            await run_sync(self.end, oldest)


def create_server(
    interpreter: CodeInterpreter,
    *,
    name: str = "ci-toolkit",
    scope: Scope | Callable[[Context], Scope] | None = None,
    workspace_tools: bool = False,
    images: bool = True,
    prefix: str = "",
    structured: bool = True,
    available_skills: Collection[str] | None = None,
) -> CodeInterpreterServer:
    """The code interpreter's tools as an MCP server, for any client and any transport.

    Serve it with `serve_stdio`, `serve_http` or `http_app`, or give it to `mcp.Client` as it is.

    Each outcome becomes a tool result: its text, pictures as image content after it, `isError`
    where the call failed, and its record as structured content. Live output goes out as progress
    notifications where the client asks for them. A request that its client cancels, or no longer
    waits for, interrupts its run; the session goes on. The skill's text is the server's
    instructions, a prompt and a resource; saved files and uploads of the conversation are
    resources, too.

    Args:
        interpreter: Answers the calls; closing it is up to its owner.
        name: How the server calls itself.
        scope: Whose conversation a request belongs to: a `Scope`, which all clients then share, or
            a callable that is given the request's `ServerRequestContext`. By default each client's
            own: over stdio the connection, over HTTP the transport's session, or else a handle that
            is returned in `_meta` of each result under `SESSION_KEY` and can be sent back there. A
            host may name sessions itself under that key, within a connection or for an
            authenticated user.
        workspace_tools: Whether `workspace_read` and `workspace_list` are offered as well.
        images: Whether pictures go to the client.
        prefix: Put before the tools' names.
        structured: Whether results have structured content. It is left out for Claude Code and VS
            Code, which would keep text and pictures from the model.
        available_skills: The host's other skills, to which the guidance may route.

    Raises:
        ConfigurationError: An option is not what it has to be.
    """
    return CodeInterpreterServer(
        interpreter,
        name=name,
        scope=scope,
        workspace_tools=workspace_tools,
        images=images,
        prefix=prefix,
        structured=structured,
        available_skills=available_skills,
    )
