"""`Heard`: live output of a program, without the answer that it prints at its end."""

from threading import Lock

from ci_toolkit.results import OnOutput, Stream

__all__ = ["Heard"]


class Heard:
    """Takes what a program prints, and passes on what the run in it printed.

    Args:
        listener: Receives it; what it raises is ignored.
        token: The program's.
    """

    def __init__(self, listener: OnOutput, token: str) -> None:
        self._listener = listener
        self._mark = f"\n<{token}:"
        self._lock = Lock()
        self._held = ""
        self._answered = False
        self._closed = False

    def __call__(self, stream: Stream, text: str) -> None:
        """Takes a piece."""
        with self._lock:
            if self._closed:
                return
            if stream == "stdout":
                text = self._before_the_answer(text)
            if text:
                self._tell(stream, text)

    def close(self) -> None:
        """Passes nothing on any more."""
        with self._lock:
            self._closed = True

    def _before_the_answer(self, text: str) -> str:
        if self._answered:
            return ""
        text = self._held + text
        found = text.find(self._mark)
        if found >= 0:
            self._answered = True
            return text[:found]
        most = min(len(self._mark) - 1, len(text))
        held = next(n for n in range(most, -1, -1) if text.endswith(self._mark[:n]))
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def _tell(self, stream: Stream, text: str) -> None:
        try:
            self._listener(stream, text)
        except Exception:  # noqa: BLE001 - as the seam says
            return
