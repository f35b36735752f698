"""What a terminal shows of an agent's work; used by the demonstration and the chat.

Whatever a model or a sandbox says is made plain: it cannot command the terminal.
"""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

__all__ = ["View", "plain"]

_RESULT_LINES = 14
_LIVE_LINES = 200
_CODE_LINES = 60
_SHORT = 60
_ERRORS = "stderr:"


def plain(text: str, *, also: str = "") -> str:
    """Text that cannot command the terminal.

    Args:
        text: Any text.
        also: Control characters that may stay, beside line ends and tabs.
    """
    kept = f"\n\t{also}"
    return "".join(char if char.isprintable() or char in kept else "\ufffd" for char in text)


class View:
    """Shows an agent's calls, their live output and their results, one after the other.

    Args:
        console: Where to print.

    Attributes:
        failed: Whether a call has failed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.failed = False
        self._line = ""
        self._shown: list[str] = []

    def call(self, tool: str, arguments: Mapping[str, object]) -> None:
        """A tool call begins."""
        self._line, self._shown = "", []
        name = "command" if "command" in arguments else "code"
        code = str(arguments.get(name) or "")
        rest = {key: value for key, value in arguments.items() if key != name and value}
        # A model makes up names of parameters, too.
        words = (f"{plain(str(key)[:_SHORT])}={_short(value)}" for key, value in rest.items())
        shown = ", ".join(words)
        language = "bash" if name == "command" else str(arguments.get("language") or "python")
        body = _code(code, language) if code else Text(shown or "()")
        subtitle = escape(shown) if code and shown else None
        self.console.print(
            Panel(body, title=f"[cyan]{escape(plain(tool))}", title_align="left", subtitle=subtitle)
        )

    def output(self, text: str) -> None:
        """A piece of live output."""
        self._line += plain(text)
        *lines, self._line = self._line.split("\n")
        for line in lines:
            self._shown.append(line)
            if len(self._shown) <= _LIVE_LINES:
                for part in Text(line).wrap(self.console, max(self.console.width - 2, 1)):
                    self.console.print(Text(f"▏ {part.plain}", style="dim"))
            elif len(self._shown) == _LIVE_LINES + 1:
                self.console.print(Text("▏ ... and more, not shown here", style="dim"))

    def result(self, text: str, *, is_error: bool, pictures: int = 0) -> None:
        """A tool call has its answer."""
        self.failed = self.failed or is_error
        lines = self._unseen(plain(text).splitlines())
        if len(lines) > _RESULT_LINES:
            lines = [*lines[:_RESULT_LINES], f"... {len(lines) - _RESULT_LINES} lines more"]
        if pictures:
            lines.append(f"({pictures} picture{'s' if pictures > 1 else ''} for the model)")
        mark, style = ("✗", "red") if is_error else ("✓", "green")
        self._marked(mark, Text("\n".join(lines) or "done", style=style), style)

    def conclusion(self, text: str) -> None:
        """The agent's last words."""
        self.console.print(
            Panel(Text(plain(text)), title="agent", title_align="left", style="bold")
        )

    def _marked(self, mark: str, body: Text, style: str) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text(mark, style=style), body)
        self.console.print(grid)

    def _unseen(self, lines: list[str]) -> list[str]:
        """The lines of a result without those that were shown live."""
        shown = [line.strip() for line in self._shown if line.strip()]
        position = 0
        for seen in shown:
            while position < len(lines) and lines[position].strip() in ("", _ERRORS):
                position += 1
            if position == len(lines) or lines[position].strip() != seen:
                return lines
            position += 1
        return lines[position:]


def _code(code: str, language: str) -> Syntax:
    lines = plain(code).splitlines()
    if len(lines) > _CODE_LINES:
        lines = [*lines[:_CODE_LINES], "", f"... {len(lines) - _CODE_LINES} lines more"]
    known = language if language in {"bash", "javascript", "typescript"} else "python"
    return Syntax("\n".join(lines), known, word_wrap=True, background_color="default")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
