"""The tools as Strands knows them: a tool use in, live output and a tool result out."""

from collections.abc import Callable
from typing import Any, Literal, cast
from weakref import ref

from strands import Agent
from strands.interrupt import InterruptException
from strands.types.events import ToolResultEvent
from strands.types.tools import AgentTool, ToolGenerator, ToolResult, ToolSpec, ToolUse

from ci_toolkit.bridge import Bridge
from ci_toolkit.doors import Offer, offers, scope_finder
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.results import OnOutput, Outcome
from ci_toolkit.schemas import json_schema
from ci_toolkit.scope import Scope
from ci_toolkit.strands.live import Live
from ci_toolkit.strands.scopes import InvocationScope
from ci_toolkit.telemetry import scoped_logger

__all__ = ["CodeInterpreterTool", "code_interpreter_tools"]

logger = scoped_logger(__name__)

FindScope = Callable[[dict[str, Any]], Scope]


class CodeInterpreterTool(AgentTool):
    """A tool of the code interpreter.

    Never raises for what a model sends or a sandbox does, and never shows a model the text of an
    exception.

    Args:
        offer: The tool and its name.
        bridge: Carries the calls.
        find_scope: Whose call it is. What it raises is logged, and the model is told one fixed
            sentence; an interrupt passes through.
        images: Whether pictures go to the model.
        agent: Whose tool it is. Agents that run side by side in a graph share one invocation state,
            so that the agent which stands there may be another one.
    """

    def __init__(
        self,
        offer: Offer,
        bridge: Bridge,
        *,
        find_scope: FindScope,
        images: bool,
        agent: Agent | None = None,
    ) -> None:
        super().__init__()
        self._agent = None if agent is None else ref(agent)
        self._offer = offer
        self._bridge = bridge
        self._find_scope = find_scope
        self._images = images

    @property
    def tool_name(self) -> str:
        """The name that the model calls."""
        return self._offer.name

    @property
    def tool_spec(self) -> ToolSpec:
        """What the model is told of the tool."""
        return {
            "name": self._offer.name,
            "description": self._offer.description,
            "inputSchema": {"json": json_schema(self._offer.tool.arguments)},
        }

    @property
    def tool_type(self) -> str:
        """The kind of tool, for Strands' records."""
        return "ci_toolkit"

    async def stream(
        self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any
    ) -> ToolGenerator:
        """Answers one call.

        `agent.cancel()` interrupts the run, and the result says so. A cancelled task, or a stream
        that is closed early, interrupts it too.

        Args:
            tool_use: The call.
            invocation_state: The host's state, with the agent.
            kwargs: What the framework adds, such as the context of a background task.

        Yields:
            Live output as `{"type": "ci_toolkit.output", "tool": ..., "tool_call_id": ...,
            "stream": "stdout", "text": ...}`, then one `ToolResultEvent`.
        """
        call_id = tool_use["toolUseId"]
        agent = self._agent() if self._agent is not None else invocation_state.get("agent")
        owner = kwargs.get("_tool_context") or agent
        stop = getattr(owner, "cancel_signal", None)
        state = {**invocation_state, "agent": agent}
        call = Live(lambda report: self._call(tool_use["input"], state, report, stop))
        try:
            async for stream, text in call.pieces():
                yield {
                    "type": "ci_toolkit.output",
                    "tool": self.tool_name,
                    "tool_call_id": call_id,
                    "stream": stream,
                    "text": text,
                }
            yield ToolResultEvent(self._result(await call.result(), call_id))
        finally:
            await call.end()

    async def _call(
        self,
        arguments: object,
        state: dict[str, Any],
        report: OnOutput,
        stop: Any,
    ) -> Outcome:
        name = self._offer.tool.name
        try:
            scope = self._find_scope(state)
        except InterruptException:
            raise
        except Exception as error:
            # Strands would show the model the text of whatever is raised here.
            logger.exception("No scope for a call of %s", name)
            return self._bridge.refuse(name, ConfigurationError(str(error)))
        return await self._bridge.acall(name, arguments, scope=scope, on_output=report, stop=stop)

    def _result(self, outcome: Outcome, call_id: str) -> ToolResult:
        status: Literal["success", "error"] = "error" if outcome.is_error else "success"
        pictures = [
            {
                "image": {
                    "format": image.media_type.removeprefix("image/"),
                    "source": {"bytes": image.data},
                }
            }
            for image in (outcome.images if self._images else ())
        ]
        content = [{"text": outcome.text}, *pictures]
        return cast(ToolResult, {"toolUseId": call_id, "status": status, "content": content})


def code_interpreter_tools(
    interpreter: CodeInterpreter,
    *,
    scope: Scope | FindScope | None = None,
    workspace_tools: bool = False,
    images: bool = True,
    prefix: str = "",
) -> list[AgentTool]:
    """The code interpreter's tools for Strands agents; one list may serve many agents.

    Each outcome becomes a tool result: its text, pictures as image blocks after it, and
    `status="error"` where the call failed. Output goes live to the agent's stream and callback
    handler. Nothing of the sandbox is ever run on the host in its place.

    For agents that run side by side in a graph, take a `CodeInterpreterPlugin`, which knows whose
    call each is.

    Args:
        interpreter: Answers the calls; closing it is up to its owner.
        scope: Whose conversation a call belongs to: a `Scope`, or a callable that is given the
            invocation state, with the agent under `"agent"`. By default the user is
            `invocation_state["user_id"]`, or `"anonymous"`, and the conversation
            `invocation_state["session_id"]`, or else the agent's own session. In one conversation
            agents of different `agent_id` or name have their own variables.
        workspace_tools: Whether `workspace_read` and `workspace_list` are offered as well.
        images: Whether pictures go to the model. Some models refuse them in tool results.
        prefix: Put before the tools' names.

    Raises:
        ConfigurationError: An option is not what it has to be.
    """
    find_scope: FindScope = scope_finder(scope, InvocationScope())
    bridge = Bridge(interpreter, prefix=prefix)
    return [
        CodeInterpreterTool(offer, bridge, find_scope=find_scope, images=images)
        for offer in offers(workspace_tools=workspace_tools, prefix=prefix)
    ]
