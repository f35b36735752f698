"""What the documentation shows is run as it stands."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from strands import Agent

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.cli import app
from ci_toolkit.strands import CodeInterpreterPlugin
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel

ROOT = Path(__file__).parent.parent
CALL = [("execute_code", {"code": "print(6 * 7)"})]
CALL_ALWAYS = [CALL] * 1000


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
@pytest.mark.parametrize(
    ("number", "calls", "answer"),
    [
        (0, CALL, "42"),
        (3, CALL, "42"),
        (5, [("ci_push_to_workspace", {})], "There were no files to save."),
        (6, [("skills", {"skill_name": "code-interpreter"})], "# Code interpreter"),
        (7, [("shell", {"command": "echo 42"})], '{"output": "42'),
    ],
)
def test_the_agents_of_the_page_on_strands_run(
    number: int, calls: Turn, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[str] = []

    def note(found: str) -> str:
        seen.append(found)
        return "done"

    names = run(blocks("docs/strands.md")[number], {"model": ScriptedModel([calls, note])})

    if not seen:
        names["agent"]("go")
    assert seen[0].startswith(answer)


def test_the_graph_of_the_page_on_strands_runs() -> None:
    models = {name: ScriptedModel([CALL, "done"]) for name in ("analyst", "critic")}

    names = run(blocks("docs/strands.md")[1], {"models": models})

    assert names["result"].status.value == "completed"
    assert [len(model.seen) for model in models.values()] == [2, 2]


def test_the_scopes_of_the_page_on_strands_are_scopes() -> None:
    names = run(blocks("docs/strands.md")[2], {})

    assert names["shared"].name == names["by_tenant"].name == "ci_toolkit"


@pytest.mark.local
async def test_the_live_output_of_the_page_on_strands_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = run(blocks("docs/strands.md")[4], {})
    model = ScriptedModel([CALL, "done"])

    with CodeInterpreter(LocalBackend()) as interpreter:
        plugin = CodeInterpreterPlugin(interpreter)
        await names["show"](Agent(model=model, plugins=[plugin], callback_handler=None), "go")

    assert capsys.readouterr().out == "42\n"


@pytest.mark.parametrize("number", [0, 1])
def test_the_page_on_foreign_sandboxes_runs(number: int) -> None:
    names = run(blocks("docs/foreign-sandboxes.md")[number], {"__name__": "documentation"})

    names["interpreter"].close()
    assert "outcome" not in names or names["outcome"].text == "42"


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


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_page_on_mcp_runs(number: int) -> None:
    answers: list[str] = []

    def note(answer: str) -> str:
        answers.append(answer)
        return "done"

    names = {"__name__": "documentation", "model": ScriptedModel([CALL, note])}

    run(blocks("docs/mcp.md")[number], names)

    assert answers == (["42"] if number == 2 else [])


def test_the_settings_that_the_page_on_mcp_shows_start_the_command() -> None:
    settings = [
        json.loads(block)
        for block in re.findall(r"```json\n(.*?)```", (ROOT / "docs/mcp.md").read_text(), re.S)
    ]
    servers = [each for one in settings for group in one.values() for each in group.values()]

    assert len(servers) == 3
    for server in servers:
        assert server["command"] == "ci-toolkit"
        # The help is shown for options that exist only.
        with pytest.raises(SystemExit) as ended:
            app([*server["args"], "--help"])
        assert ended.value.code == 0


@pytest.mark.filterwarnings("ignore:Support for class-based `config`")  # a library of deepagents
@pytest.mark.parametrize("number", range(4))
def test_the_page_on_the_skill_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models answer everything with a call of the sandbox, where an agent is only built."""
    monkeypatch.chdir(tmp_path)
    model: Any = ScriptedModel if number == 1 else ScriptedChatModel
    with CodeInterpreter(InMemoryBackend()) as interpreter:
        names: dict[str, Any] = {"interpreter": interpreter, "model": model(CALL_ALWAYS)}
        run(blocks("docs/skill.md")[number], names)

    assert {"agent", "report"} & names.keys()


@pytest.mark.parametrize("block", blocks("docs/langchain.md"), ids=lambda block: block[-30:])
def test_the_page_on_langchain_runs(block: str) -> None:
    with CodeInterpreter(InMemoryBackend(run_python=True)) as interpreter:
        names = run(block, {"interpreter": interpreter, "model": ScriptedChatModel([CALL, "done"])})

    if "answer" in names:
        assert [message.text for message in names["answer"]["messages"][-2:]] == ["42", "done"]
    if "lines" in names:
        assert "".join(text for _, _, _, text in names["lines"]) == "42\n"
    if "done" in names:
        assert names["code"] == "print(6 * 7)"
        assert [message.text for message in names["done"]["messages"][-2:]] == ["42", "done"]
    assert {"answer", "tools", "lines", "done"} & names.keys()


@pytest.mark.filterwarnings("ignore:Support for class-based `config`")  # a library of deepagents
@pytest.mark.parametrize("number", range(2))
def test_the_page_on_deepagents_runs(number: int) -> None:
    with CodeInterpreter(InMemoryBackend(run_python=True)) as interpreter:
        model = ScriptedChatModel([CALL, "done"] * 2)
        names = run(
            blocks("docs/deepagents.md")[number], {"interpreter": interpreter, "model": model}
        )
        state = names["agent"].invoke({"messages": [("user", "go")]})

    assert [message.text for message in state["messages"][-2:]] == ["42", "done"]
