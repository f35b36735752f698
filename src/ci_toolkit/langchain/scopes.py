"""Whose conversation a LangGraph call belongs to, from its configuration."""

from collections.abc import Callable
from functools import partial
from uuid import uuid4

from langchain_core.runnables import RunnableConfig

from ci_toolkit.doors import ANONYMOUS, identifier, scope_finder
from ci_toolkit.scope import Scope

__all__ = ["ScopeOption", "branch_of", "configured_scope", "finder"]

ScopeOption = Scope | Callable[[RunnableConfig], Scope] | None
"""The `scope` option of every door of LangChain."""


def finder(scope: ScopeOption) -> Callable[[RunnableConfig], Scope]:
    """What finds the scope of a call; without the option, by the default keys.

    Where there is no thread, the conversation is one that only this finder has.

    Raises:
        ConfigurationError: The option is not what it has to be.
    """
    own_session = f"toolkit-{uuid4().hex}"
    return scope_finder(scope, partial(configured_scope, session_id=own_session))


def configured_scope(config: RunnableConfig, *, session_id: str) -> Scope:
    """The scope of a call by the default keys.

    Args:
        config: User and conversation are its `configurable["user_id"]` and `["thread_id"]`.
        session_id: The conversation where there is no thread.
    """
    configurable = config.get("configurable") or {}
    return Scope(
        user_id=identifier(configurable.get("user_id"), ANONYMOUS),
        session_id=identifier(configurable.get("thread_id"), session_id),
        branch=branch_of(identifier(configurable.get("checkpoint_ns"), "")),
    )


def branch_of(checkpoint_ns: str) -> str:
    """The line of work within a conversation, the same from turn to turn.

    A namespace such as `team:<id>|tools:<id>|tools:<id>` has one segment for each node that
    encloses the call. The last one is the call itself. The ids of the others are new in every turn,
    so only names are kept, except for a `tools` node: there the id tells apart the subagents that
    were called as tools, side by side, each of which works for itself.

    Args:
        checkpoint_ns: As LangGraph has it in `configurable`.
    """
    *enclosing, _call = checkpoint_ns.split("|")
    return "|".join(
        segment if segment.startswith("tools:") else segment.partition(":")[0]
        for segment in enclosing
    )
