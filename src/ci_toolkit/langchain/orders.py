"""In which order a model made the calls of one turn, which LangGraph runs side by side."""

from collections.abc import Collection, Mapping

from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage

from ci_toolkit.turns import Order

__all__ = ["order_of"]


def order_of(
    runtime: ToolRuntime | None, tool_call_id: str | None, names: Collection[str]
) -> Order | None:
    """Where a call stands among those of its turn; None where nobody knows.

    Args:
        runtime: What LangGraph injects.
        tool_call_id: The call.
        names: The tools that count.
    """
    if runtime is None or tool_call_id is None or not isinstance(runtime.state, Mapping):
        return None
    for message in reversed(runtime.state.get("messages") or []):
        if isinstance(message, AIMessage):
            calls = tuple(c["id"] for c in message.tool_calls if c["name"] in names and c["id"])
            return Order(calls=calls, own=tool_call_id) if tool_call_id in calls else None
    return None
