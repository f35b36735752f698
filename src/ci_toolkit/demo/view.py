"""What the terminal shows of an agent's work: each call, its live output, its result, progress."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.syntax import Syntax
from rich.text import Text

__all__ = ["View"]

_RESULT_LINES = 14


class View:
    """One agent's run on a terminal; a context manager that keeps a progress bar at the bottom.

    Args:
        console: Where to print.
        title: The agent's name.
        steps: How many tool calls are expected.
    """

    def __init__(self, console: Console, title: str, steps: int) -> None:
        self._console = console
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
        self._live = ""
        self.failed = False

    def __enter__(self) -> Self:
        self._console.rule(f"[bold]{self._title}")
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def call(self, tool: str, arguments: dict[str, object]) -> None:
        """A tool call begins."""
        self._live = ""
        self._progress.update(self._task, description=f"{self._title}: {tool}")
        code = arguments.get("code")
        rest = {key: value for key, value in arguments.items() if key != "code"}
        shown = ", ".join(f"{key}={_short(value)}" for key, value in rest.items())
        body = Syntax(str(code), "python", word_wrap=True) if code else Text(shown or "()")
        subtitle = escape(shown) if code and shown else None
        self._console.print(
            Panel(body, title=f"[cyan]{tool}", title_align="left", subtitle=subtitle)
        )

    def output(self, text: str) -> None:
        """A piece of live output."""
        self._live += text
        *lines, self._live = self._live.split("\n")
        for line in lines:
            self._console.print(Text(f"  ▏ {line}", style="dim"))

    def result(self, text: str, *, is_error: bool, pictures: int) -> None:
        """A tool call has its answer."""
        self.failed = self.failed or is_error
        lines = text.splitlines()
        if len(lines) > _RESULT_LINES:
            lines = [*lines[:_RESULT_LINES], f"... {len(lines) - _RESULT_LINES} lines more"]
        style = "red" if is_error else "green"
        seen = f" [with {pictures} picture]" if pictures else ""
        for number, line in enumerate(lines):
            mark = ("✗" if is_error else "✓") if number == 0 else " "
            self._console.print(Text(f"{mark} {line}", style=style))
        if seen:
            self._console.print(Text(f"  {seen.strip()}", style="magenta"))
        self._progress.advance(self._task)

    def conclusion(self, text: str) -> None:
        """The agent's last words."""
        self._console.print(Panel(Text(text), title="agent", title_align="left", style="bold"))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
