"""What is installed: the wheel holds all that the package needs, and nothing of its tests."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = ROOT / "src"
    tracked = {
        str(file.relative_to(package))
        for file in (package / "ci_toolkit").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    assert inside == tracked
    skill = "ci_toolkit/skill/code-interpreter"
    assert {f"{skill}/SKILL.md", f"{skill}/references/libraries.md"} <= inside
    assert "ci_toolkit/backends/local/guest/prelude.js" in inside


def test_the_wheel_describes_itself_as_the_index_wants_it(wheel: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
