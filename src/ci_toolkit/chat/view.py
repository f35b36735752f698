"""What a chat shows: a model's words as they come, its calls, files, and what the chat says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markdown import Markdown
from rich.segment import Segment, Segments
from rich.text import Text

from ci_toolkit.terminal import View, plain

__all__ = ["ChatView", "Paragraphs"]

_FENCES = ("```", "~~~")


class Paragraphs:
    """Cuts a text that comes in pieces at empty lines, but never inside a block of code."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, piece: str) -> list[str]:
        """Takes a piece; gives the paragraphs that are complete now."""
        self._text = (self._text + piece).lstrip("\n")
        done: list[str] = []
        while (end := _end_of_paragraph(self._text)) is not None:
            done.append(self._text[:end])
            self._text = self._text[end:].lstrip("\n")
        return [paragraph for paragraph in done if paragraph.strip()]

    def rest(self) -> list[str]:
        """What is there, complete or not."""
        text, self._text = self._text, ""
        return [text] if text.strip() else []


def _end_of_paragraph(text: str) -> int | None:
    fence = ""
    position = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if fence:
            fence = "" if bare.startswith(fence) else fence
        elif bare.startswith(_FENCES):
            fence = bare[:3]
        elif not bare and line.endswith("\n") and text[:position].strip():
            return position
        position += len(line)
    return None


class ChatView(View):
    """A conversation on the terminal; where the output is no terminal, words are left as they are.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._paragraphs = Paragraphs()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Shows that something goes on, below all that is printed meanwhile."""
        with self.console.status("Ctrl-C interrupts") as status:
            # Shown at once: what other threads print before its first frame would be torn.
            status.update(spinner="dots")
            yield

    def words(self, piece: str) -> None:
        """A piece of the model's answer."""
        self._print(self._paragraphs.add(piece))

    def end_of_words(self) -> None:
        """The answer is over, or something else comes between."""
        self._print(self._paragraphs.rest())

    def call(self, tool: str, arguments: Mapping[str, object]) -> None:
        """A tool call begins."""
        self.end_of_words()
        super().call(tool, arguments)

    def file(self, path: str) -> None:
        """A file that can be opened now."""
        self.console.print(Text(f"→ {plain(path)}", style="cyan"), soft_wrap=True)

    def note(self, text: str, *, is_error: bool = False) -> None:
        """What the chat itself has to say."""
        self.console.print(Text(plain(text), style="red" if is_error else "dim"))

    def _print(self, paragraphs: list[str]) -> None:
        for paragraph in paragraphs:
            text = plain(paragraph)
            if self.console.is_terminal:
                self.console.print(self._formatted(text))
            else:
                self.console.print(Text(text), soft_wrap=True)

    def _formatted(self, text: str) -> Segments:
        """Markdown with one empty line after it, and not the several that its parts bring."""
        lines = self.console.render_lines(Markdown(text), pad=False)
        while lines and not _letters(lines[0]):
            del lines[0]
        while lines and not _letters(lines[-1]):
            del lines[-1]
        ended = [segment for line in lines for segment in (*line, Segment.line())]
        return Segments([*ended, Segment.line()])


def _letters(line: list[Segment]) -> str:
    return "".join(segment.text for segment in line).strip()
