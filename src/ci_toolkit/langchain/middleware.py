"""The code interpreter as middleware of `create_agent`: tools, guidance and clean-up in one."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from ci_toolkit.bridge import Bridge
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.langchain.scopes import ScopeOption, finder
from ci_toolkit.langchain.tools import CodeInterpreterTool, build_tools
from ci_toolkit.skill import skill_prompt

__all__ = ["CodeInterpreterMiddleware"]

Request = ModelRequest[Any]
Response = ModelResponse[Any]


class CodeInterpreterMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Gives an agent the code interpreter's tools, and tells it when and how to use them.

    The tools are those of `CodeInterpreterToolkit`, which says what their messages hold and how
    their output is streamed. The guidance stands at the end of the system prompt of each model
    call that offers one of the tools; nothing of it is kept in the conversation. Nothing is kept
    in the agent's state either: which sandbox a conversation has is found by its scope.

    Works with and without a checkpointer, synchronously and asynchronously, in every streaming
    mode, and beside `HumanInTheLoopMiddleware`, which asks before a call and never runs one twice.
    An agent may have several, each with a prefix of its own.

    Args:
        interpreter: Answers the calls.
        scope: As for `CodeInterpreterToolkit`.
        workspace_tools: As for `CodeInterpreterToolkit`.
        images: As for `CodeInterpreterToolkit`.
        prefix: Put before the tools' names.
        available_skills: The names of the host's other skills, to which the guidance sends what
            they do better.
        end_session: Whether the conversation's session is ended when the agent has answered; the
            next one begins in a new sandbox with the saved files. LangChain runs nothing after an
            agent that raised or that waits for a human: such a session ends by
            `CodeInterpreter.close`, or when it was idle for `Limits.idle_seconds`.

    Raises:
        ConfigurationError: An option is not what it has to be. Also in the first model call of an
            agent that has a tool of somebody else by the name of one of these, since LangChain
            would silently give it the calls.
    """

    def __init__(
        self,
        interpreter: CodeInterpreter,
        *,
        scope: ScopeOption = None,
        workspace_tools: bool = False,
        images: bool = True,
        prefix: str = "",
        available_skills: Collection[str] | None = None,
        end_session: bool = False,
    ) -> None:
        super().__init__()
        self._interpreter = interpreter
        self._bridge = Bridge(interpreter, prefix=prefix)
        self._find_scope = finder(scope)
        self._prefix = prefix
        self._end_session = end_session
        self.tools = build_tools(
            self._bridge,
            find_scope=self._find_scope,
            workspace_tools=workspace_tools,
            images=images,
            prefix=prefix,
        )
        self._names = frozenset(tool.name for tool in self.tools)
        self._guidance = skill_prompt(
            available_skills,
            backend=interpreter.backend,
            prefix=prefix,
            workspace_tools=workspace_tools,
        )

    @property
    def name(self) -> str:
        """Names the middleware's nodes in the graph; different for each prefix."""
        return f"{type(self).__name__}-{self._prefix}" if self._prefix else type(self).__name__

    def wrap_model_call(self, request: Request, handler: Callable[[Request], Response]) -> Response:
        """Calls the model with the guidance in its system prompt."""
        return handler(self._guided(request))

    async def awrap_model_call(
        self, request: Request, handler: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """As `wrap_model_call`."""
        return await handler(self._guided(request))

    # LangChain hands over `runtime` and `config` by exactly these names.
    def after_agent(  # type: ignore[override]
        self,
        state: AgentState[Any],  # noqa: ARG002
        runtime: Runtime[Any],  # noqa: ARG002
        config: RunnableConfig,
    ) -> None:
        """Ends the session, if asked to."""
        if self._end_session:
            self._interpreter.close(self._find_scope(config))

    async def aafter_agent(  # type: ignore[override]
        self,
        state: AgentState[Any],  # noqa: ARG002
        runtime: Runtime[Any],  # noqa: ARG002
        config: RunnableConfig,
    ) -> None:
        """As `after_agent`, without blocking the event loop."""
        if self._end_session:
            scope = self._find_scope(config)
            await self._bridge.run(lambda _: self._interpreter.close(scope))

    def close(self) -> None:
        """Lets the middleware's own threads go, as `CodeInterpreterToolkit.close` does."""
        self._bridge.close()

    def _guided(self, request: Request) -> Request:
        offered = [
            tool
            for tool in request.tools
            if not isinstance(tool, dict) and tool.name in self._names
        ]
        for tool in offered:
            if not isinstance(tool, CodeInterpreterTool):
                raise ConfigurationError(
                    f"The agent has another tool named {tool.name!r}, which would get the calls "
                    "that are meant for the code interpreter. Give this middleware a prefix, such "
                    "as CodeInterpreterMiddleware(interpreter, prefix='ci_')."
                )
        if not offered:
            return request
        return request.override(system_message=_added(request.system_message, self._guidance))


def _added(message: SystemMessage | None, text: str) -> SystemMessage:
    """A system message with a text at its end; what a provider put into it stays as it is."""
    if message is None:
        return SystemMessage(content=text)
    content = message.content
    if isinstance(content, str):
        longer: str | list[Any] = f"{content}\n\n{text}" if content else text
    else:
        longer = [*content, {"type": "text", "text": text}]
    return message.model_copy(update={"content": longer})
