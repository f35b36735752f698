"""The file of answers: each is kept as soon as it is there, and none is asked for twice."""

import json
from pathlib import Path

from ci_toolkit.errors import ConfigurationError

__all__ = ["Record"]


class Record:
    """Answers by their keys, in a file of one JSON object a line, which only grows.

    One file may hold the answers of many models. A line that was cut short is passed over.

    Args:
        path: The file, made with its folder where it is missing; None keeps nothing.

    Raises:
        ConfigurationError: It cannot be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._answers: dict[str, str] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+", encoding="utf-8", errors="replace") as file:
                file.seek(0)
                text = file.read()
                file.write("" if text.endswith("\n") or not text else "\n")
        except OSError as error:
            raise ConfigurationError(f"The record {path} cannot be used: {error}.") from None
        for line in text.splitlines():
            self._learn(line)

    def get(self, key: str) -> str | None:
        """The route that was noted under a key."""
        return self._answers.get(key)

    def keep(self, key: str, *, got: str, model: str, request: str) -> None:
        """Notes an answer; model and request are there for the eyes of people."""
        self._answers[key] = got
        if self._path is not None:
            line = {"key": key, "model": model, "request": request, "got": got}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _learn(self, line: str) -> None:
        try:
            answer = json.loads(line)
            self._answers[str(answer["key"])] = str(answer["got"])
        except (ValueError, TypeError, KeyError):
            return
