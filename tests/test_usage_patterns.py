"""The patterns of use, as they stand, through both frameworks on the local sandbox."""

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from PIL import Image as Pillow
from strands import Agent

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.langchain import CodeInterpreterToolkit
from ci_toolkit.strands import code_interpreter_tools
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel
from ci_toolkit.workspaces import DirectoryWorkspace

pytestmark = pytest.mark.local


@dataclass(frozen=True)
class Result:
    """What the model saw of one call."""

    text: str
    is_error: bool
    images: int


Door = Callable[[CodeInterpreter, Scope, list[Turn]], list[Result]]


def through_langchain(
    interpreter: CodeInterpreter, scope: Scope, script: list[Turn]
) -> list[Result]:
    """A real agent loop; one user message, all calls."""
    tools = CodeInterpreterToolkit(interpreter, scope=scope).get_tools()
    question: Any = {"messages": [("user", "go")]}
    said = create_agent(ScriptedChatModel([*script, "done"]), tools).invoke(question)
    return [
        Result(
            text=message.text,
            is_error=message.status == "error",
            images=sum(
                isinstance(block, dict) and block["type"] == "image"
                for block in (message.content if isinstance(message.content, list) else [])
            ),
        )
        for message in said["messages"]
        if isinstance(message, ToolMessage)
    ]


def through_strands(interpreter: CodeInterpreter, scope: Scope, script: list[Turn]) -> list[Result]:
    """The same with the other framework."""
    agent = Agent(
        model=ScriptedModel([*script, "done"]),
        tools=list(code_interpreter_tools(interpreter, scope=scope)),
        callback_handler=None,
    )
    asyncio.run(agent.invoke_async("go"))
    results = [
        block["toolResult"]
        for message in agent.messages
        for block in message["content"]
        if "toolResult" in block
    ]
    return [
        Result(
            text="\n".join(part["text"] for part in result["content"] if "text" in part),
            is_error=result["status"] == "error",
            images=sum("image" in part for part in result["content"]),
        )
        for result in results
    ]


@pytest.fixture(params=[through_langchain, through_strands], ids=["langchain", "strands"])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


@contextmanager
def local(folder: Path, network: Literal["none", "host"] = "none") -> Iterator[CodeInterpreter]:
    """A sandbox on this machine, and a folder."""
    backend = LocalBackend(network=network)
    limits = Limits(timeout=120)
    with CodeInterpreter(backend, DirectoryWorkspace(folder), limits=limits) as interpreter:
        yield interpreter


@contextmanager
def agentcore(folder: Path, network: Literal["none", "host"] = "none") -> Iterator[CodeInterpreter]:
    """AgentCore as the emulator plays it over such a sandbox, over real HTTP with real boto3."""
    engine = LocalBackend(network=network, output_bytes=8 * 1024 * 1024)
    session = boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    with AgentCoreEmulator(engine) as url:
        backend = AgentCoreBackend(boto_session=session, endpoint_url=url)
        limits = Limits(timeout=120)
        with CodeInterpreter(backend, DirectoryWorkspace(folder), limits=limits) as interpreter:
            yield interpreter
    engine.close()


Place = Callable[..., AbstractContextManager[CodeInterpreter]]


