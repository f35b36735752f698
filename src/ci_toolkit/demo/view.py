"""What the terminal shows of the demonstration: an agent's work, and how far it has come."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from ci_toolkit.terminal import View

__all__ = ["ProgressView"]


class ProgressView(View):
    """One agent's run on a terminal; a context manager that keeps a progress bar at the bottom.

    Args:
        console: Where to print.
        title: The agent's name.
        steps: How many tool calls are expected.
    """

    def __init__(self, console: Console, title: str, steps: int) -> None:
        super().__init__(console)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Elapsed(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(title, total=steps)
        self._title = title

    def __enter__(self) -> Self:
        self.console.rule(f"[bold]{self._title}")
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def call(self, tool: str, arguments: Mapping[str, object]) -> None:
        """A tool call begins."""
        self._progress.update(self._task, description=f"{self._title}: {tool}")
        super().call(tool, arguments)

    def result(self, text: str, *, is_error: bool, pictures: int = 0) -> None:
        """A tool call has its answer."""
        super().result(text, is_error=is_error, pictures=pictures)
        self._progress.advance(self._task)
