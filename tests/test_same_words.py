"""Heavier calls on the local sandbox and on AgentCore, as the emulator plays it.

`test_every_door` has the light ones, through every door.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator

pytestmark = pytest.mark.local

SCOPE = Scope(user_id="ada", session_id="thread-1")
CHART = (
    "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
    "plt.plot([1, 3, 2])\nplt.savefig('chart.png')"
)


@dataclass(frozen=True)
class Case:
    """One call, and why its words differ on the service, where they do."""

    tool: str
    arguments: dict[str, Any]
    differs: str = ""


def code(text: str, **more: Any) -> Case:
    return Case("execute_code", {"code": text, **more})


def command(text: str) -> Case:
    return Case("execute_command", {"command": text})


CASES = {
    "prints": code("x = 40; print('hello')"),
    "shows a frame": Case(
        "execute_code",
        {"code": "import pandas as pd\npd.DataFrame({'a': [1, 2]})"},
        differs="the service strips output at both ends, the first line's blanks included",
    ),
    "saves a chart": code(CHART, output_filename="chart.png"),
    "has no network": command("python -c \"import socket; socket.create_connection(('x', 1))\""),
    "loops for ever": code("while True: pass"),
    "still remembers": code("print(x)"),
    "runs JavaScript": code("console.log([1, 2].map((n) => n * 2))", language="javascript"),
    "leaves a figure open": Case(
        "execute_code",
        {"code": "plt.figure(); plt.plot([1, 2]); plt.show()"},
        differs="the service shows figures only where code saves them",
    ),
}


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, tuple[Any, Any]]]:
    """What both places answered to each case, in order, each in one session."""
    engine = LocalBackend(output_bytes=8 * 1024 * 1024)
    session = boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    limits = Limits(timeout=4)
    with AgentCoreEmulator(engine) as url:
        remote = AgentCoreBackend(boto_session=session, endpoint_url=url)
        with (
            CodeInterpreter(LocalBackend(), limits=limits) as here,
            CodeInterpreter(remote, limits=limits) as there,
        ):
            yield {name: (ask(here, case), ask(there, case)) for name, case in CASES.items()}
    engine.close()


def ask(interpreter: CodeInterpreter, case: Case) -> tuple[bool, str, list[tuple[str, bytes]]]:
    outcome = interpreter.call(case.tool, case.arguments, scope=SCOPE)
    text = re.sub(r"stopped after \d+\.\d s", "stopped after N s", outcome.text)
    text = re.sub(r"output-\w+\.txt", "output-N.txt", text)
    text = re.sub(r"Cell In\[\d+\]|cell \d+", "Cell In[N]", text)
    return outcome.is_error, text, [(image.media_type, image.data) for image in outcome.images]


@pytest.mark.parametrize("name", CASES)
def test_the_same_call_is_answered_in_the_same_words(
    answers: dict[str, tuple[Any, Any]], name: str
) -> None:
    here, there = answers[name]

    if CASES[name].differs:
        assert here != there, f"no longer differs: {CASES[name].differs}"
    else:
        assert here == there
