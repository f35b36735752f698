"""What the documentation shows is run as it stands."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel

ROOT = Path(__file__).parent.parent
CALL = [("execute_code", {"code": "print(6 * 7)"})]


def blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text()
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, re.S)]


def run(block: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(block, "<documentation>", "exec"), names)
    return names


@pytest.mark.local
@pytest.mark.parametrize(("number", "model"), [(0, ScriptedChatModel), (1, ScriptedModel)])
def test_the_readme_s_agents_run_on_the_local_sandbox(
    number: int, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers: list[str] = []

    def note(answer: str) -> str:
        answers.append(answer)
        return "done"

    script = [CALL, note]

    names = run(blocks("README.md")[number], {"model": model(script)})

    names["interpreter"].close()
    assert answers == ["42"]


def test_the_readme_s_lines_for_agentcore_and_s3_need_no_network_to_be_built() -> None:
    names = run(blocks("README.md")[2], {})

    names["interpreter"].close()


def test_the_readme_s_host_runs() -> None:
    interpreter = CodeInterpreter(InMemoryBackend(run_python=True))
    scope = Scope(user_id="ada", session_id="thread-1")
    write = {"code": "open('chart.png', 'wb').write(b'1')", "output_filename": "chart.png"}
    interpreter.call("execute_code", write, scope=scope)

    names = run(blocks("README.md")[3], {"interpreter": interpreter, "data": b"a\n"})

    assert names["outcome"].text == "1"


@pytest.mark.parametrize("block", blocks("docs/backends.md"), ids=lambda block: block[:30])
def test_the_page_on_backends_runs(block: str) -> None:
    run(block, {"__name__": "documentation"})


@pytest.mark.local
def test_the_page_on_languages_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("docs/languages.md")

    run(block, {})

    assert "TypeScript: line 1, column 12: Argument of type" in capsys.readouterr().out


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    ]

    assert links
    assert [(page.name, t) for page, t in links if not (page.parent / t).exists()] == []
