"""The pages of the documentation: every Python block runs as it stands, each page in one go."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from json import loads
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from typer.main import get_command

from ci_toolkit import CodeInterpreter, Limits
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.cli import app
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel
from ci_toolkit.workspaces import InMemoryWorkspace

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.M | re.S)
CALL = [("execute_code", {"code": "print(6 * 7)"})]


def fences(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of a page, without the indentation of a tab."""
    return [
        (language, re.sub(f"^{indent}", "", text, flags=re.M))
        for indent, language, text in FENCE.findall(page.read_text())
    ]


def python(page: str) -> list[str]:
    return [text for language, text in fences(ROOT / "docs" / page) if language == "python"]


def run(page: str, blocks: list[str], names: dict[str, Any]) -> dict[str, Any]:
    names["__name__"] = "documentation"
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


@pytest.fixture
def interpreter() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(InMemoryBackend(run_python=True)) as interpreter:
        yield interpreter


@pytest.mark.parametrize(
    "page", ["errors.md", "flow.md", "limits.md", "observability.md", "sessions.md", "users.md"]
)
def test_a_page_that_needs_nothing_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    run(page, python(page), {})


@pytest.mark.local
def test_the_page_on_agentcore_builds_what_it_shows() -> None:
    service, emulator = python("agentcore.md")

    names = run("agentcore.md", [service], {"workspace": InMemoryWorkspace()})
    names["interpreter"].close()
    run("agentcore.md", [emulator], {**names, "boto3": boto3})


def test_the_page_on_pictures_runs(interpreter: CodeInterpreter) -> None:
    names = run("pictures.md", python("pictures.md"), {"interpreter": interpreter})

    assert names["interpreter"].limits.images == 1


@pytest.mark.local
def test_the_front_page_builds_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    langchain, strands, agentcore = python("index.md")

    for block, model in [(langchain, ScriptedChatModel([])), (strands, ScriptedModel([]))]:
        names = run("index.md", [block], {"model": model})
        assert names["agent"]
        names["interpreter"].close()
    run("index.md", [agentcore], {})["interpreter"].close()


CHART = """
import csv
import matplotlib.pyplot as plt
rows = list(csv.DictReader(open("sales.csv")))
plt.bar([row["month"] for row in rows], [int(row["revenue"]) for row in rows])
plt.savefig("chart.png")
"""


