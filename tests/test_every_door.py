"""One call gives one answer, whichever door it comes in at, and wherever it runs."""

import asyncio
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, Literal

import boto3
import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from mcp import Client
from mcp_types import CallToolResult
from strands import Agent
from strands.agent.conversation_manager import NullConversationManager

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.errors import AccessDeniedError, SandboxLostError, ThrottledError
from ci_toolkit.langchain import CodeInterpreterToolkit
from ci_toolkit.mcp import create_server
from ci_toolkit.results import Execution
from ci_toolkit.strands import code_interpreter_tools
from ci_toolkit.testing.script import Calls, Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel

SCOPE = Scope(user_id="ada", session_id="thread-1")
SECRET = "AKIA-THE-OPERATORS-KEY"
PICTURE = "from PIL import Image; Image.new('RGB', (40, 30), 'teal').save('chart.png')"


@dataclass(frozen=True)
class Seen:
    """What a model is shown of one outcome."""

    is_error: bool
    text: str
    images: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Case:
    """One call, and what happens to the backend just before it."""

    tool: str
    arguments: Mapping[str, Any]
    is_error: bool = False
    images: int = 0
    says: str = ""
    before: Callable[[InMemoryBackend], None] = field(default=lambda backend: None)


def code(text: str, **more: Any) -> dict[str, Any]:
    return {"code": text, **more}


def lose(backend: InMemoryBackend) -> None:
    backend.fail("execute_code", SandboxLostError(SECRET, may_have_run=True))


def throttle(backend: InMemoryBackend) -> None:
    backend.fail("execute_code", ThrottledError(SECRET))


def deny(backend: InMemoryBackend) -> None:
    backend.fail("list_files", AccessDeniedError(SECRET))


CASES = {
    "prints": Case("execute_code", code("x = 41; print('hello')"), says="hello"),
    "remembers": Case("execute_code", code("x + 1"), says="42"),
    "prints nothing": Case("execute_code", code("y = 1"), says="printed nothing"),
    "raises": Case("execute_code", code("print('so far'); 1 / 0"), is_error=True, says="so far"),
    "draws": Case("execute_code", code(PICTURE, output_filename="chart.png"), images=1),
    "misnames its file": Case(
        "execute_code", code(PICTURE, output_filename="chrat.png"), is_error=True, says="chart.png"
    ),
    "floods": Case("execute_code", code("print('line\\n' * 20_000)"), says=".ci/output-"),
    "times out": Case("execute_code", code("sleep()"), is_error=True, says="Timed out"),
    "takes null for nothing": Case("execute_code", code("print(x)", output_filename=None)),
    "misses code": Case("execute_code", {}, is_error=True, says="code: Field required"),
    "has empty code": Case("execute_code", code("  "), is_error=True, says="must not be empty"),
    "misspells a parameter": Case(
        "execute_code", code("1", languge="python"), is_error=True, says="did you mean 'language'?"
    ),
    "forges a parameter": Case(
        "execute_code", code("1", config={"user_id": "eve"}), is_error=True, says="'config'"
    ),
    "wants an unknown language": Case("execute_code", code("1", language="cobol"), is_error=True),
    "runs a command": Case("execute_command", {"command": "ls -la"}, says="chart.png"),
    "runs a failing command": Case(
        "execute_command", {"command": "false"}, is_error=True, says="exit code 1"
    ),
    "writes": Case(
        "file_operations",
        {"operation": "write", "content": [{"path": "a.json", "text": '{"key": "väl\\n"}'}]},
        says="Wrote a.json",
    ),
    "writes from JSON text": Case(
        "file_operations",
        {"operation": "write", "content": '[{"path": "b.txt", "text": "b"}]'},
        says="Wrote b.txt",
    ),
    "reads": Case("file_operations", {"operation": "read", "paths": ["a.json"]}, says="väl"),
    "reads one path": Case("file_operations", {"operation": "READ", "paths": "b.txt"}, says="b"),
    "reads a picture": Case(
        "file_operations", {"operation": "read", "paths": ["chart.png"]}, images=1
    ),
    "reads what is not there": Case(
        "file_operations", {"operation": "read", "paths": ["b.txt", "zz.txt"]}, is_error=True
    ),
    "leaves its place": Case(
        "file_operations", {"operation": "read", "paths": ["../../etc/passwd"]}, is_error=True
    ),
    "lists": Case("file_operations", {"operation": "list"}, says="a.json"),
    "wants an unknown operation": Case(
        "file_operations", {"operation": "rename", "paths": ["a"]}, is_error=True, says="operation"
    ),
    "writes binary text": Case(
        "file_operations",
        {"operation": "write", "content": [{"path": "a.png", "text": "iVBOR"}]},
        is_error=True,
        says="binary",
    ),
    "removes": Case("file_operations", {"operation": "remove", "paths": ["b.txt"]}),
    "saves everything": Case("ci_push_to_workspace", {}, says="a.json"),
    "saves what is not there": Case("ci_push_to_workspace", {"paths": ["no"]}, is_error=True),
    "lists the workspace": Case("workspace_list", {}, says="code-interpreter/chart.png"),
    "reads a saved picture": Case(
        "workspace_read", {"path": "code-interpreter/chart.png"}, images=1
    ),
    "reads what was never saved": Case(
        "workspace_read", {"path": "chart.png"}, is_error=True, says="code-interpreter/chart.png"
    ),
    "is throttled": Case("execute_code", code("1"), is_error=True, says="busy", before=throttle),
    "is denied": Case(
        "file_operations", {"operation": "list"}, is_error=True, says="permitted", before=deny
    ),
    "loses its sandbox": Case("execute_code", code("1"), is_error=True, before=lose),
    "is told of the loss": Case("execute_code", code("print(1)"), says="were lost"),
    "goes on": Case("execute_code", code("print(2)"), says="2"),
}


