"""The demonstration and the command line, as a newcomer runs them."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image as Pillow
from rich.console import Console

from ci_toolkit import CodeInterpreter
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.demo import AGENTS, run_demo
from ci_toolkit.workspaces import DirectoryWorkspace

pytestmark = pytest.mark.local


@pytest.fixture
def interpreter(tmp_path: Path) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(LocalBackend(), DirectoryWorkspace(tmp_path / "w")) as interpreter:
        yield interpreter


def demo(interpreter: CodeInterpreter, folder: Path, file: Path | None, *agents: str) -> str:
    printed = io.StringIO()
    console = Console(file=printed, width=80)
    chosen = agents or tuple(AGENTS)
    assert run_demo(interpreter, console, file=file, folder=folder, agents=chosen)
    return printed.getvalue()


def test_both_agents_leave_the_same_chart_and_table(
    interpreter: CodeInterpreter, tmp_path: Path
) -> None:
    printed = demo(interpreter, tmp_path / "w", None)

    tables = sorted((tmp_path / "w").rglob("code-interpreter/summary.csv"))
    charts = sorted((tmp_path / "w").rglob("code-interpreter/trend.png"))
    assert len(tables) == len(charts) == 2
    assert tables[0].read_text().startswith("decade,count,mean,min,max\n1950,73,315.74,313.0,318.7")
    assert tables[0].read_bytes() == tables[1].read_bytes()
    assert charts[0].read_bytes() == charts[1].read_bytes()
    picture = Pillow.open(charts[0])
    picture.load()
    assert picture.size == (1350, 1050)
    assert printed.count("co2 changes by 1.347 per year") >= 2
    assert "summary.csv  192 bytes" in printed
    assert printed.startswith("The model is a script")
    assert "\n▏ to 1.354); the trend explains 98.3%\n" in printed  # a line that was wrapped
    assert max(map(len, printed.splitlines())) <= 80


FILES = {
    "no dates.csv": "x;y\n".replace(";", ",") + "".join(f"a{n},{n * n}\n" for n in range(50)),
    "german dates.csv": "when,value\n" + "".join(f"2020-{m:02}-15,{m}\n" for m in range(1, 13)),
    'it\'s "odd".csv': "n,m\n" + "".join(f"{n},{n % 5}\n" for n in range(40)),
    "gaps.csv": "date,v\n" + "".join(f"20200{m}01,{m if m % 2 else ''}\n" for m in range(1, 9)),
}


@pytest.mark.parametrize("name", FILES)
def test_any_csv_file_will_do(interpreter: CodeInterpreter, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])

    demo(interpreter, tmp_path / "w", tmp_path / name, "langchain")

    assert list((tmp_path / "w").rglob("code-interpreter/trend.png"))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from ci_toolkit.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    done = command("demo", "--file", str(tmp_path / "missing.csv"), "--workspace", str(tmp_path))

    assert done.returncode == 2
    assert done.stderr.startswith("ci-toolkit: Cannot read ")
    assert "Traceback" not in done.stderr


def test_a_file_that_holds_no_numbers_ends_in_an_error_and_not_in_a_traceback_of_ours(
    tmp_path: Path,
) -> None:
    (tmp_path / "words.csv").write_text("a,b\nx,y\n")

    done = command(
        "demo", "--file", str(tmp_path / "words.csv"), "--workspace", str(tmp_path / "w")
    )

    assert done.returncode == 1
    assert "This file cannot be analysed. ValueError: No column of numbers" in done.stdout
    assert "Traceback" not in done.stderr
