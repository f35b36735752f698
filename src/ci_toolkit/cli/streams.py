"""What commands write on the standard streams; a sandbox cannot command the terminal by it."""

import sys
from typing import TextIO

from ci_toolkit.results import Execution, Stream
from ci_toolkit.terminal import plain

__all__ = ["Echo", "say"]

_SHOWN_KEPT = 2_000_000


def say(text: str) -> None:
    """Tells the user something, on standard error, beside the output of a program."""
    sys.stderr.write(f"ci-toolkit: {plain(text)}\n")
    sys.stderr.flush()


class Echo:
    """Passes a run's output on while it appears, and after the run what was missing of it.

    What goes to a terminal is made plain; a file or a pipe gets the text as it is.
    """

    def __init__(self) -> None:
        # As they are now: a fake that runs code in this process puts others in their place.
        self._files: dict[Stream, TextIO] = {"stdout": sys.stdout, "stderr": sys.stderr}
        self._shown: dict[Stream, str] = {"stdout": "", "stderr": ""}
        self._ended_line: dict[Stream, bool] = {"stdout": True, "stderr": True}

    def __call__(self, stream: Stream, text: str) -> None:
        """Takes a piece of live output."""
        if len(self._shown[stream]) < _SHOWN_KEPT:
            self._shown[stream] += text
        self._write(stream, text)

    def finish(self, execution: Execution) -> None:
        """Shows what was not shown live, and ends the line on a terminal."""
        whole: dict[Stream, str] = {"stdout": execution.stdout, "stderr": execution.stderr}
        for stream, text in whole.items():
            shown = self._shown[stream]
            # The last character may have been cut in the middle.
            seen = shown.rstrip("\ufffd")
            rest = text[len(seen) :] if text.startswith(seen) else ""
            if rest and rest != shown[len(seen) :]:
                self._write(stream, rest)
            if not self._ended_line[stream] and (self._files[stream].isatty() or not shown):
                # A service that sends all at the end leaves out the last end of line.
                self._write(stream, "\n")

    def _write(self, stream: Stream, text: str) -> None:
        file = self._files[stream]
        file.write(plain(text, also="\r\b") if file.isatty() else text)
        file.flush()
        self._ended_line[stream] = text.endswith("\n")
