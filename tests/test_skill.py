"""The guidance in a system prompt: it routes where the host can go, and stays short."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.base import Abilities, Backend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.cli import app
from ci_toolkit.doors import offers
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.schemas import json_schema
from ci_toolkit.skill import ROUTES, SKILL_DIR, skill_prompt
from ci_toolkit.skill.guidance import (
    LANGUAGES,
    MISTAKES,
    NO_OUTSIDERS,
    NO_STATE_RULE,
    PURPOSE,
    RULES,
    STATE_RULE,
    USES,
)
from ci_toolkit.skill.prompt import signature
from ci_toolkit.skill.routes import (
    CODE_AGENT,
    COMPARISON,
    NOTHING_TO_RUN,
    SKILL,
    SPECIALISED,
    WORKSPACE_SKILL,
)
from ci_toolkit.tools import TOOLS, WORKSPACE_TOOLS

DOCUMENT = (SKILL_DIR / "SKILL.md").read_text(encoding="utf-8")
SKILLS = [*(route.skill for route in SPECIALISED), CODE_AGENT, WORKSPACE_SKILL]


def backend(network: Any, *stateful: str) -> InMemoryBackend:
    return InMemoryBackend(abilities=Abilities(network=network, stateful=frozenset(stateful)))


BACKENDS: list[Backend | None] = [
    None,
    *(
        backend(network, *stateful)
        for network in ("none", "internet", "host")
        for stateful in ((), ("python",), tuple(LANGUAGES))
    ),
]


def subsets() -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(SKILLS, size) for size in range(len(SKILLS) + 1))


@cache
def every_prompt() -> tuple[str, ...]:
    return tuple(
        skill_prompt(skills, backend=place, workspace_tools=more)
        for skills in subsets()
        for place in BACKENDS
        for more in (False, True)
    )


def test_the_fragment_never_has_more_than_600_words() -> None:
    assert max(len(prompt.split()) for prompt in every_prompt()) <= 600


def test_the_fragment_routes_to_the_skills_that_the_host_has_and_to_no_others() -> None:
    for skills in subsets():
        prompt = skill_prompt(skills)

        named = {skill for skill in SKILLS if f"`{skill}`" in prompt}
        assert named == set(skills)


@pytest.mark.parametrize("available", [None, [], ["weather", SKILL]])
def test_without_a_known_skill_everything_is_made_here(available: list[str] | None) -> None:
    prompt = skill_prompt(available)

    made_here = ", ".join(f"{route.task} ({route.instead})" for route in SPECIALISED)
    assert f"Make these here: {made_here}." in prompt
    assert "No code agent is here" in prompt


def test_charts_go_to_the_design_skill_where_there_is_one() -> None:
    prompt = skill_prompt(["visual-design"])

    assert "- charts and diagrams: `visual-design` (first choice for production charts)" in prompt
    assert "charts and diagrams (matplotlib)" not in prompt
    assert "Word documents (python-docx)" in prompt


def test_the_fragment_carries_every_rule_mistake_contrast_and_reason_not_to_run() -> None:
    parts = [
        PURPOSE,
        NO_OUTSIDERS,
        *(f"- {rule}\n" for rule in RULES if rule != STATE_RULE),
        *(f"- {mistake.wrong} → {mistake.right}\n" for mistake in MISTAKES),
        *(f"- {c.respect}: {c.interpreter} vs. {c.agent}\n" for c in COMPARISON),
        *(f"- {item.request}: {item.answer}\n" for item in NOTHING_TO_RUN),
        *(f"- {r.task} ({r.reason})\n" for r in ROUTES if r.skill == SKILL),
    ]

    assert [(part, p) for p in every_prompt() for part in parts if part not in p] == []


def test_variables_are_promised_only_where_python_keeps_them() -> None:
    keeps, keeps_not = (
        skill_prompt(backend=backend("none", "python")),
        skill_prompt(backend=backend("none", "javascript")),
    )

    assert STATE_RULE in skill_prompt()
    assert STATE_RULE in keeps
    assert NO_STATE_RULE not in keeps
    assert NO_STATE_RULE in keeps_not
    assert STATE_RULE not in keeps_not


def test_the_fragment_names_tools_and_parameters_as_the_schemas_do() -> None:
    signatures = re.findall(r"^- `(\w+)\((.*)\)`: ", skill_prompt(workspace_tools=True), re.M)

    told = {name: re.findall(r"(\w+)(?:=|,|$)", inside) for name, inside in signatures}
    assert told == {
        tool.name: list(json_schema(tool.arguments)["properties"])
        for tool in (*TOOLS, *WORKSPACE_TOOLS)
    }
    assert [signature(offer) for offer in offers()] == [
        'execute_code(code, language="python", output_filename="")',
        "execute_command(command)",
        "file_operations(operation, paths=[], content=[])",
        "ci_push_to_workspace(paths=[])",
    ]


def test_what_is_said_of_the_tools_and_languages_covers_them_all() -> None:
    language = json_schema(TOOLS[0].arguments)["properties"]["language"]
    operation = json_schema(TOOLS[2].arguments)["properties"]["operation"]

    assert list(USES) == [tool.name for tool in (*TOOLS, *WORKSPACE_TOOLS)]
    assert list(LANGUAGES) == language["enum"]
    assert USES["file_operations"].startswith(", ".join(operation["enum"]))


def test_a_prefix_renames_the_tools_that_are_offered_and_nothing_else() -> None:
    plain = skill_prompt([WORKSPACE_SKILL])
    renamed = skill_prompt([WORKSPACE_SKILL], prefix="box_")

    tools = "|".join(tool.name for tool in TOOLS)
    assert renamed == re.sub(rf"\b(?={tools})\b", "box_", plain)
    assert "`box_execute_code(" in renamed
    assert "`workspace_read(" in renamed  # the host's own
    assert "`box_workspace_read(" in skill_prompt(workspace_tools=True, prefix="box_")


def test_a_way_to_read_files_back_is_told_only_where_there_is_one() -> None:
    assert "workspace_read" not in skill_prompt()
    assert "with the skill `workspace`" in skill_prompt([WORKSPACE_SKILL])
    assert "with the skill" not in skill_prompt([WORKSPACE_SKILL], workspace_tools=True)


@pytest.mark.parametrize(
    ("place", "said", "unsaid"),
    [
        (None, [], ["internet", "lost after a call"]),
        (
            backend("none", "python", "javascript", "typescript"),
            ["No internet: downloads and web requests fail."],
            ["lost after a call", "can reach"],
        ),
        (
            backend("internet", "python"),
            ["Code can reach the internet.", "Variables of JavaScript, TypeScript are lost"],
            ["the host's network", "No internet"],
        ),
        (backend("host"), ["and the host's network.", "Variables of Python, JavaScript, "], []),
    ],
)
def test_the_sandbox_is_described_as_the_backend_describes_itself(
    place: Backend | None, said: list[str], unsaid: list[str]
) -> None:
    prompt = skill_prompt(backend=place)

    assert [text for text in said if text not in prompt] == []
    assert [text for text in unsaid if text in prompt] == []


def test_languages_that_the_backend_does_not_take_are_not_told() -> None:
    prompt = skill_prompt(backend=InMemoryBackend(languages=("python",)))

    assert "- Languages: Python (recommended).\n" in prompt


def test_agentcore_is_told_of_without_an_account() -> None:
    prompt = skill_prompt(backend=AgentCoreBackend("eu-central-1"))

    assert "Variables of JavaScript, TypeScript are lost after a call" in prompt


def test_mistakes_in_the_options_are_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"such as \['visual-design'\]"):
        skill_prompt("visual-design")
    with pytest.raises(ConfigurationError, match="makes the tool name 'a bexecute_code'"):
        skill_prompt(prefix="a b")


def test_the_guidance_needs_no_optional_library() -> None:
    script = (
        "import sys, ci_toolkit.skill as skill; skill.skill_prompt();"
        "print(sorted({'langchain', 'langchain_core', 'strands', 'typer'} & {*sys.modules}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


# The command


def test_the_command_prints_the_document_or_the_fragment() -> None:
    whole = CliRunner().invoke(app, ["skill"])
    options = ["--available", "visual-design", "--prefix", "box_", "--workspace-tools"]
    fragment = CliRunner().invoke(app, ["skill", "--prompt", *options])

    assert (whole.exit_code, whole.stdout) == (0, DOCUMENT)
    expected = skill_prompt(["visual-design"], prefix="box_", workspace_tools=True)
    assert (fragment.exit_code, fragment.stdout) == (0, f"{expected}\n")


def test_the_command_installs_the_directory_and_keeps_what_was_changed_there(
    tmp_path: Path,
) -> None:
    from skills_ref import validate

    done = CliRunner().invoke(app, ["skill", "--out", str(tmp_path)])
    installed = tmp_path / SKILL

    assert (done.exit_code, done.stdout.strip()) == (0, str(installed))
    assert contents(installed) == contents(SKILL_DIR)
    assert validate(installed) == []

    (installed / "SKILL.md").write_text("mine")
    kept = CliRunner().invoke(app, ["skill", "--out", str(tmp_path)])
    assert isinstance(kept.exception, ConfigurationError)
    assert "has other contents (SKILL.md); --force replaces them" in str(kept.exception)
    assert (installed / "SKILL.md").read_text() == "mine"

    assert CliRunner().invoke(app, ["skill", "--out", str(tmp_path), "--force"]).exit_code == 0
    assert contents(installed) == contents(SKILL_DIR)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prompt", "--out", "x"], "choose one"),
        (["--prefix", "x"], "need --prompt"),
        (["--out", __file__], "cannot be written"),
    ],
)
def test_mistakes_with_the_command_are_told(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["skill", *options])

    assert isinstance(done.exception, ConfigurationError)
    assert said in str(done.exception)
