"""A LangChain chat model that says what it is told to, for tests of agents and for demos."""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any
from uuid import uuid4

from pydantic import Field, PrivateAttr

from ci_toolkit.doors import extra
from ci_toolkit.testing.script import Script, Turn

with extra("langchain", "langchain_core"):
    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.language_models import BaseChatModel, LanguageModelInput
    from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from langchain_core.utils.function_calling import convert_to_openai_tool

__all__ = ["ScriptedChatModel"]


class ScriptedChatModel(BaseChatModel):
    """Says its turns one after the other, and keeps what it was shown.

    Args:
        turns: Each a final text, a list of `(tool name, arguments)`, or a callable that is given
            the text of the last tool results and returns one of them.

    Attributes:
        seen: The messages of each call.
        tools: The tools that were bound last, as models are told of them.
    """

    seen: list[list[BaseMessage]] = Field(default_factory=list)
    tools: list[dict[str, Any]] = Field(default_factory=list)
    _script: Script = PrivateAttr()

    def __init__(self, turns: Sequence[Turn]) -> None:
        super().__init__()
        self._script = Script(turns)

    @property
    def _llm_type(self) -> str:
        return "ci-toolkit-scripted"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,  # noqa: ARG002 - a script cannot be forced
        **kwargs: Any,  # noqa: ARG002 - nor set up
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Keeps the tools' definitions; the model is the same."""
        self.tools[:] = [convert_to_openai_tool(tool) for tool in tools]
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the base class gives them
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        self.seen.append(list(messages))
        turn = self._script.next(_results(messages))
        if isinstance(turn, str):
            message = AIMessage(content=turn)
        else:
            calls = [
                ToolCall(name=name, args=dict(arguments), id=f"call-{uuid4().hex}")
                for name, arguments in turn
            ]
            message = AIMessage(content="", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _results(messages: list[BaseMessage]) -> str:
    """The text of the tool messages at the end."""
    last = list(takewhile(lambda message: isinstance(message, ToolMessage), reversed(messages)))
    return "\n".join(str(message.text) for message in reversed(last))
