"""What all front doors share: their options, and the tools under the names that models call.

Knows no framework. The doors themselves are `langchain` and `strands`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeVar

from ci_toolkit.errors import ConfigurationError, ToolError
from ci_toolkit.scope import Scope
from ci_toolkit.tools import TOOLS, WORKSPACE_TOOLS, Tool

__all__ = ["ANONYMOUS", "Offer", "extra", "identifier", "offers", "scope_finder", "unknown_tool"]

ANONYMOUS: Final = "anonymous"
"""The `Scope.user_id` of conversations whose host names no user."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME_SHOWN = 200
_Context = TypeVar("_Context")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A tool under the name by which a door offers it to models."""

    tool: Tool
    name: str
    description: str


def offers(*, workspace_tools: bool = False, prefix: str = "") -> tuple[Offer, ...]:
    """The tools that a door offers, in the order in which a model sees them.

    Args:
        workspace_tools: Whether `workspace_read` and `workspace_list` are among them.
        prefix: Put before each name, also where one description mentions another tool.

    Raises:
        ConfigurationError: The prefix makes names that model providers refuse.
    """
    tools = (*TOOLS, *WORKSPACE_TOOLS) if workspace_tools else TOOLS
    for tool in tools:
        if not _NAME.fullmatch(prefix + tool.name):
            raise ConfigurationError(
                f"The prefix {prefix!r} makes the tool name {prefix + tool.name!r}; names have "
                "letters, digits, '_' and '-', at most 64."
            )
    names = re.compile("|".join(rf"\b{tool.name}\b" for tool in tools))
    return tuple(
        Offer(
            tool=tool,
            name=prefix + tool.name,
            description=names.sub(lambda match: prefix + match[0], tool.description),
        )
        for tool in tools
    )


def unknown_tool(name: str, offered: Sequence[Offer]) -> ToolError:
    """What a model is told that calls a tool which a door does not offer."""
    names = [offer.name for offer in offered]
    name = name[:_NAME_SHOWN]  # a comparison takes time and memory by its length
    near = get_close_matches(name, names, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return ToolError(f"There is no tool {name!r}.{meant} The tools are {', '.join(names)}.")


def scope_finder(
    scope: Scope | Callable[[_Context], Scope] | None, default: Callable[[_Context], Scope]
) -> Callable[[_Context], Scope]:
    """What finds the scope of a call, by a door's `scope` option.

    Raises:
        ConfigurationError: The option is none; later, when its callable gives no `Scope`.
    """
    if scope is None:
        return default
    if isinstance(scope, Scope):
        return lambda _: scope
    if not callable(scope):
        raise ConfigurationError(f"scope must be a Scope or a callable, not {scope!r}.")

    def find(context: _Context) -> Scope:
        found = scope(context)
        if not isinstance(found, Scope):
            raise ConfigurationError(f"The scope callable returned {type(found)!r}, no Scope.")
        return found

    return find


def identifier(value: object, otherwise: str) -> str:
    """An identifier that a host gave, as text; what it is otherwise, where it gave none."""
    return otherwise if value is None or value == "" else str(value)


@contextmanager
def extra(name: str, *modules: str) -> Iterator[None]:
    """Says what to install where an import in the `with` block misses an optional library.

    Args:
        name: The extra of this package.
        modules: The top-level modules that it brings.

    Raises:
        ImportError: One of the modules is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in modules:
            raise
        raise ImportError(
            f"ci_toolkit.{name} needs {missing!r}, which is not installed. "
            f"Install it with: pip install 'ci-toolkit[{name}]'",
            name=error.name,
        ) from error
