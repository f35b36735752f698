"""What the terminal shows of an agent's work: each call, its live output, its result, progress."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

__all__ = ["View", "plain"]

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
        self._line = ""
        self._shown: list[str] = []
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
        self._line, self._shown = "", []
        self._progress.update(self._task, description=f"{self._title}: {tool}")
        code = arguments.get("code")
        rest = {key: value for key, value in arguments.items() if key != "code"}
        shown = ", ".join(f"{key}={_short(value)}" for key, value in rest.items())
        body = Syntax(plain(str(code)), "python", word_wrap=True) if code else Text(shown or "()")
        subtitle = escape(shown) if code and shown else None
        self._console.print(
            Panel(body, title=f"[cyan]{tool}", title_align="left", subtitle=subtitle)
        )

    def output(self, text: str) -> None:
        """A piece of live output."""
        self._line += plain(text)
        *lines, self._line = self._line.split("\n")
        for line in lines:
            self._shown.append(line)
            self._console.print(Text(f"▏ {line}", style="dim"))

    def result(self, text: str, *, is_error: bool, pictures: int) -> None:
        """A tool call has its answer."""
        self.failed = self.failed or is_error
        lines = self._unseen(plain(text).splitlines())
        if len(lines) > _RESULT_LINES:
            lines = [*lines[:_RESULT_LINES], f"... {len(lines) - _RESULT_LINES} lines more"]
        if pictures:
            lines.append(f"({pictures} picture for the model)")
        mark, style = ("✗", "red") if is_error else ("✓", "green")
        body = Text("\n".join(lines) or "done", style=style)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text(mark, style=style), body)
        self._console.print(grid)
        self._progress.advance(self._task)

    def _unseen(self, lines: list[str]) -> list[str]:
        """The lines of a result without those that were shown live."""
        shown = [line for line in self._shown if line.strip()]
        stripped = [line.strip() for line in lines[: len(shown)]]
        return lines[len(shown) :] if stripped == [line.strip() for line in shown] else lines

    def conclusion(self, text: str) -> None:
        """The agent's last words."""
        self._console.print(
            Panel(Text(plain(text)), title="agent", title_align="left", style="bold")
        )


def plain(text: str) -> str:
    """Text that cannot command the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
