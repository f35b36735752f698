"""Leaves out of a run's output what Deno says of itself; between its pipes and the `Output`."""

from __future__ import annotations

import re

from output import Output

__all__ = ["QuietOutput"]

# What Deno says on stderr about its own affairs: that it was interrupted, and after running out of
# memory the addresses of its machine code.
NOISE = re.compile(rb"CDP response has null result\. .*\n?|    /\S+\(\+0x\w+\) \[0x\w+\]\n?")
NOISE_STARTS = (b"CDP response has null", b"    /")


class QuietOutput(Output):
    """Passes on what the user's code prints, without the kernel's own noise."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._held = b""
        self._line_open = False

    def write(self, stream: str, data: bytes) -> None:
        """Takes what was printed; holds back a line that may become noise."""
        if stream == "stderr":
            data, self._held = self._held + data, b""
            start = data.rfind(b"\n") + 1
            if len(data) - start < 4096 and data.startswith(NOISE_STARTS, start):
                data, self._held = data[:start], data[start:]
            data = NOISE.sub(b"", data)
            self._line_open = not data.endswith(b"\n") if data else self._line_open
        self._output.write(stream, data)

    def flush(self) -> None:
        """Passes on what was held back."""
        self._output.write("stderr", NOISE.sub(b"", self._held))

    def add_line(self, line: str) -> None:
        """Adds a line of our own to stderr."""
        gap, self._line_open = "\n" if self._line_open else "", False
        self._output.write("stderr", f"{gap}{line}\n".encode(errors="replace"))

    def tick(self) -> float | None:
        """Sends pieces that are due."""
        return self._output.tick()
