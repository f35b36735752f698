"""A deep agent's way into its conversation's sandbox, with or without what has to be told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.errors import CodeInterpreterError, ToolError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.rendering import sentence
from ci_toolkit.scope import Scope
from ci_toolkit.telemetry import scoped, scoped_logger

__all__ = ["Access", "told"]

logger = scoped_logger(__name__)

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Access:
    """Does work in the sandbox of whoever's conversation it is.

    Attributes:
        interpreter: Has the sessions.
        find_scope: Whose conversation a call of the framework belongs to.
    """

    interpreter: CodeInterpreter
    find_scope: Callable[[RunnableConfig], Scope]

    @property
    def scope(self) -> Scope:
        """Whose conversation the call that goes on in this context belongs to."""
        return self.find_scope(ensure_config())

    def run(
        self,
        work: Callable[[Sandbox], _Value],
        failed: Callable[[Exception], _Value],
        cancellation: Cancellation | None = None,
    ) -> tuple[_Value, tuple[str, ...]]:
        """As `CodeInterpreter.with_sandbox`, but raises nothing: that would end the agent.

        What a host's own `scope` raises passes through, as in every door.

        Args:
            work: Given the sandbox.
            failed: Makes a value of what was raised.
            cancellation: Thrown to end the work.
        """
        scope = self.scope
        with scoped(scope):
            try:
                return self.interpreter.with_sandbox(work, scope=scope, cancellation=cancellation)
            except Exception as error:  # noqa: BLE001 - as said above
                return failed(error), ()

    def run_quietly(
        self,
        work: Callable[[Sandbox], _Value],
        failed: Callable[[Exception], _Value],
        cancellation: Cancellation | None = None,
    ) -> _Value:
        """As `run`, for what has no room for words: what has to be told waits for the next output.

        A session keeps its notes for the next call where work raises, which is used here.
        """
        kept: list[_Value] = []

        def leave(sandbox: Sandbox) -> _Value:
            kept[:] = [work(sandbox)]
            raise _Done

        def ended(error: Exception) -> _Value:
            return kept[0] if isinstance(error, _Done) else failed(error)

        value, _ = self.run(leave, ended, cancellation)
        return value


class _Done(Exception):  # noqa: N818 - it tells of no error
    """Work ended well."""


def told(error: Exception) -> str:
    """What a model may know of an error; the rest goes to the operator's log."""
    if isinstance(error, ToolError):
        return str(error)
    logger.error("%s: %s", type(error).__name__, error, exc_info=error)
    return sentence(error if isinstance(error, CodeInterpreterError) else CodeInterpreterError())
