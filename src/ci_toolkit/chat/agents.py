"""The agent behind a chat, in either framework: a question in, pieces of the answer out.

What its tools do is shown by `watching`, whichever framework calls them.
"""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.scope import Scope

__all__ = ["ChatAgent", "LangChainAgent", "StrandsAgent"]

_PARAGRAPH = "\n\n"
_MOST_STEPS = 500
_INTERRUPTED = (
    "The user interrupted this call, so that there is no result. Variables and files of before are "
    "still there. Wait for what the user says."
)


class ChatAgent(Protocol):
    """An agent that remembers the conversation."""

    def ask(self, text: str) -> AsyncIterator[str]:
        """Answers a question; a cancelled task leaves a conversation that can go on.

        Yields:
            The answer's text as it comes, with an empty line after each message.

        Raises:
            Exception: Whatever the model's provider raises.
        """
        ...

    def stop(self) -> bool:
        """Asks it to end its answer soon; False where only cancelling the task does."""
        ...


class LangChainAgent:
    """An agent of `langchain.agents.create_agent`.

    Args:
        model: A chat model that takes tools.
        interpreter: Answers its calls.
        scope: Whose conversation it is.
        system_prompt: What the model is told beforehand.
        images: Whether it is shown pictures.
    """

    def __init__(
        self,
        model: Any,
        interpreter: CodeInterpreter,
        scope: Scope,
        *,
        system_prompt: str,
        images: bool,
    ) -> None:
        from langchain.agents import create_agent  # noqa: PLC0415 - only where it is chosen

        from ci_toolkit.langchain import CodeInterpreterToolkit  # noqa: PLC0415

        self._toolkit = CodeInterpreterToolkit(interpreter, scope=scope, images=images)
        self._agent: Any = create_agent(
            model, self._toolkit.get_tools(), system_prompt=system_prompt
        )
        self._messages: list[Any] = []

    async def ask(self, text: str) -> AsyncIterator[str]:
        """As `ChatAgent.ask`."""
        from langchain_core.messages import AIMessage, HumanMessage  # noqa: PLC0415

        self._messages.append(HumanMessage(text))
        stream = self._agent.astream(
            {"messages": list(self._messages)},
            {"recursion_limit": _MOST_STEPS},
            stream_mode=["messages", "updates"],
        )
        try:
            async for mode, event in stream:
                if mode == "messages" and isinstance(event[0], AIMessage):
                    yield str(event[0].text)
                elif mode == "updates":
                    self._messages += _new_messages(event)
                    yield _PARAGRAPH
        finally:
            self._answer_open_calls()

    def stop(self) -> bool:
        """A graph ends when its task is cancelled."""
        return False

    def _answer_open_calls(self) -> None:
        """Providers refuse a conversation in which a call has no result."""
        from langchain_core.messages import AIMessage, ToolMessage  # noqa: PLC0415

        calls = [
            call
            for message in self._messages
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        ]
        answered = {m.tool_call_id for m in self._messages if isinstance(m, ToolMessage)}
        self._messages += [
            ToolMessage(
                _INTERRUPTED, name=call["name"], tool_call_id=call["id"] or "", status="error"
            )
            for call in calls
            if call["id"] not in answered
        ]


class StrandsAgent:
    """An agent of Strands.

    Args:
        model: A model of Strands'.
        interpreter: Answers its calls.
        scope: Whose conversation it is.
        system_prompt: What the model is told beforehand.
        images: Whether it is shown pictures.
    """

    def __init__(
        self,
        model: Any,
        interpreter: CodeInterpreter,
        scope: Scope,
        *,
        system_prompt: str,
        images: bool,
    ) -> None:
        from strands import Agent  # noqa: PLC0415 - only where it is chosen

        from ci_toolkit.strands import code_interpreter_tools  # noqa: PLC0415

        self._agent = Agent(
            model=model,
            tools=list(code_interpreter_tools(interpreter, scope=scope, images=images)),
            system_prompt=system_prompt,
            callback_handler=None,
        )

    async def ask(self, text: str) -> AsyncIterator[str]:
        """As `ChatAgent.ask`."""
        async for event in self._agent.stream_async(text):
            if "data" in event:
                yield str(event["data"])
            elif "message" in event:
                yield _PARAGRAPH

    def stop(self) -> bool:
        """Interrupts what runs; the model's provider is not asked again."""
        self._agent.cancel()
        return True


def _new_messages(event: dict[str, Any]) -> list[Any]:
    """The messages that the nodes of a graph have added."""
    return [
        message
        for update in event.values()
        if isinstance(update, dict) and isinstance(update.get("messages"), list)
        for message in update["messages"]
    ]
