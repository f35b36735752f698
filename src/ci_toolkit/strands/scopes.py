"""Whose conversation a Strands call belongs to, from its invocation state."""

from collections.abc import Mapping
from threading import Lock
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from ci_toolkit.doors import ANONYMOUS, identifier
from ci_toolkit.scope import Scope

__all__ = ["InvocationScope"]

# What Strands calls an agent that was given no id and no name.
_UNNAMED = {"", "default", "Strands Agents"}


class InvocationScope:
    """Finds the scope of a call by the default keys.

    The user is the host's `user_id`, or `anonymous`. The conversation is the host's `session_id`,
    else that of the agent's session manager, so that it is the same after a restart; an agent that
    has neither is a conversation of its own, for as long as it lives.

    Each agent is a branch with its own sandbox, by its `agent_id`, or in a conversation that the
    host names by its name. Agents that have neither, in one conversation that the host names, are
    one line of work: a new agent object for every request goes on where the one before it was.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._own: WeakKeyDictionary[object, str] = WeakKeyDictionary()
        self._without_agent = f"tools-{uuid4().hex}"

    def __call__(self, state: Mapping[str, Any]) -> Scope:
        """The scope of a call.

        Args:
            state: What the host gave to the agent as `invocation_state`, and the agent itself
                under `"agent"`.
        """
        agent = state.get("agent")
        user_id = identifier(state.get("user_id"), ANONYMOUS)
        named = identifier(state.get("session_id"), "")
        if named:
            return Scope(user_id=user_id, session_id=named, branch=_branch(agent))
        branch = identifier(getattr(agent, "agent_id", None), "")
        return Scope(user_id=user_id, session_id=self._session(agent), branch=branch)

    def _session(self, agent: object) -> str:
        # There is no public way to tell a session that is stored from a random one of 32 bits,
        # which is too few for two strangers never to have the same.
        if getattr(agent, "_session_manager", None) is not None:
            stored = identifier(getattr(agent, "session_id", None), "")
            if stored:
                return stored
        with self._lock:
            try:
                return self._own.setdefault(agent, f"agent-{uuid4().hex}")
            except TypeError:  # no agent at all
                return self._without_agent


def _branch(agent: object) -> str:
    names = (str(getattr(agent, name, None) or "") for name in ("agent_id", "name"))
    return next((name for name in names if name not in _UNNAMED), "")