@pytest.mark.local
@pytest.mark.parametrize("model", [ScriptedChatModel, ScriptedModel])
def test_the_tutorial_runs(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    by_hand, failing, upload, langchain, strands, result, end = python("tutorial.md")
    agent = langchain if model is ScriptedChatModel else strands
    chart = [("execute_code", {"code": CHART, "output_filename": "chart.png"})]
    names = {"model": model([chart, "Here it is."])}

    run("tutorial.md", [by_hand, failing, upload, agent, result, end], names)

    assert (tmp_path / "workspace/ada/thread-1/code-interpreter/chart.png").is_file()


class Login(AuthenticationBackend):
    """Believes a header, which only a test may do."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        return AuthCredentials(), SimpleUser(conn.headers["test-user"])


async def test_the_web_application_takes_uploads_and_gives_results(
    interpreter: CodeInterpreter,
) -> None:
    from langchain.agents import create_agent

    from ci_toolkit.langchain import CodeInterpreterToolkit

    application, record = python("uploads.md")
    code = "text = open('sales.csv').read()\nopen('page.html', 'w').write(text)"
    call = [("execute_code", {"code": code, "output_filename": "page.html"})]
    tools = CodeInterpreterToolkit(interpreter).get_tools()
    agent = create_agent(ScriptedChatModel([call, "Done."]), tools)
    names = run("uploads.md", [application], {"interpreter": interpreter, "agent": agent})
    served = AuthenticationMiddleware(names["app"], backend=Login())
    transport = httpx.ASGITransport(served)

    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        client.headers["test-user"] = "ada"
        put = await client.put("/threads/1/uploads/sales.csv", content=b"a,b\n")
        refused = await client.put("/threads/1/uploads/a%00b", content=b"")
        answer = await client.post("/threads/1/questions", json={"question": "Copy it."})
        page = await client.get("/threads/1/files/page.html")
        missing = await client.get("/threads/1/files/none")
        bob = await client.get("/threads/1/files/page.html", headers={"test-user": "bob"})
        gone = await client.delete("/threads/1")

    assert put.json() == {"name": "sales.csv", "size": 4}
    assert (refused.status_code, list(refused.json())) == (400, ["error"])
    assert answer.json() == {"answer": "Done.", "files": ["code-interpreter/page.html"]}
    assert (page.content, page.headers["content-disposition"]) == (b"a,b\n", "attachment")
    assert (missing.status_code, bob.status_code, gone.status_code) == (404, 404, 204)
    run("uploads.md", [record], {})


def test_both_ways_of_asking_a_human_run(interpreter: CodeInterpreter) -> None:
    langchain, strands = python("approval.md")
    script: Any = [CALL, lambda result: f"It is {result}."]

    names = run(
        "approval.md",
        [langchain],
        {"interpreter": interpreter, "model": ScriptedChatModel(script)},
    )
    assert names["done"]["messages"][-1].text == "It is 42."

    names = run(
        "approval.md", [strands], {"interpreter": interpreter, "model": ScriptedModel(script)}
    )
    assert str(names["done"]).strip() == "It is 42."


@pytest.mark.parametrize(("number", "model"), [(0, ScriptedChatModel), (1, ScriptedModel)])
def test_a_tool_of_one_s_own_brings_data_into_the_sandbox(
    interpreter: CodeInterpreter, number: int, model: Any
) -> None:
    blocks = python("custom-tools.md")
    answers: list[str] = []

    def note(result: str) -> str:
        answers.append(result)
        return "Done."

    script: Any = [
        [("fetch_orders", {"year": 2025})],
        [("execute_code", {"code": "print(open('orders-2025.csv').read())"})],
        note,
    ]
    names = {
        "interpreter": interpreter,
        "model": model(script),
        "orders": lambda year: f"id,total\n1,{year}\n".encode(),
    }

    run("custom-tools.md", [blocks[number], *blocks[2:]], names)

    assert answers == ["id,total\n1,2025"]


def test_the_page_on_tests_has_tests_that_pass() -> None:
    langchain, strands, *others = python("testing.md")

    for block in (langchain, strands):
        run("testing.md", [block], {})["test_the_agent_answers_with_what_was_printed"]()
    run("testing.md", others, {})


def test_the_table_of_limits_has_every_field_and_its_default() -> None:
    table = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", (ROOT / "docs/limits.md").read_text(), re.M)

    assert table == [(field.name, f"{field.default:,.0f}") for field in fields(Limits)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_every_page_is_run_by_a_test(page: Path) -> None:
    tests = "".join(file.read_text() for file in (ROOT / "tests").glob("*.py"))

    assert page.name in tests or python(page.name) == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_what_is_no_python_is_said_to_be_something_else(page: Path) -> None:
    found = fences(page)

    assert {language for language, _ in found} <= {"python", "sh", "console", "json", "text"}
    for language, text in found:
        if language == "json":
            loads(text)
        if language in ("sh", "console"):
            for words in commands(text):
                known(words)


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a block that call the command line of this package."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[:1] == ["ci-toolkit"]:
            yield words[1:]


def known(words: list[str]) -> None:
    """Fails where a command or an option does not exist."""
    command: Any = get_command(app)
    options: set[str] = set()
    for word in words:
        if word == "--":
            return
        commands = getattr(command, "commands", {})
        if word.startswith("--"):
            assert word.partition("=")[0] in options | names(command), (words, word)
        elif commands:
            assert word in commands, (words, word)
            options |= names(command)
            command = commands[word]


def names(command: Any) -> set[str]:
    """The options of a command."""
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_what_is_to_be_installed_or_run_exists(page: Path) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = page.read_text()
    extras = re.findall(r"pip install ['\"](?:ci-toolkit|\.)\[([\w,]+)\]", text)
    programs = re.findall(r"python (\S+\.py)", text)

    assert [name for extra in extras for name in extra.split(",") if name not in known] == []
    assert [program for program in programs if not (ROOT / program).is_file()] == []
