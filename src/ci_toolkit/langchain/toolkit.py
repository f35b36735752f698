"""The four tools as a LangChain toolkit."""

from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import PrivateAttr

from ci_toolkit.bridge import Bridge
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.langchain.scopes import ScopeOption, finder
from ci_toolkit.langchain.tools import build_tools

__all__ = ["CodeInterpreterToolkit"]


class CodeInterpreterToolkit(BaseToolkit):
    """The code interpreter's tools for LangChain and LangGraph agents.

    Each outcome becomes a tool message: its text, pictures as standard image blocks after it, its
    record as `artifact`, and `status="error"` where the call failed. Nothing that a model, a
    sandbox or a workspace does is raised into the agent. Called asynchronously, a cancelled task
    interrupts the run in the sandbox.

    Output goes live to `stream_mode="custom"` as `{"type": "ci_toolkit.output", "tool": ...,
    "tool_call_id": ..., "stream": "stdout", "text": ...}`, and its text to `stream_mode="tools"`.

    Args:
        interpreter: Answers the calls.
        scope: Whose conversation a call belongs to: a `Scope`, or a callable that is given the
            call's `RunnableConfig`. By default the user is `configurable["user_id"]`, or
            `"anonymous"`, and the conversation `configurable["thread_id"]`, or else one that only
            this object has; an agent that is a node of a larger graph has its own variables, and so
            has each subagent that is called as a tool.
        workspace_tools: Whether `workspace_read` and `workspace_list` are offered as well.
        images: Whether pictures go to the model. Some models refuse them in tool messages.
        prefix: Put before the tools' names.

    Raises:
        ConfigurationError: An option is not what it has to be.
    """

    _bridge: Bridge = PrivateAttr()
    _tools: tuple[BaseTool, ...] = PrivateAttr()

    def __init__(
        self,
        interpreter: CodeInterpreter,
        *,
        scope: ScopeOption = None,
        workspace_tools: bool = False,
        images: bool = True,
        prefix: str = "",
    ) -> None:
        super().__init__()
        self._bridge = Bridge(interpreter, prefix=prefix)
        tools = build_tools(
            self._bridge,
            find_scope=finder(scope),
            workspace_tools=workspace_tools,
            images=images,
            prefix=prefix,
        )
        self._tools = tuple(tools)

    def get_tools(self) -> list[BaseTool]:
        """The tools, the same objects each time."""
        return list(self._tools)

    def close(self) -> None:
        """Lets the toolkit's own threads go, and nothing else.

        Sessions and sandboxes are the interpreter's: `CodeInterpreter.close` ends them. Idempotent;
        the tools can still be used.
        """
        self._bridge.close()
