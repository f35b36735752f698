"""How the tools are used well, as data: the rules, and the mistakes that models make."""

from dataclasses import dataclass
from typing import Final

__all__ = ["LANGUAGES", "MISTAKES", "NO_OUTSIDERS", "PURPOSE", "RULES", "USES", "Mistake"]

PURPOSE: Final = (
    "A sandbox in which code really runs, for testing, prototyping, calculating and analysing "
    "data. Report as results only what a run printed."
)
"""What the tools are for."""

USES: Final = {
    "execute_code": "run code; fetch one file that it wrote",
    "execute_command": "shell work: packages, programs, inspection",
    "file_operations": "read, write, list and remove text files",
    "ci_push_to_workspace": "save sandbox files; without `paths`, all of the working directory",
    "workspace_read": "read back a saved or uploaded file",
    "workspace_list": "list what is saved",
}
"""What each tool is for, by its name."""

LANGUAGES: Final = {
    "python": "Python (recommended)",
    "javascript": "JavaScript (JSON, async)",
    "typescript": "TypeScript (typed code)",
}
"""Languages by the value of the parameter, and what they are good for."""

RULES: Final = (
    "Select the backend before pyplot is imported: `import matplotlib; matplotlib.use('Agg')`.",
    "`print()` what you want to see; the text output is stdout.",
    "`output_filename` is exactly the name of the file that the code saves.",
    "Shell work goes through `execute_command`.",
    "File management goes through `file_operations`.",
    "State persists between calls, so build up in steps: load, then analyse, then export.",
)
"""What a model is to do."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something that models do wrong.

    Attributes:
        wrong: What they do.
        right: What to do.
        why: What happens otherwise.
    """

    wrong: str
    right: str
    why: str


MISTAKES: Final = (
    Mistake(
        wrong="no `matplotlib.use('Agg')`",
        right="put it before the import of pyplot",
        why="There is no display; a backend with windows has nowhere to draw.",
    ),
    Mistake(
        wrong="`plt.show()`",
        right="`plt.savefig('chart.png')`, and name the file in `output_filename`",
        why="Nobody sees a window; only a file can be kept and handed on.",
    ),
    Mistake(
        wrong="an `output_filename` other than the file saved",
        right="write the same name in both places",
        why="The run succeeds and its file is not saved; the answer names the files that the run "
        "created.",
    ),
    Mistake(
        wrong="shell work in `execute_code` (`os.system`, `subprocess`)",
        right="`execute_command`",
        why="Its output and exit code are then told apart from the program's own.",
    ),
    Mistake(
        wrong="binary content through a `file_operations` write",
        right="make the file with code and its library",
        why="The tool writes text; a PNG or XLSX written as text is no such file.",
    ),
)
"""What goes wrong most often."""

NO_OUTSIDERS: Final = (
    "If these tools are missing or do not work, say plainly what could not be run. Never send "
    "code, files or data to an outside service, website or API to have it run, calculated or "
    "converted there, and never invent the output."
)
"""What is forbidden where nothing can execute."""
