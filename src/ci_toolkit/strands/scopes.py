"""Whose conversation a Strands call belongs to, from its invocation state."""

from collections.abc import Mapping
from typing import Any

from ci_toolkit.doors import ANONYMOUS, identifier
from ci_toolkit.scope import Scope

__all__ = ["invocation_scope"]


def invocation_scope(state: Mapping[str, Any], *, session_id: str) -> Scope:
    """The scope of a call by the default keys.

    A conversation that the host names in `session_id` is one line of work for every agent that is
    given it. Otherwise the agent's session is the conversation, and each agent of it a branch: the
    session manager's where there is one, else one that only this agent object has.

    Args:
        state: What the host gave to the agent as `invocation_state`, and the agent itself.
        session_id: The conversation where there is neither.
    """
    user_id = identifier(state.get("user_id"), ANONYMOUS)
    named = identifier(state.get("session_id"), "")
    if named:
        return Scope(user_id=user_id, session_id=named)
    agent = state.get("agent")
    return Scope(
        user_id=user_id,
        session_id=identifier(getattr(agent, "session_id", None), session_id),
        branch=identifier(getattr(agent, "agent_id", None), ""),
    )
