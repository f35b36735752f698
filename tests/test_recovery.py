"""Conversations that outlive their sandboxes, told by agents of both frameworks.

The sandbox is killed before every third of thirty calls: on this machine by SIGKILL of its guest
program, on AgentCore by the end of its time and by a stop from outside.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import boto3
import psutil
import pytest

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.testing.script import Turn

SCOPE = Scope(user_id="ada", session_id="thread-1")
CALLS = 30
LOST = "Note: The earlier sandbox is gone"
Kill = Callable[[CodeInterpreter], None]


def kill_guest(interpreter: CodeInterpreter) -> None:
    (guest,) = (p for p in psutil.Process().children() if "bwrap" in p.name())
    os.kill(guest.pid, signal.SIGKILL)
    guest.wait(10)


@pytest.fixture(params=["local", "agentcore"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[CodeInterpreter, Kill]]:
    if request.param == "local":
        with CodeInterpreter(LocalBackend()) as interpreter:
            yield interpreter, kill_guest
        return
    session = boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    engine = LocalBackend(warm=1)
    emulator = AgentCoreEmulator(engine)
    with emulator as url, closing(engine):
        backend = AgentCoreBackend(boto_session=session, endpoint_url=url)
        client = session.client("bedrock-agentcore", endpoint_url=url)

        def kill(interpreter: CodeInterpreter) -> None:
            found = str(interpreter.describe(SCOPE)[0]["sandbox"])
            if len(emulator.requests) % 2:
                emulator.expire(found)
            else:
                which = {"codeInterpreterIdentifier": "aws.codeinterpreter.v1", "sessionId": found}
                client.stop_code_interpreter_session(**which)

        with CodeInterpreter(backend) as interpreter:
            yield interpreter, kill
        client.close()


def turns(interpreter: CodeInterpreter, kill: Kill, heard: list[str]) -> list[Turn]:
    """Thirty calls, each of which adds a line to a file and saves it."""

    def turn(number: int) -> Turn:
        def say(result: str) -> Turn:
            heard.append(result)
            if number and number % 3 == 0:
                kill(interpreter)
            code = f"with open('log.txt', 'a') as f: f.write('{number}\\n')\nprint('did {number}')"
            return [("execute_code", {"code": code, "output_filename": "log.txt"})]

        return say

    def end(result: str) -> Turn:
        heard.append(result)
        return "done"

    return [*(turn(number) for number in range(CALLS)), end]


def by_langchain(interpreter: CodeInterpreter, script: list[Turn]) -> None:
    from langchain.agents import create_agent

    from ci_toolkit.langchain import CodeInterpreterToolkit
    from ci_toolkit.testing.scripted_langchain import ScriptedChatModel

    tools = CodeInterpreterToolkit(interpreter, scope=SCOPE).get_tools()
    agent: Any = create_agent(ScriptedChatModel(script), tools)
    agent.invoke({"messages": [("user", "go")]}, {"recursion_limit": 100})


def by_strands(interpreter: CodeInterpreter, script: list[Turn]) -> None:
    from strands import Agent

    from ci_toolkit.strands import code_interpreter_tools
    from ci_toolkit.testing.scripted_strands import ScriptedModel

    tools: list[Any] = list(code_interpreter_tools(interpreter, scope=SCOPE))
    Agent(model=ScriptedModel(script), tools=tools, callback_handler=None)("go")


@pytest.mark.local
@pytest.mark.parametrize("drive", [by_langchain, by_strands])
def test_thirty_calls_go_on_over_nine_losses_each_told_once_with_every_file_back(
    place: tuple[CodeInterpreter, Kill], drive: Callable[[CodeInterpreter, list[Turn]], None]
) -> None:
    interpreter, kill = place
    heard: list[str] = []

    drive(interpreter, turns(interpreter, kill, heard))

    _, *results = heard
    assert len(results) == CALLS
    for number, result in enumerate(results):
        note, *lines = result.split("\n") if LOST in result else ("", *result.split("\n"))
        assert lines[0] == f"did {number}"
        assert bool(note) == (number > 0 and number % 3 == 0)
        assert not note or note.endswith("were lost. Restored: log.txt.")
    # Every line once: nothing was lost, and nothing ran twice.
    whole = "".join(f"{number}\n" for number in range(CALLS)).encode()
    assert interpreter.download("code-interpreter/log.txt", scope=SCOPE) == whole
