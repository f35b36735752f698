"""`ci-toolkit emulate` says when it is ready and ends cleanly; and the fixture for pytest."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ci_toolkit.testing.emulator import StartEmulator, agentcore_emulator, endpoint_variables

__all__ = ["agentcore_emulator"]

COMMAND = [sys.executable, "-c", "from ci_toolkit.cli import main; main()", "emulate"]
READY = "AgentCore emulator listening on "
WHICH = {"codeInterpreterIdentifier": "aws.codeinterpreter.v1"}


@contextmanager
def emulate(*options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command while it runs, and its URL."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith(f"{READY}http://127.0.0.1:"), process.communicate()
        yield process, line.removeprefix(READY).strip()
    finally:
        process.kill()
        process.communicate()


def run(code: str, language: str = "python") -> dict[str, Any]:
    with closing(boto3.client("bedrock-agentcore")) as client:
        session = client.start_code_interpreter_session(**WHICH)["sessionId"]
        arguments = {"code": code, "language": language}
        invoke: Any = client.invoke_code_interpreter
        answer = invoke(**WHICH, sessionId=session, name="executeCode", arguments=arguments)
        (event,) = answer["stream"]
        result: dict[str, Any] = event["result"]
        return result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_ends_it(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with emulate("--backend", "memory") as (process, url):
        for name, value in endpoint_variables(url).items():
            monkeypatch.setenv(name, value)
        found = run("6 * 7")["content"]
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=20)

    assert found == [{"type": "text", "text": "42"}]
    assert (process.returncode, out, err) == (0, "", "")


def test_faults_and_limits_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--backend", "memory", "--fault", "refuse:executeCode:1", "--max-sessions", "1")
    with emulate(*options) as (_, url):
        for name, value in endpoint_variables(url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ClientError, match="AccessDeniedException"):
            run("1")
        with pytest.raises(ClientError, match="maxCodeInterpreterSessions limit exceeded"):
            run("1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fault", "sulk"), "--fault is KIND[:TOOL[:TIMES]], not 'sulk'"),
        (("--host", "256.0.0.1"), "Cannot listen at 256.0.0.1"),
    ],
)
def test_a_users_mistake_is_one_line(options: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [*COMMAND, "--backend", "memory", *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"ci-toolkit: {words}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.local
def test_the_command_runs_code_in_local_sandboxes(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulate() as (process, url):
        for name, value in endpoint_variables(url).items():
            monkeypatch.setenv(name, value)
        found = run("console.log(6 * 7)", "javascript")["content"]
        os.kill(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=30)

    assert found == [{"type": "text", "text": "42"}]
    assert (process.returncode, out, err) == (0, "", "")


def test_the_fixture_leads_clients_to_an_emulator(agentcore_emulator: StartEmulator) -> None:
    emulator = agentcore_emulator()

    assert run("6 * 7")["content"] == [{"type": "text", "text": "42"}]
    assert [r.status for r in emulator.requests] == [200, 200]


def test_the_page_on_the_emulator_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs" / "emulator.md").read_text()
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]

    exec(compile(example, "docs/emulator.md", "exec"), {})

    assert capsys.readouterr().out == "42\n"
