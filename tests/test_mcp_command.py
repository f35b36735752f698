"""`ci-toolkit mcp`: a real client, a real process, the real sandbox, over stdio and over HTTP."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import CallToolResult
from strands import Agent
from strands.tools.mcp import MCPClient

from ci_toolkit import ConfigurationError
from ci_toolkit.cli import app
from ci_toolkit.testing.scripted_strands import ScriptedModel

pytestmark = pytest.mark.local

COMMAND = [sys.executable, "-c", "from ci_toolkit.cli import main; main()", "mcp"]
READY = "MCP server listening on "
COUNT = {"code": "n = globals().get('n', 0) + 1; print(n)"}
CHART = {
    "code": "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
    "plt.plot([1, 3, 2])\nplt.savefig('chart.png')",
    "output_filename": "chart.png",
}
ENDLESS = {"code": "print('first', flush=True)\nwhile True: pass"}


def server(*options: str) -> StdioServerParameters:
    return StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *options])


@contextmanager
def started(*options: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*COMMAND, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_works_in_the_sandbox_over_stdio(mode: Any) -> None:
    live: list[str] = []
    seen = asyncio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        live.append(message or "")
        seen.set()

    async with Client(server(), mode=mode) as client:
        await client.call_tool("execute_code", COUNT)
        endless = asyncio.create_task(
            client.call_tool("execute_code", ENDLESS, progress_callback=note)
        )
        await asyncio.wait_for(seen.wait(), 60)
        endless.cancel()
        await asyncio.wait({endless})
        after = await client.call_tool("execute_code", COUNT)
        failing = await client.call_tool("execute_command", {"command": "echo so far; exit 3"})
        chart = await client.call_tool("execute_code", CHART)
        resources = (await client.list_resources()).resources

    assert live == ["first\n"]
    assert text(after) == "2"
    assert failing.is_error
    assert text(failing) == "so far\nFailed with exit code 3."
    assert [block.type for block in chart.content] == ["text", "image"]
    assert resources[-1].uri == "workspace:///code-interpreter/chart.png"


def test_nothing_but_the_protocol_goes_to_stdout() -> None:
    init = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    # This backend runs the code in the server's own process, so its print is the server's.
    code = "import os, sys; os.write(1, b'noise\\n'); sys.__stdout__.write('noise\\n')"
    requests = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": init},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "execute_code", "arguments": {"code": code}},
        },
    ]
    with started("--backend", "memory") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for request in requests:
            process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        lines = [process.stdout.readline() for _ in range(2)]
        out, err = process.communicate(timeout=30)

    assert [json.loads(line)["id"] for line in lines] == [1, 2]
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err


async def test_a_signal_ends_the_sandbox_with_the_process() -> None:
    process_id = 0

    async def note(progress: float, total: float | None, message: str | None) -> None:
        nonlocal process_id
        (child,) = (p for p in psutil.Process().children() if "mcp" in p.cmdline())
        family.extend(child.children(recursive=True))
        process_id = child.pid
        os.kill(process_id, signal.SIGTERM)

    family: list[psutil.Process] = []
    async with Client(server()) as client:
        with pytest.raises(Exception, match=r"(?i)closed"):
            await client.call_tool("execute_code", ENDLESS, progress_callback=note)

    assert family
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


async def test_a_named_session_goes_on_in_another_process(tmp_path: Path) -> None:
    options = ("--session", "main", "--workspace", str(tmp_path))
    async with Client(server(*options)) as client:
        await client.call_tool("execute_code", CHART)
    async with Client(server(*options, "--workspace-tools")) as client:
        back = await client.call_tool("execute_command", {"command": "ls"})
        read = await client.call_tool("workspace_read", {"path": "code-interpreter/chart.png"})

    assert "lost" in text(back)
    assert "chart.png" in text(back).splitlines()[-1]
    assert [block.type for block in read.content] == ["text", "image"]


def test_a_strands_agent_uses_the_server() -> None:
    transport: Any = lambda: stdio_client(server())  # noqa: E731 - Strands' types know mcp 1 only
    client = MCPClient(transport)
    script: Any = [
        [("execute_code", COUNT)],
        [("execute_code", COUNT)],
        [("execute_code", CHART)],
        [("execute_command", {"command": "exit 3"})],
        "done",
    ]
    agent = Agent(model=ScriptedModel(script), tools=[client], callback_handler=None)

    agent("go")

    agent.cleanup()
    blocks: list[Any] = [block for message in agent.messages for block in message["content"]]
    results = [block["toolResult"] for block in blocks if "toolResult" in block]
    assert [result["status"] for result in results] == ["success"] * 3 + ["error"]
    assert [result["content"][0]["text"] for result in results[:2]] == ["1", "2"]
    assert [set(block) for block in results[2]["content"]] == [{"text"}, {"image"}]
    assert results[3]["structuredContent"]["execution"]["exit_code"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_over_http_the_command_serves_until_a_signal_ends_it(number: signal.Signals) -> None:
    options = ("--transport", "http", "--port", "0", "--backend", "memory")
    with started(*options) as process:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.startswith(f"{READY}http://127.0.0.1:"), process.communicate()
        async with Client(line.removeprefix(READY).strip()) as client:
            counts = [text(await client.call_tool("execute_code", COUNT)) for _ in range(2)]
        process.send_signal(number)
        out, err = await asyncio.to_thread(process.communicate, timeout=30)

    assert counts == ["1", "2"]
    assert (out, err) == ("", "")


def test_over_http_the_command_asks_for_the_token_of_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI_TOOLKIT_MCP_TOKEN", "a-token-that-is-long-enough")
    with started("--transport", "http", "--port", "0", "--backend", "memory") as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix(READY).strip()
        status = httpx2.post(url, json={}).status_code

    assert status == 401


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--transport", "http", "--host", "0.0.0.0"], "could run code"),
        (["--transport", "http", "--token", "short"], "at least 16 characters"),
        (
            ["--transport", "http", "--token", "a" * 20, "--token", "b" * 20],
            "two tokens of 'owner'",
        ),
        (["--prefix", "a b"], "The prefix 'a b'"),
        (["--session", ""], "session_id must not be empty"),
    ],
)
def test_a_mistake_is_told(options: list[str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        app(["mcp", "--backend", "memory", *options], standalone_mode=False)
