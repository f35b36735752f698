"""The documentation's site is built without a warning, and a reader's browser asks nobody else."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Dead links, dead anchors and pages that no menu leads to are warnings."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--site-dir", folder], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]

    assert [page for page in pages if not (site / page).with_suffix(".html").is_file()] == []


class Fetched(HTMLParser):
    """What a browser fetches by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.addresses.append(named.get("src") or "")
        if tag == "link" and named.get("rel") in ("stylesheet", "icon", "preconnect"):
            self.addresses.append(named.get("href") or "")


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = Fetched()
    for page in site.rglob("*.html"):
        fetched.feed(page.read_text())
    styles = "".join(style.read_text() for style in site.rglob("*.css"))

    assert len(fetched.addresses) > 100
    assert [a for a in fetched.addresses if re.match(r"(https?:)?//", a)] == []
    assert re.findall(r"url\(\"?https?:[^)]*\)", styles) == []


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("index", ["CodeInterpreter.with_sandbox", "Scope", "Limits", "Outcome"]),
        ("doors", ["CodeInterpreterToolkit", "code_interpreter_tools"]),
        ("backends", ["LocalBackend", "AgentCoreBackend", "InMemoryBackend", "Sandbox"]),
        ("workspaces", ["DirectoryWorkspace", "S3Workspace", "Workspace", "Presigned"]),
        ("results", ["Execution"]),
        ("errors", ["SandboxLostError", "ConfigurationError"]),
        ("skill", ["skill_prompt", "SKILL_DIR", "evaluate"]),
        ("emulator", ["AgentCoreEmulator", "Fault", "EmulatorOptions"]),
        ("testing", ["BackendContract", "ScriptedChatModel", "ScriptedModel"]),
    ],
)
def test_the_reference_has_what_users_import(site: Path, page: str, names: list[str]) -> None:
    found = set(
        re.findall(r'id="(ci_toolkit[\w.]*)"', (site / f"reference/{page}.html").read_text())
    )

    assert [name for name in names if not any(f".{f}".endswith(f".{name}") for f in found)] == []
