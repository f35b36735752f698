"""How the tools are used well, as data: the rules, and the mistakes that models make."""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "LANGUAGES",
    "MISTAKES",
    "NO_OUTSIDERS",
    "NO_STATE_RULE",
    "PURPOSE",
    "RULES",
    "STATE_RULE",
    "USES",
    "Language",
    "Mistake",
]

PURPOSE: Final = (
    "A sandbox for testing and prototyping code, for calculating and for analysing data. Report as "
    "results only what a run has shown."
)
"""What the tools are for."""

USES: Final = {
    "execute_code": "run code; save one file that it wrote",
    "execute_command": "shell work: packages, programs, inspection",
    "file_operations": "read, write, list, remove; a write takes entries with `path` and `text`",
    "ci_push_to_workspace": "save files; without `paths`, all of the working directory",
    "workspace_read": "read a saved or uploaded file",
    "workspace_list": "list saved and uploaded files",
}
"""What each tool is for, by its name."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """A programming language.

    Attributes:
        label: Its name as people write it.
        good_for: When to choose it.
    """

    label: str
    good_for: str


LANGUAGES: Final = {
    "python": Language(label="Python", good_for="recommended"),
    "javascript": Language(label="JavaScript", good_for="JSON, async"),
    "typescript": Language(label="TypeScript", good_for="typed code"),
}
"""The languages, by the values of the parameter `language`."""

STATE_RULE: Final = "State persists between calls, so build up in steps: load, analyse, export."
NO_STATE_RULE: Final = (
    "Only files persist between calls: let each call import and load what it needs, and hand "
    "results on in files."
)
"""What stands for `STATE_RULE` where a backend keeps no variables of Python."""

RULES: Final = (
    "Choose the Agg backend before importing pyplot: `import matplotlib; matplotlib.use('Agg')`.",
    "`print()` what you want to see: stdout is the text output.",
    "`output_filename` is exactly the name of the file that the code saves.",
    "Do shell work with `execute_command`.",
    "Manage files with `file_operations`.",
    STATE_RULE,
)
"""What a model is to do."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something that models do wrong.

    Attributes:
        wrong: What they do.
        right: What to do.
    """

    wrong: str
    right: str


MISTAKES: Final = (
    Mistake(wrong="forgetting `matplotlib.use('Agg')`", right="put it before importing pyplot"),
    Mistake(
        wrong="`plt.show()`",
        right="`plt.savefig('chart.png')` with `output_filename=\"chart.png\"`",
    ),
    Mistake(
        wrong="an `output_filename` that differs from the file saved",
        right="the same name in both places",
    ),
    Mistake(wrong="shell work in `execute_code`", right="`execute_command`"),
    Mistake(
        wrong="binary content through a `file_operations` write",
        right="make the file with code",
    ),
)
"""What goes wrong most often."""

NO_OUTSIDERS: Final = (
    "If these tools are missing or fail, say plainly what could not be run. Never send code, "
    "files or data to an outside service, website or API to have it run, calculated or converted, "
    "and never invent an output."
)
"""What is forbidden where nothing can execute."""
