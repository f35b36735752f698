"""What a process that crashed has left is found and ended, and nobody else's sandbox is."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pytest

from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.backends.orphans import Orphans
from ci_toolkit.emulator import AgentCoreEmulator

CRASHING = """
import os, sys
from ci_toolkit.backends.local import LocalBackend
backend = LocalBackend(root=sys.argv[1], isolation=sys.argv[2])
sandbox = backend.start(name="x")
sandbox.execute_command("setsid sleep 1000 > /dev/null 2>&1 &", timeout=10)
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def url() -> Iterator[str]:
    with AgentCoreEmulator(InMemoryBackend(run_python=True)) as url:
        yield url


def agentcore(url: str) -> AgentCoreBackend:
    session = boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    return AgentCoreBackend(boto_session=session, endpoint_url=url)


def test_sessions_of_another_process_are_found_by_their_name_and_stopped(url: str) -> None:
    crashed, other = agentcore(url), agentcore(url)
    lost = crashed.start(name="ci-toolkit-1234")
    mine = crashed.start(name="somebody-else")
    own = other.start(name="ci-toolkit-5678")

    (found,) = other.list_leftovers("ci-toolkit-")
    other.end_leftover(found.id)

    assert (found.id, found.name, found.abandoned) == (lost.id, "ci-toolkit-1234", False)
    assert found.started > 0
    assert other.list_leftovers("ci-toolkit-") == ()
    assert {other.attach(each.id).id for each in (mine, own)} == {mine.id, own.id}
    other.end_leftover(found.id)  # stopped twice is stopped
    crashed.close()
    other.close()


def test_more_sessions_than_a_page_holds_are_all_found(url: str) -> None:
    crashed, other = agentcore(url), agentcore(url)
    started = {crashed.start(name=f"ci-toolkit-{n}").id for n in range(105)}

    assert {found.id for found in other.list_leftovers("ci-toolkit-")} == started

    crashed.close()
    other.close()


def test_backends_that_can_find_leftovers_say_so(tmp_path: Path, url: str) -> None:
    assert isinstance(agentcore(url), Orphans)
    assert isinstance(LocalBackend(root=tmp_path, isolation="none"), Orphans)
    assert not isinstance(InMemoryBackend(), Orphans)


@pytest.mark.local
@pytest.mark.parametrize("isolation", ["bubblewrap", "none"])
def test_what_a_killed_process_left_is_removed_and_what_it_ran_is_ended(
    tmp_path: Path, isolation: str
) -> None:
    other = LocalBackend(root=tmp_path)
    live = other.start(name="live")
    crashing = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CRASHING, str(tmp_path), isolation],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert crashing.stdout is not None
    assert crashing.stdout.readline() == "started\n"
    folders = {path.name for path in tmp_path.iterdir()}
    assert other.list_leftovers("ci-toolkit-") == ()

    crashing.kill()
    crashing.communicate()
    (found,) = other.list_leftovers("ci-toolkit-")
    other.end_leftover(found.id)

    assert found.abandoned
    assert found.name in folders
    assert other.list_leftovers("ci-toolkit-") == ()
    assert {path.name for path in tmp_path.iterdir()} == folders - {found.name}
    assert _sleeping(tmp_path) == []
    assert live.execute_code("6 * 7", timeout=20).stdout.strip() == "42"
    other.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.local
def test_folders_that_are_not_of_this_toolkit_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ci-toolkit-cache").mkdir()
    (tmp_path / "ci-toolkit-notes").write_text("mine")
    (tmp_path / "ci-toolkit-link").symlink_to(tmp_path)
    other = LocalBackend(root=tmp_path)

    assert other.list_leftovers("") == ()
    other.end_leftover(str(tmp_path / "ci-toolkit-cache"))

    assert len(list(tmp_path.iterdir())) == 3
    other.close()


def _sleeping(root: Path) -> list[psutil.Process]:
    """What runs in a folder below."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "sleep" and str(root) in process.cwd():
                found.append(process)
        except psutil.Error:
            continue
    return found
