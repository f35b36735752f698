"""The data set: what users ask for, and where it belongs."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci_toolkit.skill.routes import CODE_AGENT, SKILL, SPECIALISED

__all__ = ["DIRECT", "LABELS", "SKILLS", "Request", "load_requests"]

DIRECT: Final = "answer"
"""The label of requests that are answered without any tool."""

SKILLS: Final = (*(route.skill for route in SPECIALISED), CODE_AGENT)
"""The skills that some requests belong to."""

LABELS: Final = (DIRECT, SKILL, *SKILLS)
"""Where a request can belong."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One thing that a user asks.

    Attributes:
        text: The user's words.
        language: ISO 639-1 code of the language they are in.
        route: Where it belongs, one of `LABELS`.
        hard: Whether its words point elsewhere at first sight.
    """

    text: str
    language: str
    route: str
    hard: bool = False

    def expected(self, skills: Collection[str]) -> str:
        """Where it belongs on a host with these skills: without its own, to the sandbox."""
        return self.route if self.route in {DIRECT, *skills} else SKILL


def load_requests() -> tuple[Request, ...]:
    """The labelled requests of this package."""
    lines = (Path(__file__).parent / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Request(**json.loads(line)) for line in lines)