@pytest.fixture(params=[local, agentcore], ids=["local", "agentcore"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.param
    return found


@pytest.fixture
def interpreter(place: Place, tmp_path: Path) -> Iterator[CodeInterpreter]:
    with place(tmp_path) as interpreter:
        yield interpreter


def code(text: str, **more: str) -> tuple[str, dict[str, str]]:
    return "execute_code", {"code": text, **more}


def test_data_analysis(door: Door, interpreter: CodeInterpreter, scope: Scope) -> None:
    analysis = """
import pandas as pd
import numpy as np
np.random.seed(42)
df = pd.DataFrame({
    'date': pd.date_range('2024-01-01', periods=100, freq='D'),
    'revenue': np.random.normal(1000, 200, 100),
    'cost': np.random.normal(600, 100, 100),
})
df['profit'] = df['revenue'] - df['cost']
print(df.describe())
print(f"Total revenue: ${df['revenue'].sum():,.2f}")
print(f"Average margin: {(df['profit'].sum() / df['revenue'].sum() * 100):.1f}%")
"""
    (result,) = door(interpreter, scope, [[code(analysis)]])

    assert not result.is_error
    for said in (
        "revenue",
        "profit",
        "count",
        "Total revenue: $97,923.07",
        "Average margin: 38.5%",
    ):
        assert said in result.text


DASHBOARD = """
import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
fig, axes = plt.subplots(2, 2, figsize=(12, 10))
axes[0, 0].bar(['Q1', 'Q2', 'Q3', 'Q4'], [100, 150, 120, 180])
axes[0, 1].plot(np.arange(12), np.arange(12) ** 1.5, marker='o')
axes[1, 0].pie([30, 25, 20, 25], labels=['A', 'B', 'C', 'D'], autopct='%1.1f%%')
axes[1, 1].scatter(np.arange(50), np.arange(50) % 7, alpha=0.6)
plt.tight_layout()
plt.savefig('dashboard.png', dpi=300, bbox_inches='tight')
print('Dashboard saved')
"""


def test_visualisation(door: Door, interpreter: CodeInterpreter, scope: Scope) -> None:
    """The picture in the workspace opens, and is byte for byte the one in the sandbox."""
    digest = "import hashlib; print(hashlib.sha256(open('dashboard.png', 'rb').read()).hexdigest())"
    result, printed = door(
        interpreter, scope, [[code(DASHBOARD, output_filename="dashboard.png")], [code(digest)]]
    )

    data = interpreter.download("code-interpreter/dashboard.png", scope=scope)
    picture = Pillow.open(io.BytesIO(data))
    picture.load()
    assert picture.format == "PNG"
    assert min(picture.size) > 2500
    assert (result.is_error, result.images) == (False, 1)
    assert "Saved dashboard.png to the workspace as code-interpreter/dashboard.png" in result.text
    stored = interpreter.call(
        "execute_command", {"command": "sha256sum dashboard.png"}, scope=scope
    ).text.split()[0]
    assert printed.text == stored


def test_machine_learning(door: Door, interpreter: CodeInterpreter, scope: Scope) -> None:
    learning = """
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import classification_report
iris = load_iris()
X_train, X_test, y_train, y_test = train_test_split(
    iris.data, iris.target, test_size=0.2, random_state=42)
model = RandomForestClassifier(n_estimators=100, random_state=42)
model.fit(X_train, y_train)
print(classification_report(y_test, model.predict(X_test), target_names=iris.target_names))
"""
    (result,) = door(interpreter, scope, [[code(learning)]])

    assert not result.is_error
    assert "setosa" in result.text
    assert "accuracy                           1.00        30" in result.text


def test_sql_with_duckdb_over_a_frame_in_scope(
    door: Door, interpreter: CodeInterpreter, scope: Scope
) -> None:
    make = """
import pandas as pd
sales = pd.DataFrame({'region': ['N', 'S', 'N', 'E', 'S', 'E'], 'amount': [5, 7, 11, 1, 2, 3]})
"""
    query = """
import duckdb
result = duckdb.sql('''
    SELECT region, SUM(amount) AS total FROM sales
    GROUP BY region HAVING SUM(amount) > 4 ORDER BY total DESC LIMIT 5
''').df()
print(result.to_string(index=False))
"""
    _, result = door(interpreter, scope, [[code(make)], [code(query)]])

    assert result.text.split() == ["region", "total", "N", "16.0", "S", "9.0"]


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps([{"city": "Oslo", "t": 3}, {"city": "Rome", "t": 21}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/weather"
    server.shutdown()
    thread.join()
    server.server_close()


def test_json_from_a_web_service(
    door: Door, place: Place, service: str, tmp_path: Path, scope: Scope
) -> None:
    fetch = f"""
import requests
import pandas as pd
response = requests.get({service!r}, timeout=10)
df = pd.DataFrame(response.json())
print(df.to_string(index=False))
"""
    with place(tmp_path / "reached", "host") as interpreter:
        (result,) = door(interpreter, scope, [[code(fetch)]])
    with place(tmp_path / "refused") as interpreter:
        (refused,) = door(interpreter, scope, [[code(fetch)]])

    assert result.text.split() == ["city", "t", "Oslo", "3", "Rome", "21"]
    assert refused.is_error
    assert "ConnectionError" in refused.text


def test_several_steps_with_state(door: Door, interpreter: CodeInterpreter, scope: Scope) -> None:
    rows = "".join(f"2024-01-{day:02},{day * 10},{day}\n" for day in range(1, 29))
    interpreter.upload("raw.csv", f"date,revenue,units\n{rows}".encode(), scope=scope)
    script: list[Turn] = [
        [code("import pandas as pd\ndf = pd.read_csv('raw.csv').dropna()\nprint(len(df))")],
        [
            code(
                "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
                "df['price'] = df.revenue / df.units\nplt.plot(df.revenue)\n"
                "plt.savefig('revenue.png')\nprint(df.price.mean())",
                output_filename="revenue.png",
            )
        ],
        [code("df.to_csv('clean.csv', index=False)\nprint('exported')")],
        [("file_operations", {"operation": "read", "paths": ["clean.csv"]})],
        [("ci_push_to_workspace", {"paths": ["clean.csv", "revenue.png"]})],
    ]

    loaded, charted, exported, read, pushed = door(interpreter, scope, script)

    assert loaded.text == "28"
    assert charted.text.startswith("10.0\nSaved revenue.png")
    assert charted.images == 1
    assert exported.text == "exported"
    assert read.text.startswith("date,revenue,units,price\n2024-01-01,10,1,10.0\n")
    assert not pushed.is_error
    assert interpreter.download("code-interpreter/clean.csv", scope=scope).decode() == read.text


def test_the_small_examples(door: Door, interpreter: CodeInterpreter, scope: Scope) -> None:
    sine = """
import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
x = np.linspace(0, 10, 100)
plt.plot(x, np.sin(x))
plt.savefig('sine.png', dpi=300)
print('done')
"""
    content = [{"path": "config.json", "text": '{"key": "value"}'}]
    script: list[Turn] = [
        [code("import pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 3]})\nprint(df.describe())")],
        [code(sine, output_filename="sine.png")],
        [("execute_command", {"command": "python --version && pip list | head -20"})],
        [("file_operations", {"operation": "write", "content": content})],
        [("file_operations", {"operation": "list", "paths": ["."]})],
        [("file_operations", {"operation": "read", "paths": ["config.json"]})],
        [("execute_command", {"command": "pip install yfinance"})],
        [("ci_push_to_workspace", {"paths": ["sine.png", "config.json"]})],
        [("ci_push_to_workspace", {})],
    ]

    described, drawn, version, _, listed, read, installed, pushed, everything = door(
        interpreter, scope, script
    )

    assert "mean   2.0" in described.text
    assert drawn.text.startswith("done\nSaved sine.png")
    assert version.text.startswith("Python 3.")
    assert "Package" in version.text
    assert [line.split()[0] for line in listed.text.splitlines()] == ["config.json", "sine.png"]
    assert read.text == '{"key": "value"}'
    assert installed.is_error
    assert "This sandbox has no internet" in installed.text
    assert not pushed.is_error
    assert everything.text.count("unchanged since it was saved") == 2


@pytest.mark.parametrize("language", ["python", "javascript", "typescript"])
def test_a_variable_of_the_first_call_is_there_in_the_third(
    door: Door, interpreter: CodeInterpreter, scope: Scope, language: str
) -> None:
    if language not in interpreter.backend.abilities.stateful:
        pytest.skip(f"{language} keeps no state on {interpreter.backend.name}, and says so")
    declare = {
        "python": "x = 40",
        "javascript": "const x = 40",
        "typescript": "const x: number = 40",
    }
    show = "print(x + 2)" if language == "python" else "console.log(x + 2)"

    *_, result = door(
        interpreter,
        scope,
        [
            [code(declare[language], language=language)],
            [("execute_command", {"command": "true"})],
            [code(show, language=language)],
        ],
    )

    assert result.text == "42"
