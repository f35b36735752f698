"""`ci-toolkit sandbox-env`: a real environment and the real pip, small packages, no network."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ci_toolkit.cli.sandbox_env import _table
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.libraries import LIBRARIES
from ci_toolkit.sandbox_env import (
    Environment,
    Missing,
    Step,
    Tried,
    install,
    install_missing,
    missing,
    requirements,
)

COMMAND = [sys.executable, "-c", "from ci_toolkit.cli import main; main()", "sandbox-env"]
ORJSON = [library for library in LIBRARIES if library.name == "orjson"]
UJSON = [library for library in LIBRARIES if library.name == "ujson"]


def wheel(folder: Path, requirement: str) -> None:
    """Writes a package that has nothing but its version."""
    name, _, version = requirement.replace("-", "_").partition("==")
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The only place where pip looks for packages."""
    folder = tmp_path_factory.mktemp("wheels")
    for requirement in requirements(ORJSON):
        wheel(folder, requirement)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("made") / "env")
    environment.make(sys.executable)
    return environment


def test_what_is_missing_is_installed_with_its_pinned_version_and_told(
    environment: Environment,
) -> None:
    steps: list[Step] = []

    installed = install(environment, ORJSON, base=sys.executable, report=steps.append)

    pinned = {each.replace("==", "-").replace("_", "-").lower() for each in requirements(ORJSON)}
    assert {each.replace("_", "-").lower() for each in installed} == pinned
    assert [step.text for step in steps if step.text.startswith("Installing")] == [
        f"Installing {len(pinned)} packages"
    ]
    assert environment.runs("import orjson, ipykernel")


def test_a_run_adds_what_is_missing_and_the_next_one_nothing(environment: Environment) -> None:
    uninstall = [environment.python, "-m", "pip", "uninstall", "-qqy", "orjson"]
    subprocess.run(uninstall, check=True)

    mended = install(environment, ORJSON, base="not looked at", report=lambda _: None)
    again = install(environment, ORJSON, base="not looked at", report=lambda _: None)

    assert [each for each in mended if each.startswith("orjson-")]
    assert again == ()


def test_what_cannot_be_had_is_told_in_pips_words_and_the_rest_stays(
    environment: Environment,
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"kept for a second try:\nERROR: .*ujson==6\.1\.0"
    ):
        install(environment, UJSON, base=sys.executable, report=lambda _: None)

    assert environment.runs("import pip")


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(ConfigurationError, match="something else"):
        Environment(tmp_path).make(sys.executable)

    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("base", ["/nowhere/python", "/bin/true"])
def test_what_is_no_python_is_refused(tmp_path: Path, base: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{base} is no interpreter"):
        Environment(tmp_path / "env").make(base)


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)

    with pytest.raises(ConfigurationError, match=r"Python 3\.9; .* need 3\.11"):
        Environment(tmp_path / "env").make(str(old))


def test_what_the_system_lacks_is_found_by_trying(environment: Environment) -> None:
    lacking = missing(environment, LIBRARIES)  # nothing that needs the system is installed in it

    assert {each.library for each in lacking} == {"Wand", "opencv-python"}
    assert missing(environment, ORJSON) == []


@pytest.mark.parametrize(("user", "program"), [(1000, "/usr/bin/apt-get"), (0, None)])
def test_the_system_is_left_alone_without_root_and_without_its_package_manager(
    monkeypatch: pytest.MonkeyPatch, user: int, program: str | None
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("shutil.which", lambda _: program)

    assert not install_missing([Missing("Wand", "ImageMagick", ("imagemagick",))])


def test_the_command_shows_its_plan() -> None:
    done = subprocess.run([*COMMAND, "--dry-run"], capture_output=True, text=True, check=True)

    everyday = [library for library in LIBRARIES if library.everyday]
    assert done.stdout.splitlines() == list(requirements(everyday))


def test_the_command_ends_with_what_is_to_be_done_next(
    environment: Environment, wheels: Path
) -> None:
    everyday = [library for library in LIBRARIES if library.everyday]
    for requirement in requirements(everyday):
        wheel(wheels, requirement)

    command = [*COMMAND, "--path", str(environment.path), "--no-system"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == f"Use it:  LocalBackend(python='{environment.python}')"
    assert "9 packages were installed now." in done.stdout


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    command = [*COMMAND, "--path", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == (
        f"ci-toolkit: {tmp_path} holds something else than an environment: name another --path.\n"
    )


def test_what_a_library_says_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print(_table([Tried(LIBRARIES[0], "1", 1.0, "KeyError: '[/b]' \x1b[2J")]))

    assert "KeyError: '[/b]' \ufffd[2J" in capsys.readouterr().out
