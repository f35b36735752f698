"""Where a request belongs, as data: every text of the skill and its evaluation start here."""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "CODE_AGENT",
    "COMPARISON",
    "NOTHING_TO_RUN",
    "ROUTES",
    "SKILL",
    "SPECIALISED",
    "WORKSPACE_SKILL",
    "Contrast",
    "NothingToRun",
    "Route",
]

SKILL: Final = "code-interpreter"
"""The name of this skill, and of its directory."""

CODE_AGENT: Final = "code-agent"
"""The name by which a host offers an autonomous coding agent."""

WORKSPACE_SKILL: Final = "workspace"
"""The name by which a host offers reading what was saved."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """A kind of work, and the skill that does it best.

    Attributes:
        task: The work: what is made, or what is done where it belongs into the sandbox.
        skill: The name of the skill.
        reason: Why that one.
        instead: The library that does it in the sandbox, where a host has no such skill; empty for
            what belongs into the sandbox anyway.
    """

    task: str
    skill: str
    reason: str
    instead: str = ""


ROUTES: Final = (
    Route(
        task="charts and diagrams",
        skill="visual-design",
        reason="first choice for production charts",
        instead="matplotlib",
    ),
    Route(
        task="Word documents",
        skill="word-documents",
        reason="templates and styling",
        instead="python-docx",
    ),
    Route(
        task="Excel spreadsheets",
        skill="excel-spreadsheets",
        reason="formatting pipeline, validation",
        instead="openpyxl",
    ),
    Route(
        task="PowerPoint presentations",
        skill="powerpoint-presentations",
        reason="layout system, design patterns",
        instead="python-pptx",
    ),
    Route(task="test code snippets", skill=SKILL, reason="debug, verify logic, check output"),
    Route(task="prototype algorithms", skill=SKILL, reason="experiment before implementing"),
    Route(task="install and test packages", skill=SKILL, reason="compatibility, trying APIs"),
    Route(task="debug code logic", skill=SKILL, reason="isolate and test functions"),
    Route(task="verify calculations", skill=SKILL, reason="quick maths and data checks"),
    Route(task="analyse data", skill=SKILL, reason="figures, not guesses"),
)
"""What belongs where, the specialised skills first."""

SPECIALISED: Final = tuple(route for route in ROUTES if route.skill != SKILL)
"""What other skills do better, where a host has them."""


@dataclass(frozen=True, kw_only=True)
class NothingToRun:
    """A request that needs no sandbox.

    Attributes:
        request: What is asked.
        answer: What to do.
    """

    request: str
    answer: str


NOTHING_TO_RUN: Final = (
    NothingToRun(
        request="showing or formatting code examples", answer="answer with a Markdown block"
    ),
    NothingToRun(request="explaining code or algorithms", answer="answer with text"),
    NothingToRun(request="arithmetic that can be done in the head", answer="just answer"),
    NothingToRun(request="anything else that needs no execution", answer="answer"),
)
"""What is answered directly."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One respect in which code interpreter and code agent differ."""

    respect: str
    interpreter: str
    agent: str


COMPARISON: Final = (
    Contrast(
        respect="nature",
        interpreter="a sandboxed execution environment",
        agent="an autonomous coding agent",
    ),
    Contrast(
        respect="best for",
        interpreter="quick scripts, data analysis, prototyping",
        agent="multi-file projects, refactoring, test suites",
    ),
    Contrast(
        respect="files persist",
        interpreter="only when saved to the workspace",
        agent="all, synced automatically",
    ),
    Contrast(
        respect="state",
        interpreter="variables, within the session",
        agent="files and conversation, across sessions",
    ),
    Contrast(
        respect="autonomy",
        interpreter="you write the code",
        agent="it plans, writes, runs and iterates",
    ),
    Contrast(
        respect="use when",
        interpreter="you need one specific piece of code run",
        agent="you need an engineer to solve it end to end",
    ),
)
"""Code interpreter or code agent."""
