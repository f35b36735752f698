"""The tools as LangChain knows them: a model's arguments in, a tool message out."""

from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool

from ci_toolkit.bridge import Bridge
from ci_toolkit.doors import Offer, offers
from ci_toolkit.langchain.live import output_event
from ci_toolkit.langchain.orders import order_of
from ci_toolkit.results import OnOutput, Outcome, Stream
from ci_toolkit.scope import Scope

__all__ = ["CodeInterpreterTool", "build_tool", "build_tools"]

Content = str | list[str | dict[str, Any]]
Returned = tuple[Content | ToolMessage, dict[str, object] | None]


class CodeInterpreterTool(StructuredTool):
    """A tool of the code interpreter.

    Never raises for what a model sends or a sandbox does. `args_schema` is what models are shown;
    what they send is checked by the interpreter, once, so that a mistake is answered in its words
    and with an artifact, and a parameter that only looks like an injected one is refused like any
    other that does not exist.
    """

    def _parse_input(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> dict[str, Any]:
        """Packs the model's arguments apart from what the framework adds."""
        if isinstance(tool_input, str):
            tool_input = {next(iter(self.args)): tool_input}
        arguments = dict(tool_input)
        runtime = arguments.get("runtime")
        if isinstance(runtime, ToolRuntime):
            del arguments["runtime"]
        else:
            runtime = None
        return {"arguments": arguments, "tool_call_id": tool_call_id, "runtime": runtime}


@dataclass(frozen=True, kw_only=True)
class _Door:
    """What a tool's two functions share."""

    offer: Offer
    bridge: Bridge
    find_scope: Callable[[RunnableConfig], Scope]
    images: bool
    reword: Callable[[str], str]
    siblings: frozenset[str]

    # LangChain looks for exactly this annotation of `runtime`, and for the type of `config`.
    def call(
        self,
        arguments: dict[str, Any],
        tool_call_id: str | None,
        config: RunnableConfig,
        runtime: ToolRuntime,
    ) -> Returned:
        outcome = self.bridge.call(
            self.offer.tool.name,
            arguments,
            scope=self.find_scope(config),
            on_output=self._on_output(runtime, tool_call_id),
            order=order_of(runtime, tool_call_id, self.siblings),
        )
        return self._returned(outcome, tool_call_id)

    async def acall(
        self,
        arguments: dict[str, Any],
        tool_call_id: str | None,
        config: RunnableConfig,
        runtime: ToolRuntime,
    ) -> Returned:
        outcome = await self.bridge.acall(
            self.offer.tool.name,
            arguments,
            scope=self.find_scope(config),
            on_output=self._on_output(runtime, tool_call_id),
            order=order_of(runtime, tool_call_id, self.siblings),
        )
        return self._returned(outcome, tool_call_id)

    def _on_output(self, runtime: ToolRuntime | None, tool_call_id: str | None) -> OnOutput | None:
        """Sends live output to whoever streams the graph; there is nobody outside a graph."""
        if runtime is None:
            return None

        def report(stream: Stream, text: str) -> None:
            runtime.stream_writer(output_event(self.offer.name, tool_call_id, stream, text))
            runtime.emit_output_delta(text)

        return report

    def _returned(self, outcome: Outcome, tool_call_id: str | None) -> Returned:
        outcome = replace(outcome, text=self.reword(outcome.text))
        if not outcome.is_error or tool_call_id is None:
            return self._content(outcome), outcome.artifact
        message = ToolMessage(
            content=outcome.text,
            artifact=outcome.artifact,
            name=self.offer.name,
            status="error",
            tool_call_id=tool_call_id,
        )
        return message, None

    def _content(self, outcome: Outcome) -> Content:
        """Plain text, or blocks where there are pictures; every provider takes these two."""
        if not (self.images and outcome.images):
            return outcome.text
        pictures: list[str | dict[str, Any]] = [
            {
                "type": "image",
                "base64": b64encode(image.data).decode(),
                "mime_type": image.media_type,
            }
            for image in outcome.images
        ]
        return [{"type": "text", "text": outcome.text}, *pictures]


def build_tool(
    offer: Offer,
    bridge: Bridge,
    *,
    find_scope: Callable[[RunnableConfig], Scope],
    images: bool,
    reword: Callable[[str], str] = str,
    siblings: Collection[str] = (),
) -> CodeInterpreterTool:
    """One tool, for synchronous and for asynchronous agents.

    Args:
        offer: The tool and its name.
        bridge: Carries the calls.
        find_scope: Whose call it is; what it raises passes through to the caller of the agent.
        images: Whether pictures go to the model.
        reword: What is done to the text of each answer.
        siblings: The names of the tools whose calls, in one turn of a model, are answered in the
            model's order.
    """
    door = _Door(
        offer=offer,
        bridge=bridge,
        find_scope=find_scope,
        images=images,
        reword=reword,
        siblings=frozenset(siblings),
    )
    return CodeInterpreterTool(
        func=door.call,
        coroutine=door.acall,
        name=offer.name,
        description=offer.description,
        args_schema=offer.tool.arguments,
        response_format="content_and_artifact",
    )


def build_tools(
    bridge: Bridge,
    *,
    find_scope: Callable[[RunnableConfig], Scope],
    workspace_tools: bool,
    images: bool,
    prefix: str,
) -> list[CodeInterpreterTool]:
    """The tools that a door offers by its options.

    Raises:
        ConfigurationError: The prefix makes names that model providers refuse.
    """
    offered = offers(workspace_tools=workspace_tools, prefix=prefix)
    names = [offer.name for offer in offered]
    return [
        build_tool(offer, bridge, find_scope=find_scope, images=images, siblings=names)
        for offer in offered
    ]