def scripted_backend() -> InMemoryBackend:
    backend = InMemoryBackend(run_python=True)
    backend.reply("sleep()", "asleep", takes=1_000)
    backend.reply_command("ls -la", "chart.png\n")
    backend.reply_command("false", Execution(exit_code=1))
    return backend


@pytest.fixture
def backend() -> InMemoryBackend:
    return scripted_backend()


@pytest.fixture
def interpreter(backend: InMemoryBackend) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend, limits=Limits(text_chars=2_000)) as interpreter:
        yield interpreter


@dataclass(frozen=True)
class Step:
    """One call, and what happens just before it."""

    tool: str
    arguments: Mapping[str, Any]
    before: Callable[[], object]


Door = Callable[[CodeInterpreter, Scope, Sequence[Step]], list[Seen]]


def bare(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> list[Seen]:
    seen = []
    for step in steps:
        step.before()
        outcome = interpreter.call(step.tool, step.arguments, scope=scope)
        images = tuple((image.media_type, image.data) for image in outcome.images)
        seen.append(Seen(outcome.is_error, outcome.text, images))
    return seen


def script(steps: Sequence[Step]) -> list[Turn]:
    """Every step as a turn of its own, then a last word."""

    def turn(step: Step) -> Callable[[str], Calls]:
        def say(results: str) -> Calls:
            step.before()
            return [(step.tool, step.arguments)]

        return say

    return [*(turn(step) for step in steps), "done"]


def langchain_agent(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> Any:
    toolkit = CodeInterpreterToolkit(interpreter, scope=scope, workspace_tools=True)
    return create_agent(ScriptedChatModel(script(steps)), toolkit.get_tools())


def strands_agent(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> Agent:
    tools = code_interpreter_tools(interpreter, scope=scope, workspace_tools=True)
    # The default manager drops the oldest messages of a conversation as long as this one.
    everything = NullConversationManager()
    return Agent(
        model=ScriptedModel(script(steps)),
        tools=list(tools),
        conversation_manager=everything,
        callback_handler=None,
    )


ASKED: Any = {"messages": [("user", "go")]}
CONFIG: Any = {"recursion_limit": 500}


def langchain_sync(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> list[Seen]:
    result = langchain_agent(interpreter, scope, steps).invoke(ASKED, CONFIG)
    return [from_langchain(m) for m in result["messages"] if isinstance(m, ToolMessage)]


def langchain_async(
    interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]
) -> list[Seen]:
    result = asyncio.run(langchain_agent(interpreter, scope, steps).ainvoke(ASKED, CONFIG))
    return [from_langchain(m) for m in result["messages"] if isinstance(m, ToolMessage)]


def strands_sync(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> list[Seen]:
    agent = strands_agent(interpreter, scope, steps)
    agent("go")
    return from_strands(agent)


def strands_async(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> list[Seen]:
    agent = strands_agent(interpreter, scope, steps)
    asyncio.run(agent.invoke_async("go"))
    return from_strands(agent)


def mcp_modern(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> list[Seen]:
    return asyncio.run(over_mcp(interpreter, scope, steps, "auto"))


def mcp_legacy(interpreter: CodeInterpreter, scope: Scope, steps: Sequence[Step]) -> list[Seen]:
    return asyncio.run(over_mcp(interpreter, scope, steps, "legacy"))


async def over_mcp(
    interpreter: CodeInterpreter,
    scope: Scope,
    steps: Sequence[Step],
    mode: Literal["auto", "legacy"],
) -> list[Seen]:
    seen = []
    server = create_server(interpreter, scope=scope, workspace_tools=True)
    async with Client(server, mode=mode) as client:
        for step in steps:
            step.before()
            seen.append(from_mcp(await client.call_tool(step.tool, dict(step.arguments))))
    return seen


DOORS: dict[str, Door] = {
    "langchain": langchain_sync,
    "langchain, async": langchain_async,
    "strands": strands_sync,
    "strands, async": strands_async,
    "mcp": mcp_modern,
    "mcp with the handshake": mcp_legacy,
}


def from_langchain(message: ToolMessage) -> Seen:
    assert isinstance(message.artifact, dict)
    is_error = message.status == "error"
    assert message.artifact["is_error"] is is_error
    if isinstance(message.content, str):
        return Seen(is_error, message.content)
    text, *pictures = message.content
    assert isinstance(text, dict)
    assert text["type"] == "text"
    return Seen(is_error, text["text"], tuple(from_block(block) for block in pictures))


def from_block(block: str | dict[str, Any]) -> tuple[str, bytes]:
    assert isinstance(block, dict)
    assert set(block) == {"type", "base64", "mime_type"}
    assert block["type"] == "image"
    return block["mime_type"], b64decode(block["base64"])


def from_strands(agent: Agent) -> list[Seen]:
    blocks: list[Any] = [block for message in agent.messages for block in message["content"]]
    seen = []
    for result in (block["toolResult"] for block in blocks if "toolResult" in block):
        text, *pictures = result["content"]
        images = tuple(
            (f"image/{p['image']['format']}", p["image"]["source"]["bytes"]) for p in pictures
        )
        seen.append(Seen(result["status"] == "error", text["text"], images))
    return seen


def from_mcp(result: CallToolResult) -> Seen:
    assert result.structured_content["is_error"] is result.is_error
    text, *pictures = result.content
    assert text.type == "text"
    assert result.structured_content["text"] == text.text
    images = []
    for picture in pictures:
        assert picture.type == "image"
        images.append((picture.mime_type, b64decode(picture.data)))
    return Seen(result.is_error, text.text, tuple(images))


def steps(backend: InMemoryBackend) -> list[Step]:
    return [
        Step(case.tool, case.arguments, partial(case.before, backend)) for case in CASES.values()
    ]


def test_the_cases_end_as_they_say(interpreter: CodeInterpreter, backend: InMemoryBackend) -> None:
    seen = dict(zip(CASES, bare(interpreter, SCOPE, steps(backend)), strict=True))

    ends = {name: (s.is_error, len(s.images)) for name, s in seen.items()}
    assert ends == {name: (case.is_error, case.images) for name, case in CASES.items()}
    assert {n: s.text for n, s in seen.items() if CASES[n].says not in s.text} == {}
    assert SECRET not in str(seen)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_outcome_of_the_bare_interpreter(
    door: str, interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    other = scripted_backend()
    with CodeInterpreter(other, limits=Limits(text_chars=2_000)) as alone:
        expected = dict(zip(CASES, bare(alone, SCOPE, steps(other)), strict=True))

    seen = DOORS[door](interpreter, SCOPE, steps(backend))

    assert dict(zip(CASES, seen, strict=True)) == expected


async def test_asynchronous_calls_name_the_tools_with_their_prefix_too() -> None:
    with CodeInterpreter(InMemoryBackend(run_python=True)) as interpreter:
        tool = CodeInterpreterToolkit(interpreter, scope=SCOPE, prefix="ab_").get_tools()[0]
        arguments = {"code": "open('a.csv', 'w').close()", "output_filename": "b.csv"}

        assert "ab_ci_push_to_workspace(" in str(await tool.ainvoke(arguments))
        assert "ab_ci_push_to_workspace(" in str(tool.invoke(arguments))


@dataclass(frozen=True)
class Real:
    """One call in a real sandbox, and why its words differ on the service, where they do."""

    tool: str
    arguments: Mapping[str, Any]
    is_error: bool = False
    images: int = 0
    says: str = ""
    differs: str = ""
    loses: bool = False


def files(operation: str, *paths: str, **more: Any) -> dict[str, Any]:
    return {"operation": operation, **({"paths": list(paths)} if paths else {}), **more}


REAL = {
    "prints": Real("execute_code", code("x = 40; print('hello')"), says="hello"),
    "remembers": Real("execute_code", code("x + 2"), says="42"),
    "prints nothing": Real("execute_code", code("y = 1"), says="printed nothing"),
    "raises after printing": Real(
        "execute_code", code("print('before')\n1 / 0"), is_error=True, says="before"
    ),
    "is no syntax": Real("execute_code", code("a = ("), is_error=True, says="SyntaxError"),
    "writes to stderr": Real(
        "execute_code", code("import sys; print('out'); print('err', file=sys.stderr)"), says="err"
    ),
    "reads an upload": Real("execute_code", code("print(open('up.csv').read())"), says="1,2"),
    "misnames its file": Real(
        "execute_code",
        code("open('real.csv', 'w').write('1')", output_filename="reel.csv"),
        is_error=True,
        says="real.csv",
    ),
    "runs a failing command": Real(
        "execute_command", {"command": "echo out; echo err >&2; exit 3"}, is_error=True, says="3"
    ),
    "draws": Real(
        "execute_code",
        code(PICTURE, output_filename="chart.png"),
        images=1,
        says="code-interpreter/chart.png",
    ),
    "finds no command": Real("execute_command", {"command": "no-such-command"}, is_error=True),
    "writes": Real(
        "file_operations", files("write", content=[{"path": "d/a.txt", "text": "h\u00e4llo\r\n"}])
    ),
    "reads well and badly": Real(
        "file_operations", files("read", "d/a.txt", "missing.txt", "../up"), is_error=True
    ),
    "reads a picture": Real("file_operations", files("read", "chart.png"), images=1),
    "lists": Real("file_operations", files("list", "d", "."), says="chart.png"),
    "removes well and badly": Real("file_operations", files("remove", "d", "no"), is_error=True),
    "saves well and badly": Real(
        "ci_push_to_workspace", {"paths": ["real.csv", "missing"]}, is_error=True
    ),
    "saves everything": Real("ci_push_to_workspace", {}, says="real.csv"),
    "reads a saved picture": Real(
        "workspace_read", {"path": "code-interpreter/chart.png"}, images=1
    ),
    "mistypes a parameter": Real("execute_code", {"cod": "1"}, is_error=True, says="'code'"),
    "prints far too much": Real(
        "execute_code",
        code("for n in range(30_000): print('line', n)"),
        says="line 29999",
        differs="the file that keeps all of it has another name",
    ),
    "takes too long": Real(
        "execute_code", code("import time; time.sleep(60)"), is_error=True, says="Timed out"
    ),
    "still remembers": Real("execute_code", code("print(x)"), says="40"),
    "has lost its sandbox": Real("file_operations", files("list"), says="were lost", loses=True),
    "goes on": Real("execute_code", code("z = 3; print(z)"), says="3"),
}
"""What is asked, in this order, in one conversation.

Between two files some calls go by, since a run that follows at once is not told apart by the clock.
"""

PLACES = ("local", "agentcore")
DIFFERENT_EACH_TIME = (
    (r"stopped after \d+\.\d s", "stopped after N s"),
    (r"output-\w+\.txt", "output-N.txt"),
    (r"Cell In\[\d+\]|cell \d+", "Cell In[N]"),
)


def asked(interpreter: CodeInterpreter, name: str) -> dict[str, Seen]:
    """What a door shows of all the real cases, in a conversation of its own."""
    scope = Scope(user_id="ada", session_id=name)
    interpreter.upload("up.csv", b"a,b\n1,2\n", scope=scope)

    def lose() -> None:
        interpreter.with_sandbox(lambda sandbox: sandbox.close(), scope=scope)

    door = DOORS.get(name, bare)
    real = [
        Step(case.tool, case.arguments, lose if case.loses else lambda: None)
        for case in REAL.values()
    ]
    shown = {}
    for case, seen in zip(REAL, door(interpreter, scope, real), strict=True):
        text = seen.text
        for pattern, same in DIFFERENT_EACH_TIME:
            text = re.sub(pattern, same, text)
        shown[case] = Seen(seen.is_error, text, seen.images)
    return shown


@pytest.fixture(scope="module")
def table() -> Iterator[dict[tuple[str, str], dict[str, Seen]]]:
    """What every door showed in every place; `bare` is the interpreter itself."""
    limits = Limits(timeout=6)
    engine = LocalBackend(output_bytes=8 * 1024 * 1024)
    session = boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )
    with AgentCoreEmulator(engine) as url:
        remote = AgentCoreBackend(boto_session=session, endpoint_url=url)
        with (
            CodeInterpreter(LocalBackend(), limits=limits) as local,
            CodeInterpreter(remote, limits=limits) as agentcore,
            ThreadPoolExecutor(6) as pool,
        ):
            place = {"local": local, "agentcore": agentcore}
            combined = list(product(PLACES, ("bare", *DOORS)))
            shown = pool.map(lambda pair: asked(place[pair[0]], pair[1]), combined)
            yield dict(zip(combined, shown, strict=True))
    engine.close()


@pytest.mark.local
@pytest.mark.parametrize("place", PLACES)
def test_in_a_real_sandbox_the_cases_end_as_they_say(
    table: dict[tuple[str, str], dict[str, Seen]], place: str
) -> None:
    seen = table[place, "bare"]

    ends = {name: (s.is_error, len(s.images)) for name, s in seen.items()}
    assert ends == {name: (case.is_error, case.images) for name, case in REAL.items()}
    assert {n: s.text for n, s in seen.items() if REAL[n].says not in s.text} == {}


@pytest.mark.local
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("place", PLACES)
def test_in_a_real_sandbox_every_door_shows_the_same(
    table: dict[tuple[str, str], dict[str, Seen]], place: str, door: str
) -> None:
    assert table[place, door] == table[place, "bare"]


@pytest.mark.local
@pytest.mark.parametrize("name", REAL)
def test_the_service_answers_in_the_words_of_the_local_sandbox(
    table: dict[tuple[str, str], dict[str, Seen]], name: str
) -> None:
    local, agentcore = table["local", "bare"][name], table["agentcore", "bare"][name]

    if REAL[name].differs:
        assert local != agentcore, f"no longer differs: {REAL[name].differs}"
    else:
        assert local == agentcore
