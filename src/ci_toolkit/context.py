"""What a tool may use for one call; made by the interpreter, handed to room 2."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.files import ConversationFiles
from ci_toolkit.limits import Limits
from ci_toolkit.results import FileReport, OnOutput
from ci_toolkit.saving import save_files
from ci_toolkit.scope import Scope
from ci_toolkit.telemetry import Telemetry

__all__ = ["Context"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a tool may use for one call.

    Attributes:
        sandbox: The session's sandbox, ready.
        files: The conversation's files in the workspace.
        limits: The host's bounds.
        on_output: Where live output goes, if anywhere.
        is_unchanged_upload: Whether a path with this digest is as the user uploaded it.
        network: What the sandbox can reach.
        scope: Whose call it is.
        telemetry: Told of what is sent.
        prefix: What the names of tools have before them where this model sees them.
    """

    sandbox: Sandbox
    files: ConversationFiles
    limits: Limits
    on_output: OnOutput | None
    is_unchanged_upload: Callable[[str, str], bool]
    scope: Scope
    telemetry: Telemetry
    network: Literal["none", "internet", "host"] = "host"
    prefix: str = ""

    def save(self, paths: Sequence[str]) -> tuple[FileReport, ...]:
        """Saves sandbox files to the workspace."""
        with self.telemetry.transfer("to_workspace", scope=self.scope) as transfer:
            return save_files(
                paths,
                sandbox=self.sandbox,
                files=self.files,
                limits=self.limits,
                sent=transfer.arrived,
            )
