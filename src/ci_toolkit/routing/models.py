"""LangChain's and Strands' models, asked in one way; imports the framework of the model at hand."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from ci_toolkit.errors import ConfigurationError
from ci_toolkit.routing.moves import Ask, Move, ToolSpec

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from strands.models.model import Model

__all__ = ["asking"]


@contextmanager
def asking(model: object) -> Iterator[Ask]:
    """A way to ask a model, as long as the `with` block lasts.

    Args:
        model: A LangChain chat model that takes tools, or a Strands model.

    Raises:
        ConfigurationError: It is neither.
    """
    kinds = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    if "langchain_core" in kinds and hasattr(model, "bind_tools"):
        yield _langchain(model)  # type: ignore[arg-type]
    elif "strands" in kinds and hasattr(model, "stream"):
        with _loop() as loop:
            yield _strands(model, loop)  # type: ignore[arg-type]
    else:
        raise ConfigurationError(
            f"{type(model).__name__} is no LangChain chat model and no Strands model."
        )


def _langchain(model: "BaseChatModel") -> Ask:
    def ask(system: str, request: str, tools: Sequence[ToolSpec]) -> Move:
        known = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in tools
        ]
        answer = model.bind_tools(known).invoke([("system", system), ("user", request)])
        if calls := answer.tool_calls or answer.invalid_tool_calls:
            arguments = calls[0]["args"]
            return Move(
                tool=calls[0]["name"] or "",
                arguments=arguments if isinstance(arguments, dict) else {},
            )
        return Move()

    return ask


def _strands(model: "Model", loop: asyncio.AbstractEventLoop) -> Ask:
    def ask(system: str, request: str, tools: Sequence[ToolSpec]) -> Move:
        move = _first_move(model, system, request, tools)
        return asyncio.run_coroutine_threadsafe(move, loop).result()

    return ask


async def _first_move(model: "Model", system: str, request: str, tools: Sequence[ToolSpec]) -> Move:
    specs: list[Any] = [
        {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": {"json": dict(tool.parameters)},
        }
        for tool in tools
    ]
    messages: Any = [{"role": "user", "content": [{"text": request}]}]
    names: list[str] = []
    sent = ""
    async for event in model.stream(messages, specs, system):
        use = event.get("contentBlockStart", {}).get("start", {}).get("toolUse")
        if use is not None:
            names.append(use["name"])
        piece = event.get("contentBlockDelta", {}).get("delta", {}).get("toolUse")
        if piece is not None and len(names) == 1:
            sent += piece["input"]
    return Move(tool=names[0], arguments=_object(sent)) if names else Move()


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One event loop for all calls, since clients keep connections that belong to theirs."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="ci-toolkit-routing", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
