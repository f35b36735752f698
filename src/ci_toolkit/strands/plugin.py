"""The tools, the skill text and the clean-up of the code interpreter, as one Strands plugin."""

from collections.abc import Collection

from strands import Agent
from strands.hooks import AfterInvocationEvent
from strands.middleware import InvokeModelContext, InvokeModelStage
from strands.plugins import Plugin

from ci_toolkit.bridge import Bridge
from ci_toolkit.doors import offers, scope_finder
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.scope import Scope
from ci_toolkit.skill import skill_prompt
from ci_toolkit.strands.scopes import InvocationScope
from ci_toolkit.strands.tools import CodeInterpreterTool, FindScope
from ci_toolkit.telemetry import scoped_logger

__all__ = ["CodeInterpreterPlugin"]

logger = scoped_logger(__name__)


class CodeInterpreterPlugin(Plugin):
    """Gives agents a code interpreter; one plugin may serve many agents.

    The skill text is added to the system prompt of each model call and is stored nowhere. Each
    call goes to the session of the agent that made it, also where agents of a graph run side by
    side. An agent with a session manager has the same session after a restart: what was saved is
    there again, and what was lost is told.

    Args:
        interpreter: Answers the calls; closing it is up to its owner.
        scope: As for `code_interpreter_tools`.
        workspace_tools: Whether `workspace_read` and `workspace_list` are offered as well.
        images: Whether pictures go to the model. Some models refuse them in tool results.
        prefix: Put before the tools' names.
        available_skills: The names of the host's other skills, to which the skill text then leads.
        prompt: Whether the skill text is added. Not needed where `AgentSkills` brings the skill.
        end_session: Whether the session, and its sandbox, is ended whenever an
            invocation of an agent ends, whatever ends it but an interrupt, which waits for an
            answer. Saved files stay. By default it is ended by `interpreter.close` or when it
            was idle for too long.

    Raises:
        ConfigurationError: An option is not what it has to be.
    """

    name = "ci_toolkit"

    def __init__(
        self,
        interpreter: CodeInterpreter,
        *,
        scope: Scope | FindScope | None = None,
        workspace_tools: bool = False,
        images: bool = True,
        prefix: str = "",
        available_skills: Collection[str] | None = None,
        prompt: bool = True,
        end_session: bool = False,
    ) -> None:
        super().__init__()
        self._bridge = Bridge(interpreter, prefix=prefix)
        self._interpreter = interpreter
        self._find_scope: FindScope = scope_finder(scope, InvocationScope())
        self._offers = offers(workspace_tools=workspace_tools, prefix=prefix)
        self._images = images
        self._close = end_session
        self._prompt = ""
        if prompt:
            self._prompt = skill_prompt(
                available_skills,
                backend=interpreter.backend,
                prefix=prefix,
                workspace_tools=workspace_tools,
            )

    def init_agent(self, agent: Agent) -> None:
        """Gives an agent its tools and the skill text.

        Raises:
            ConfigurationError: The agent has a tool of such a name.
        """
        known = agent.tool_registry.registry
        taken = [offer.name for offer in self._offers if offer.name in known]
        if taken:
            raise ConfigurationError(
                f"The agent has other tools named {', '.join(taken)}. Give the plugin a prefix, "
                'such as prefix="ci_".'
            )
        agent.tool_registry.process_tools(
            [
                CodeInterpreterTool(
                    offer,
                    self._bridge,
                    find_scope=self._find_scope,
                    images=self._images,
                    agent=agent,
                )
                for offer in self._offers
            ]
        )
        if self._prompt:
            agent.add_middleware(InvokeModelStage.Input, self._with_prompt)
        if self._close:
            agent.add_hook(self._end_session, AfterInvocationEvent)

    async def _end_session(self, event: AfterInvocationEvent) -> None:
        if event.result is not None and event.result.stop_reason == "interrupt":
            return
        try:
            scope = self._find_scope({**event.invocation_state, "agent": event.agent})
        except Exception:  # an invocation that went well must not fail for its clean-up
            logger.exception("No session to end")
            return
        await self._bridge.run(lambda _: self._interpreter.close(scope))

    def _with_prompt(self, context: InvokeModelContext) -> InvokeModelContext:
        given = context.system_prompt
        if isinstance(given, list):
            return context.replace(system_prompt=[*given, {"text": self._prompt}])
        text = f"{given}\n\n{self._prompt}" if given else self._prompt
        return context.replace(system_prompt=text)
