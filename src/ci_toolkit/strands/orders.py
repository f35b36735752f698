"""In which order a model made the calls of one turn, which Strands runs side by side."""

from collections.abc import Callable

from ci_toolkit.turns import Order

__all__ = ["order_of"]


def order_of(agent: object, tool_use_id: str, is_ours: Callable[[object], bool]) -> Order | None:
    """Where a call stands among those of its turn; None where nobody knows.

    Args:
        agent: Whose call it is.
        tool_use_id: The call.
        is_ours: Says of a tool of the agent whether its calls count.
    """
    tools = getattr(getattr(agent, "tool_registry", None), "registry", {})
    messages = getattr(agent, "messages", None) or []
    for message in reversed(messages):
        if message["role"] == "assistant":
            uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
            calls = tuple(u["toolUseId"] for u in uses if is_ours(tools.get(u["name"])))
            return Order(calls=calls, own=tool_use_id) if tool_use_id in calls else None
    return None
