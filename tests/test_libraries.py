"""The list of promised libraries: what is held to it, and what is tried with each."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.libraries import GROUPS, LIBRARIES, Library, of_group
from ci_toolkit.sandbox_env import Tried, check, requirements
from ci_toolkit.sandbox_env.installing import PINS, RUNTIME
from ci_toolkit.sandbox_env.trials import TRIALS

ROOT = Path(__file__).parent.parent
BY_NAME = {library.name: library for library in LIBRARIES}
NOWHERE = Library(name="not-on-any-index", imports="nowhere", groups=("web",))


def extra(name: str) -> set[str]:
    """What an extra of the package installs, without versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[str] = project["optional-dependencies"][name]
    return {re.split(r"[<>=]", requirement)[0] for requirement in found}


def installed() -> list[str]:
    """The libraries that the environment of the tests happens to have."""
    present = {each.name.lower() for each in metadata.distributions()}
    return [name for name in TRIALS if name.lower() in present]


def test_there_are_fifty_eight_each_told_in_a_group() -> None:
    assert len(BY_NAME) == len(LIBRARIES) == 58
    assert [group for group in GROUPS if not of_group(group)] == []
    assert {group for library in LIBRARIES for group in library.groups} == set(GROUPS)
    assert [each.name for each in of_group("mathematics and optimisation")] == [
        "cvxpy",
        "ortools",
        "pulp",
        "z3-solver",
        "networkx",
        "igraph",
    ]


def test_a_library_of_two_groups_is_told_in_both_and_listed_once() -> None:
    assert BY_NAME["beautifulsoup4"].groups == ("files and documents", "web")
    assert BY_NAME["beautifulsoup4"] in of_group("web")
    assert Counter(each.name for group in GROUPS for each in of_group(group)).total() == 59


def test_the_extras_install_what_is_listed() -> None:
    assert extra("libraries") == {library.requirement for library in LIBRARIES}
    assert extra("data") == {library.name for library in LIBRARIES if library.everyday}
    assert extra("local") == set(RUNTIME)


def test_everything_is_pinned_once_for_each_machine() -> None:
    pins = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]

    odd = [
        pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[\w.]+(; [\w ]+[!=]= \"\w+\")?", pin)
    ]
    assert odd == []
    assert Counter(pin.partition("==")[0] for pin in pins).most_common(2) == [
        ("z3-solver", 2),
        ("absl-py", 1),
    ]
    assert len(requirements(LIBRARIES)) == len(LIBRARIES) + len(RUNTIME)


@pytest.mark.parametrize(("machine", "version"), [("x86_64", "5.4.1.0"), ("aarch64", "4.13.0.0")])
def test_a_machine_gets_the_version_that_it_has_a_wheel_of(
    machine: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci_toolkit.sandbox_env.installing.machine", lambda: machine)

    assert requirements([BY_NAME["z3-solver"]])[-1] == f"z3-solver=={version}"


def test_extras_of_a_library_are_asked_for() -> None:
    (markitdown,) = requirements([BY_NAME["markitdown"]])[len(RUNTIME) :]

    assert markitdown == "markitdown[docx,pdf,pptx,xls,xlsx]==0.1.9"


# ---- what is tried


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_trial_imports_its_library_and_can_fail(library: Library) -> None:
    code = TRIALS[library.name].code
    tree: Any = compile(
        code, library.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert library.imports in imported
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree)) or "verify(" in code


def test_there_is_a_trial_for_each_and_none_beside() -> None:
    assert set(TRIALS) == set(BY_NAME)


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def sandbox(backend: LocalBackend) -> Sandbox:
    return backend.start(name="trials")


@pytest.mark.local
@pytest.mark.parametrize("name", installed())
def test_a_library_that_is_here_does_its_work(sandbox: Sandbox, name: str) -> None:
    ran = sandbox.execute_code(TRIALS[name].code, timeout=120)

    assert (ran.stderr, ran.exit_code) == ("", 0)


@pytest.mark.local
def test_a_check_tells_what_works_and_what_is_not_there(backend: LocalBackend) -> None:
    good, absent = check(backend, [BY_NAME["numpy"], NOWHERE])

    assert (good.works, good.version) == (True, metadata.version("numpy"))
    assert good.seconds > 0
    assert absent == Tried(NOWHERE, "", 0.0, "not installed")


def test_a_check_tells_how_a_trial_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = type(TRIALS["numpy"])("divides", "import numpy\n1 / 0")
    monkeypatch.setitem(TRIALS, "numpy", trial)

    (tried,) = check(InMemoryBackend(run_python=True), [BY_NAME["numpy"]])

    assert (tried.works, tried.does) == (False, "divides")
    assert tried.failure == "ZeroDivisionError: division by zero"
