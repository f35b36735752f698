"""The official conformance runner of the Model Context Protocol against our server.

The runner speaks with a server of its own making: tools, prompts and resources with fixed names.
Here those that ask for something that ours does are led to ours: `test_image_content` to a call of
`execute_code` that draws, and so on. What asks for what this server does not have is listed below.
"""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.mcp import create_server, http_app

NODE: Final = "node@22"  # the runner needs it, whatever else is installed

LACKING: Final = {
    "completion-complete": "no prompt or resource has arguments worth completing",
    "tools-call-audio": "outcomes have text and pictures",
    "tools-call-embedded-resource": "files are resources to be read, never put into results",
    "tools-call-mixed-content": "likewise; text and pictures together are seen in the image case",
    "resources-templates-read": "a file's content does not say its path, as the fixture's does",
    "prompts-get-with-args": "the one prompt has no arguments",
    "prompts-get-embedded-resource": "the one prompt is text",
    "prompts-get-with-image": "likewise",
}
"""Scenarios of both protocols that ask for what this server does not have, and why."""


@dataclass(frozen=True)
class Era:
    """A protocol, the runner that knows it, and what is expected to fail."""

    runner: str
    options: tuple[str, ...]
    failures: dict[str, str]


ERAS: Final = {
    "2025-11-25": Era(
        "@modelcontextprotocol/conformance@0.1.16",
        (),
        {
            **LACKING,
            "logging-set-level": "the protocol has deprecated logging; live output is progress",
            "tools-call-with-logging": "likewise",
            "tools-call-sampling": "the server asks nothing of the client's model",
            "tools-call-elicitation": "the server asks nothing of the user",
            "elicitation-sep1034-defaults": "likewise",
            "elicitation-sep1330-enums": "likewise",
            "resources-subscribe": "files are not watched",
            "resources-unsubscribe": "likewise",
        },
    ),
    # The only runner that knows this protocol is a preview.
    "2026-07-28": Era(
        "@modelcontextprotocol/conformance@0.2.0-alpha.12",
        ("--requirements", "2026-07-28"),
        {
            **LACKING,
            "server-stateless": "2 of 25 checks: no tool needs a capability of the client's",
            **{
                f"input-required-result-{case}": "the server asks nothing back"
                for case in (
                    "basic-elicitation",
                    "basic-sampling",
                    "basic-list-roots",
                    "request-state",
                    "multiple-input-requests",
                    "multi-round",
                    "non-tool-request",
                    "result-type",
                    "tampered-state",
                    "capability-check",
                    "missing-input-response",
                    "validate-input",
                )
            },
        },
    ),
}

SCOPE = Scope(user_id="ada", session_id="thread-1")
DRAW = {
    "code": "from PIL import Image; Image.new('RGB', (1, 1), 'red').save('a.png')",
    "output_filename": "a.png",
}
LED: dict[str, dict[str, Any]] = {
    "test_simple_text": {"name": "execute_code", "arguments": {"code": "print('hello')"}},
    "test_image_content": {"name": "execute_code", "arguments": DRAW},
    "test_multiple_content_types": {"name": "execute_code", "arguments": DRAW},
    "test_error_handling": {"name": "execute_code", "arguments": {"code": "1 / 0"}},
    "test_tool_with_progress": {"name": "execute_code", "arguments": {"code": "three lines"}},
    "test_simple_prompt": {"name": "code-interpreter"},
    "test://static-text": {"uri": "skill://code-interpreter/SKILL.md"},
    "test://static-binary": {"uri": "workspace:///uploads/dot.png"},
}


@cache
def runner(package: str) -> list[str] | str:
    """The command of a runner, or why there is none."""
    npx = shutil.which("npx")
    if npx is None:
        return "npx, which brings the conformance runner, is not installed"
    command = [npx, "--yes", "-p", NODE, "-p", package, "conformance"]
    try:
        tried = subprocess.run(
            [*command, "--version"],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            env={"npm_config_fetch_retries": "0", **os.environ},
        )
    except subprocess.TimeoutExpired:
        return "the conformance runner could not be fetched in time"
    return command if tried.returncode == 0 else f"the runner cannot be had: {tried.stderr[-300:]}"


async def lead(ctx: Any, call_next: Any) -> Any:
    """Leads requests for the runner's fixtures to what this server has."""
    params = ctx.params or {}
    wanted = str(params.get("name") or params.get("uri"))
    return await call_next(replace(ctx, params={**params, **LED.get(wanted, {})}))


@pytest.fixture
def url() -> Iterator[str]:
    backend = InMemoryBackend(run_python=True)

    def lines(request: Request) -> str:
        for number in range(3):
            request.print(f"line {number}\n")
            request.interrupted.wait(0.3)
        return ""

    backend.reply("three lines", lines)
    with CodeInterpreter(backend) as interpreter:
        interpreter.upload("dot.png", b"\x89PNG\xff", scope=SCOPE)
        server = create_server(interpreter, scope=SCOPE)
        server.middleware.append(lead)
        config = uvicorn.Config(http_app(server), port=0, ws="none", log_config=None)
        config.timeout_graceful_shutdown = 1
        serving = uvicorn.Server(config)
        thread = threading.Thread(target=serving.run)
        thread.start()
        while not serving.started:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.01)
        (listener,) = serving.servers[0].sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        serving.should_exit = True
        thread.join()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", ERAS)
def test_the_server_conforms_but_for_what_it_does_not_have(
    url: str, protocol: str, tmp_path: Path
) -> None:
    era = ERAS[protocol]
    command = runner(era.runner)
    if isinstance(command, str):
        pytest.skip(command)
    expected = tmp_path / "expected.yml"
    expected.write_text(json.dumps({"server": list(era.failures)}))  # JSON is YAML

    done = subprocess.run(
        [*command, "server", "--url", url, "--expected-failures", str(expected), *era.options],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )

    summary = done.stdout[done.stdout.find("=== SUMMARY") :]
    assert done.returncode == 0, summary + done.stderr[-2_000:]
    assert "✓ tools-call-image" in summary
