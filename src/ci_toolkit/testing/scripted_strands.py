"""A Strands model that says what it is told to, for tests of agents and for demos."""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from copy import deepcopy
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from ci_toolkit.doors import extra
from ci_toolkit.testing.script import Calls, Script, Turn

with extra("strands", "strands"):
    from strands.models.model import Model
    from strands.types.content import ContentBlockStartToolUse, Messages
    from strands.types.event_loop import StopReason
    from strands.types.streaming import ContentBlockDeltaToolUse, StreamEvent
    from strands.types.tools import ToolSpec

__all__ = ["ScriptedModel"]

_Output = TypeVar("_Output", bound=BaseModel)


class ScriptedModel(Model):
    """Says its turns one after the other, and keeps what it was shown.

    Args:
        turns: Each a final text, a list of `(tool name, arguments)`, or a callable that is given
            the text of the last tool results and returns one of them.

    Attributes:
        seen: The messages of each call.
        tools: The tool specifications of the last call.
        system_prompt: The system prompt of the last call.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.seen: list[Messages] = []
        self.tools: list[ToolSpec] = []
        self.system_prompt: str | None = None
        self._script = Script(turns)

    def update_config(self, **model_config: Any) -> None:
        """Nothing: there is nothing to configure."""

    def get_config(self) -> dict[str, Any]:
        """A name for Strands' records."""
        return {"model_id": "ci-toolkit-scripted"}

    def structured_output(
        self,
        output_model: type[_Output],
        prompt: Messages,
        system_prompt: str | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[dict[str, _Output | Any], None]:
        """Not supported: a script has only text and tool calls."""
        raise NotImplementedError("A scripted model has no structured output.")

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        **kwargs: Any,  # noqa: ARG002 - what a script has no use for
    ) -> AsyncIterable[StreamEvent]:
        """Says the next turn."""
        self.seen.append(deepcopy(messages))
        self.tools = list(tool_specs or [])
        self.system_prompt = system_prompt
        turn = self._script.next(_results(messages))
        yield {"messageStart": {"role": "assistant"}}
        for event in _text(turn) if isinstance(turn, str) else _calls(turn):
            yield event
        stop: StopReason = "end_turn" if isinstance(turn, str) else "tool_use"
        yield {"messageStop": {"stopReason": stop}}


def _text(text: str) -> list[StreamEvent]:
    return [
        {"contentBlockStart": {"start": {}}},
        {"contentBlockDelta": {"delta": {"text": text}}},
        {"contentBlockStop": {}},
    ]


def _calls(calls: Calls) -> list[StreamEvent]:
    events: list[StreamEvent] = []
    for name, arguments in calls:
        start: ContentBlockStartToolUse = {"name": name, "toolUseId": f"call-{uuid4().hex}"}
        delta: ContentBlockDeltaToolUse = {"input": json.dumps(dict(arguments))}
        events += [
            {"contentBlockStart": {"start": {"toolUse": start}}},
            {"contentBlockDelta": {"delta": {"toolUse": delta}}},
            {"contentBlockStop": {}},
        ]
    return events


def _results(messages: Messages) -> str:
    """The text of the tool results in the last message."""
    blocks = messages[-1]["content"] if messages else []
    contents = [block["toolResult"]["content"] for block in blocks if "toolResult" in block]
    return "\n".join(item["text"] for content in contents for item in content if "text" in item)
