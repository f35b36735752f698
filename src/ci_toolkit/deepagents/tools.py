"""The tools that a deep agent needs beside its own: running code, and saving files."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from ci_toolkit.bridge import Bridge
from ci_toolkit.doors import offers
from ci_toolkit.langchain.tools import build_tool
from ci_toolkit.scope import Scope

__all__ = ["build_tools"]

_OVERLAPPING: Final = ("execute_command", "file_operations")
"""What a deep agent has of its own, over the same sandbox."""


def build_tools(
    bridge: Bridge,
    *,
    find_scope: Callable[[RunnableConfig], Scope],
    workspace_tools: bool,
    images: bool,
    prefix: str,
) -> list[BaseTool]:
    """The tools of the toolkit but those that a deep agent has of its own.

    Where their words mention a shell command, they name the deep agent's tool.

    Raises:
        ConfigurationError: The prefix makes names that model providers refuse.
    """
    shell = f"{prefix}execute_command"

    def reword(text: str) -> str:
        # The one place of an answer that mentions it; what a program printed is left alone.
        return text.replace(f"read a part with {shell}(", "read a part with execute(")

    offered = [
        offer
        for offer in offers(workspace_tools=workspace_tools, prefix=prefix)
        if offer.tool.name not in _OVERLAPPING
    ]
    return [
        build_tool(
            replace(offer, description=offer.description.replace(shell, "execute")),
            bridge,
            find_scope=find_scope,
            images=images,
            reword=reword,
            siblings=[each.name for each in offered],
        )
        for offer in offered
    ]
