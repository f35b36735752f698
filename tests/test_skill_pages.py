"""The packaged skill: it says what the code does, loads everywhere, and its examples run."""

import ast
import json
import logging
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from langchain.agents import create_agent

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.doors import offers
from ci_toolkit.libraries import GROUPS, LIBRARIES, of_group
from ci_toolkit.results import Outcome
from ci_toolkit.schemas import json_schema
from ci_toolkit.skill import ROUTES, SKILL_DIR, skill_prompt
from ci_toolkit.skill.guidance import MISTAKES, NO_OUTSIDERS, PURPOSE, RULES
from ci_toolkit.skill.prompt import signature
from ci_toolkit.skill.routes import COMPARISON, NOTHING_TO_RUN, SKILL, SPECIALISED
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel
from ci_toolkit.tools import TOOLS, WORKSPACE_TOOLS

DOCUMENT = (SKILL_DIR / "SKILL.md").read_text(encoding="utf-8")
REFERENCES = SKILL_DIR / "references"
SERVICE = "https://api.example.com/cities.json"
SIGNATURES = {signature(offer) for offer in offers(workspace_tools=True)}


def table(head: tuple[str, ...], *rows: tuple[str, ...]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def test_the_document_is_short() -> None:
    pieces = re.findall(r"\w{1,4}|[^\w\s]", DOCUMENT)  # more of them than any tokeniser makes

    assert len(DOCUMENT.splitlines()) < 500
    assert len(pieces) < 5000


def test_the_document_s_tables_are_those_of_the_code() -> None:
    parameters = [
        (f"`{tool.name}`", f"`{name}`", value["type"], _default(tool, name), value["description"])
        for tool in TOOLS
        for name, value in json_schema(tool.arguments)["properties"].items()
    ]
    tables = [
        table(("task", "skill", "why"), *((r.task, f"`{r.skill}`", r.reason) for r in ROUTES)),
        table(
            ("", "code interpreter", "code agent"),
            *((c.respect, c.interpreter, c.agent) for c in COMPARISON),
        ),
        table(("tool", "parameter", "type", "default", "meaning"), *parameters),
        table(("mistake", "instead"), *((m.wrong, m.right) for m in MISTAKES)),
        table(
            ("group", "libraries"),
            *((group, " ".join(library.name for library in of_group(group))) for group in GROUPS),
        ),
    ]

    assert re.findall(r"(?:^\|.*\n)+", DOCUMENT, re.M) == tables


def test_the_document_says_the_same_as_the_fragment() -> None:
    words = " ".join(DOCUMENT.split())
    instead = ", ".join(f"{route.task} ({route.instead})" for route in SPECIALISED)
    parts = [
        PURPOSE,
        NO_OUTSIDERS,
        f": {instead}.",
        *(f"- {rule}" for rule in RULES),
        *(f"- {item.request}: {item.answer}" for item in NOTHING_TO_RUN),
    ]

    assert [part for part in parts if part not in words] == []


def test_the_libraries_page_is_the_list_in_code() -> None:
    page = (SKILL_DIR / "references" / "libraries.md").read_text(encoding="utf-8")

    tables = [
        table(
            ("library", "import", "needs"),
            *((lib.name, f"`{lib.imports}`", lib.needs) for lib in of_group(group)),
        )
        for group in GROUPS
    ]
    assert re.findall(r"(?:^\|.*\n)+", page, re.M) == tables
    assert re.findall(r"^## (.*)", page, re.M) == [group[0].upper() + group[1:] for group in GROUPS]


def test_what_stands_in_for_a_skill_is_a_library_that_is_promised() -> None:
    assert {route.instead for route in SPECIALISED} <= {library.name for library in LIBRARIES}


def test_every_call_that_the_texts_show_is_one_that_the_tools_take() -> None:
    arguments = {tool.name: tool.arguments for tool in (*TOOLS, *WORKSPACE_TOOLS)}
    texts = [skill_prompt(workspace_tools=True), *(f.read_text() for f in SKILL_DIR.rglob("*.md"))]
    names = "|".join(arguments)
    shown = [
        match
        for text in texts
        for match in re.findall(rf"^({names})\((.*)\)$|`({names})\(([^`\n]*)\)`", text, re.M)
    ]

    calls = [call for a, b, c, d in shown if (call := f"{a or c}({b or d})") not in SIGNATURES]
    assert len(calls) > 15
    for call in calls:
        name, sent = parsed(call)
        arguments[name].parse(sent)


def parsed(call: str) -> tuple[str, dict[str, Any]]:
    """A call as text, `name("value", key=[...])`, as the name and the arguments."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    tool = next(t for t in (*TOOLS, *WORKSPACE_TOOLS) if t.name == node.func.id)
    placed = zip(tool.arguments.model_fields, node.args, strict=False)
    named = [(keyword.arg, keyword.value) for keyword in node.keywords]
    return tool.name, {str(k): ast.literal_eval(value) for k, value in [*placed, *named]}


def _default(tool: Any, name: str) -> str:
    field = tool.arguments.model_fields[name]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return f'`"{default}"`' if isinstance(default, str) else f"`{default!r}`"


def test_links_in_the_skill_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", DOCUMENT)

    assert {(SKILL_DIR / link).is_file() for link in links} == {True}
    assert {SKILL_DIR / link for link in links} == {*(SKILL_DIR / "references").iterdir()}


# The loaders of others


def test_the_specification_s_own_validator_finds_nothing() -> None:
    from skills_ref import read_properties, validate

    assert validate(SKILL_DIR) == []
    assert read_properties(SKILL_DIR).name == SKILL


def test_strands_loads_the_skill(caplog: pytest.LogCaptureFixture) -> None:
    from strands import Agent
    from strands.vended_plugins.skills import AgentSkills, Skill

    with caplog.at_level(logging.WARNING):
        (loaded,) = Skill.from_directory(SKILL_DIR.parent, strict=True)
        plugin = AgentSkills(skills=[Skill.from_content(DOCUMENT, strict=True)])
        answers: list[str] = []

        def note(answer: str) -> str:
            answers.append(answer)
            return "done"

        model = ScriptedModel([[("skills", {"skill_name": SKILL})], note])
        Agent(model=model, plugins=[plugin], callback_handler=None)("What can you do?")

    assert loaded.instructions == DOCUMENT.partition("\n---\n")[2].strip()
    assert caplog.messages == []
    assert f"<name>{SKILL}</name>" in (model.system_prompt or "")
    assert answers[0].startswith(loaded.instructions)


def test_deepagents_loads_the_skill_and_reads_its_references() -> None:
    from deepagents.backends import FilesystemBackend
    from deepagents.middleware.filesystem import FilesystemMiddleware
    from deepagents.middleware.skills import SkillsMiddleware

    files = FilesystemBackend(root_dir=SKILL_DIR.parent, virtual_mode=True)
    answers: list[str] = []

    def note(answer: str) -> str:
        answers.append(answer)
        return "done"

    paths = [f"/{SKILL}/SKILL.md", f"/{SKILL}/references/patterns.md"]
    model = ScriptedChatModel([[("read_file", {"file_path": path}) for path in paths], note])
    middleware: Any = [
        FilesystemMiddleware(backend=files),
        SkillsMiddleware(backend=files, sources=["/"]),
    ]
    question: Any = {"messages": [("user", "What can you do?")]}
    create_agent(model, middleware=middleware).invoke(question)

    system = model.seen[0][0].text
    description = re.search(r"^description: (.*)$", DOCUMENT, re.M)
    assert description is not None
    assert f"**{SKILL}**: {description[1]}" in system
    assert "skill_load_warnings" not in system
    assert PURPOSE.split(". ")[1][:30] in answers[0]
    assert "Draw a dashboard" in answers[0]


# The examples


class _Cities(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps([{"city": "Oslo", "people": 717_710}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Cities)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/cities.json"
    server.shutdown()
    thread.join()
    server.server_close()


def calls_of(page: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls that a page shows: code, and under `text` the calls of other tools."""
    text = (REFERENCES / page).read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        if language == "python":
            wanted = re.match(r'# output_filename="(.*)"\n', block)
            named = {"output_filename": wanted[1]} if wanted else {}
            yield "execute_code", {"code": block, **named}
        else:
            yield from map(parsed, block.splitlines())


@pytest.mark.local
def test_the_examples_run_as_they_stand(service: str) -> None:
    """A model that takes the reference at its word gets answers, files, and no surprise."""
    scope = Scope(user_id="reader", session_id="patterns")
    calls = [*calls_of("patterns.md"), *calls_of("mistakes.md")]
    answers: list[tuple[str, Outcome]] = []
    backend = LocalBackend(network="host")
    with CodeInterpreter(backend, limits=Limits(timeout=120)) as interpreter:
        for name, arguments in calls:
            sent = json.loads(json.dumps(arguments).replace(SERVICE, service))
            if sent.get("command") == "pip install yfinance":
                continue  # tried where there is no internet, which is the same everywhere
            answers.append((str(sent), interpreter.call(name, sent, scope=scope)))
        saved = {file.key for file in interpreter.files(scope)}

    assert [(call, answer.text) for call, answer in answers if answer.is_error] == []
    said = "\n".join(answer.text for _, answer in answers)
    for words in ("Margin: ", "setosa", "Oslo", "north   10.0    2.5     25.0", "day,region,units"):
        assert words in said
    names = ["dashboard.png", "revenue.png", "clean.csv", "chart.png"]
    assert saved >= {f"{SKILL}/{name}" for name in names}
