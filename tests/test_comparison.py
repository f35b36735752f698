"""The comparison with other toolkits is what the benchmark finds, for the versions it names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "comparison.md"

pytestmark = [pytest.mark.local, pytest.mark.timeout(300)]


def columns(text: str) -> dict[str, list[str]]:
    """Findings by toolkit, of the first table in a text."""
    lines = re.findall(r"^\|.*\|$", text, re.M)[:8]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    del rows[1]
    questions, *toolkits = (list(column) for column in zip(*rows, strict=True))
    return {"questions": questions[1:], **{column[0]: column[1:] for column in toolkits}}


def about(cell: str) -> str:
    """A cell of ours without the last digits of its numbers, which change with every word."""
    return re.sub(r"\d,\d{3}\b", "?", cell)


def test_the_page_says_what_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "peers.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = columns(done.stdout)
    written = columns(PAGE.read_text().partition("measured:")[2])

    ours = next(name for name in measured if name.startswith("ci-toolkit "))
    assert [about(cell) for cell in measured.pop(ours)] == [
        about(cell) for cell in written.pop(next(n for n in written if n.startswith("ci-toolkit ")))
    ]
    # A newer version of another toolkit may do better: the page speaks of those that it names.
    named = measured.keys() & written.keys()
    assert {name: measured[name] for name in named} == {name: written[name] for name in named}
    assert "questions" in named
