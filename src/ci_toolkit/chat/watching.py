"""An interpreter whose calls are shown in the terminal, and whose pictures are kept as files."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ci_toolkit.backends.base import Backend
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.chat.view import ChatView
from ci_toolkit.errors import CancelledCallError, WorkspaceError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.limits import Limits
from ci_toolkit.results import Image, OnOutput, Outcome, Stream
from ci_toolkit.schemas import Arguments
from ci_toolkit.scope import Scope
from ci_toolkit.turns import Order, Turns
from ci_toolkit.workspaces import DirectoryWorkspace, Workspace

__all__ = ["WatchedInterpreter"]

_PICTURES = "pictures"


class WatchedInterpreter(CodeInterpreter):
    """Shows each call, one at a time, whichever framework makes it.

    Pictures that were not saved to the workspace are kept in `pictures` of the conversation's
    folder: below the workspace's own folder, or in `./pictures` where it has none.

    Args:
        backend: As for `CodeInterpreter`.
        workspace: As for `CodeInterpreter`.
        view: Where calls are shown.
        limits: As for `CodeInterpreter`.
    """

    def __init__(
        self,
        backend: Backend,
        workspace: Workspace,
        view: ChatView,
        *,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(backend, workspace, limits=limits)
        self._view = view
        self._calls = Turns()
        folder = workspace if isinstance(workspace, DirectoryWorkspace) else None
        self._pictures = folder or DirectoryWorkspace(_PICTURES)
        self._kept = 0

    def call(
        self,
        name: str,
        arguments: object,
        *,
        scope: Scope,
        on_output: OnOutput | None = None,
        cancellation: Cancellation | None = None,
        prefix: str = "",
        order: Order | None = None,
    ) -> Outcome:
        """As `CodeInterpreter.call`."""
        switch = cancellation or Cancellation()

        def report(stream: Stream, text: str) -> None:
            self._view.output(text)
            if on_output is not None:
                on_output(stream, text)

        def answer() -> Outcome:
            return super(WatchedInterpreter, self).call(
                name,
                arguments,
                scope=scope,
                on_output=report,
                cancellation=switch,
                prefix=prefix,
                order=order,
            )

        try:
            with self._calls.turn(switch, order):
                self._view.call(f"{prefix}{name}", _as_mapping(arguments))
                outcome = answer()
                self._show(outcome, scope)
                return outcome
        except CancelledCallError:
            return answer()

    def where(self, key: str, scope: Scope) -> str:
        """Where a file of the workspace lies, for people."""
        if isinstance(self.workspace, DirectoryWorkspace):
            return _short(self.workspace.path / scope.folder / key)
        return f"{key} (in the workspace)"

    def _show(self, outcome: Outcome, scope: Scope) -> None:
        self._view.result(outcome.text, is_error=outcome.is_error)
        saved = _saved(outcome)
        for key in saved:
            self._view.file(self.where(key, scope))
        names = {PurePosixPath(key).name for key in saved}
        for image in outcome.images:
            if PurePosixPath(image.name).name not in names:
                self._view.file(self._keep(image, scope))

    def _keep(self, image: Image, scope: Scope) -> str:
        self._kept += 1
        suffix = image.media_type.removeprefix("image/").replace("jpeg", "jpg")
        key = f"{scope.folder}/{_PICTURES}/{self._kept:02}.{suffix}"
        try:
            self._pictures.put(key, [image.data])
        except WorkspaceError as error:
            return f"(a picture could not be kept: {error})"
        return _short(self._pictures.path / key)


def _as_mapping(arguments: object) -> Mapping[str, object]:
    if isinstance(arguments, Arguments):
        return arguments.model_dump(exclude_defaults=True)
    return dict(arguments) if isinstance(arguments, Mapping) else {}


def _saved(outcome: Outcome) -> list[str]:
    """The keys of what a call saved."""
    files = outcome.artifact.get("files")
    records = files if isinstance(files, list) else []
    keys = [r.get("stored") for r in records if isinstance(r, dict) and "error" not in r]
    return [key for key in keys if isinstance(key, str) and key]


def _short(path: Path) -> str:
    """A path as a user would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
