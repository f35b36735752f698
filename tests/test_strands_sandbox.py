"""`CodeInterpreterSandbox`: the whole of Strands' `Sandbox`, and Strands' own tools on it."""

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from strands import Agent, SandboxPathNotFoundError, SandboxTimeoutError
from strands.sandbox import ExecutionResult, Sandbox, StreamChunk
from strands.vended_plugins.skills import AgentSkills
from strands.vended_tools import file_editor, python_repl, shell

from ci_toolkit import CodeInterpreter, ConfigurationError, Limits, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.errors import BackendUnavailableError, SandboxLostError
from ci_toolkit.skill import SKILL_DIR
from ci_toolkit.strands import CodeInterpreterSandbox
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_strands import ScriptedModel

SCOPE = Scope(user_id="ada", session_id="thread-1")
SECRET = "AKIA-THE-OPERATORS-KEY"


@pytest.fixture
def fake(interpreter: CodeInterpreter) -> CodeInterpreterSandbox:
    return CodeInterpreterSandbox(interpreter, scope=SCOPE)


@pytest.fixture(scope="module")
def local() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(LocalBackend(), limits=Limits(timeout=30)) as interpreter:
        yield interpreter


@pytest.fixture(scope="module")
def sandbox(local: CodeInterpreter) -> CodeInterpreterSandbox:
    return CodeInterpreterSandbox(local, scope=SCOPE)


def results(agent: Agent) -> list[Any]:
    blocks: list[Any] = [block for message in agent.messages for block in message["content"]]
    return [block["toolResult"] for block in blocks if "toolResult" in block]


def speak(sandbox: Sandbox, tools: list[Any], *turns: Turn) -> list[tuple[str, str]]:
    model = ScriptedModel([*turns, "done"])
    agent = Agent(model=model, tools=tools, sandbox=sandbox, callback_handler=None)
    agent("go")
    return [(result["status"], result["content"][0]["text"]) for result in results(agent)]


def test_arguments_are_checked_while_building(interpreter: CodeInterpreter) -> None:
    with pytest.raises(ConfigurationError, match="Scope"):
        CodeInterpreterSandbox(interpreter, scope="thread-1")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no CodeInterpreter"):
        CodeInterpreterSandbox("interpreter", scope=SCOPE)  # type: ignore[arg-type]


def test_agents_are_given_tools_on_it_unless_they_are_not_wanted(
    fake: CodeInterpreterSandbox, interpreter: CodeInterpreter
) -> None:
    model = ScriptedModel(["x"])
    names = Agent(model=model, sandbox=fake, callback_handler=None).tool_names
    bare = CodeInterpreterSandbox(interpreter, scope=SCOPE, tools=False)

    assert sorted(names) == ["sandbox_file_editor", "sandbox_python_repl", "sandbox_shell"]
    assert bare.get_tools() == []


async def test_files_are_written_read_listed_and_removed(fake: CodeInterpreterSandbox) -> None:
    data = bytes(range(256))
    await fake.write_file("a/b.bin", data)
    await fake.write_text("a/ü.txt", "text")
    await fake.write_text("a/c/d.txt", "")

    assert await fake.read_file("a/b.bin") == data
    assert await fake.read_text("a/ü.txt") == "text"
    found = [(e.name, e.is_dir, e.size) for e in await fake.list_files("a")]
    assert found == [("b.bin", False, 256), ("c", True, None), ("ü.txt", False, 4)]
    await fake.remove_file("a/b.bin")
    with pytest.raises(FileNotFoundError):
        await fake.read_file("a/b.bin")


async def test_what_is_no_file_and_no_directory_is_told_by_its_class(
    fake: CodeInterpreterSandbox,
) -> None:
    await fake.write_text("a/b.txt", "")

    for path in ("missing", "a/b.txt", "a/b.txt/"):
        with pytest.raises(SandboxPathNotFoundError):
            await fake.list_files(path)
    with pytest.raises(IsADirectoryError):
        await fake.remove_file("a")
    with pytest.raises(FileNotFoundError):
        await fake.remove_file("missing")
    with pytest.raises(IsADirectoryError):
        await fake.read_file("a")
    with pytest.raises(PermissionError):
        await fake.write_file("../out", b"")


async def test_a_loss_is_told_once_to_whoever_reads_next(
    fake: CodeInterpreterSandbox, backend: InMemoryBackend
) -> None:
    await fake.execute_code("x = 1", "python3")
    backend.fail("list_files", SandboxLostError("gone", may_have_run=False))

    assert await fake.list_files("") == []  # in a new sandbox; a list has no place for words
    told = await fake.execute_code("print('x' in globals())", "python3")
    after = await fake.execute_code("print(2)", "python3")

    assert told.stdout == "False\n"
    assert told.stderr.startswith("Note: The earlier sandbox is gone")
    assert after.stderr == ""


async def test_a_loss_is_told_in_an_error(
    fake: CodeInterpreterSandbox, backend: InMemoryBackend
) -> None:
    await fake.write_text("a.txt", "")
    backend.fail("read_files", SandboxLostError("gone", may_have_run=False))

    with pytest.raises(FileNotFoundError, match=r"^Note: The earlier sandbox is gone(.|\n)*a\.txt"):
        await fake.read_file("a.txt")


@pytest.mark.parametrize("error", [BackendUnavailableError(SECRET), RuntimeError(SECRET)])
def test_what_a_backend_fails_with_never_reaches_the_model(
    fake: CodeInterpreterSandbox, backend: InMemoryBackend, error: Exception
) -> None:
    backend.fail("start", error, times=None)
    calls: Turn = [("shell", {"command": "id"}), ("python_repl", {"code": "1"})]

    found = speak(fake, [shell, python_repl], calls)

    assert [status for status, _ in found] == ["error", "error"]
    assert SECRET not in str(found)


async def test_languages_are_known_by_the_names_of_their_interpreters(
    fake: CodeInterpreterSandbox,
) -> None:
    for name in ("python", "python3", "python3.12"):
        assert (await fake.execute_code("print(1)", name)).stdout == "1\n"
    with pytest.raises(ValueError, match="no language 'cobol'"):
        await fake.execute_code("1", "cobol")
    with pytest.raises(ValueError, match="cwd or env"):
        await fake.execute_code("1", "node", cwd="/tmp")
    with pytest.raises(ValueError, match="environment variable"):
        await fake.execute("true", env={"A=1; B": "2"})
    with pytest.raises(ValueError, match="valid Unicode; nothing was run"):
        await fake.execute_code("'\ud800'", "python", cwd="/tmp")
    for timeout in (0, math.nan):
        with pytest.raises(ValueError, match="positive"):
            await fake.execute("true", timeout=timeout)


@pytest.mark.local
async def test_commands_run_with_their_streams_their_place_and_their_variables(
    sandbox: CodeInterpreterSandbox,
) -> None:
    command = "echo $WHO; pwd; echo err >&2; exit 3"
    env = {"WHO": "it's $HOME; `id`"}

    result = await sandbox.execute(command, cwd="/tmp", env=env)
    killed = await sandbox.execute("kill -9 $$")
    nowhere = await sandbox.execute("echo here", cwd="/no/such place")

    assert result == ExecutionResult(3, "it's $HOME; `id`\n/tmp\n", "err\n")
    assert killed.exit_code == 137
    assert (nowhere.exit_code, nowhere.stdout) == (1, "")


@pytest.mark.local
async def test_code_keeps_its_variables_and_with_an_environment_runs_apart(
    sandbox: CodeInterpreterSandbox,
) -> None:
    await sandbox.execute_code("kept = 1", "python3")
    here = await sandbox.execute_code("print(kept)\n1 / 0", "python3")
    code = "import os\nprint(os.environ['A'], os.getcwd(), 'kept' in globals())"
    apart = await sandbox.execute_code(code, "python3", env={"A": "1"}, cwd="/tmp")
    script = await sandbox.execute_code("console.log(6 * 7)", "node")
    shell = await sandbox.execute_code("echo $0 | grep -o bash", "bash")

    assert (here.stdout, here.exit_code) == ("1\n", 1)
    assert "ZeroDivisionError" in here.stderr
    assert (apart.stdout, apart.exit_code) == ("1 /tmp False\n", 0)
    assert (script.stdout, shell.stdout) == ("42\n", "bash\n")
    assert [e.name for e in await sandbox.list_files(".ci") if e.name.startswith("run-")] == []


@pytest.mark.local
async def test_figures_are_files_of_the_result(sandbox: CodeInterpreterSandbox) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"

    (file,) = (await sandbox.execute_code(code, "python3", timeout=30)).output_files

    assert (file.mime_type, file.content[:4]) == ("image/png", b"\x89PNG")


@pytest.mark.local
async def test_time_that_is_up_is_told_with_the_output_so_far(
    sandbox: CodeInterpreterSandbox,
) -> None:
    await sandbox.execute_code("import time\nkept = 1", "python3")

    with pytest.raises(SandboxTimeoutError, match="1 seconds") as command:
        await sandbox.execute("echo so far; sleep 60", timeout=1)
    with pytest.raises(SandboxTimeoutError) as code:
        await sandbox.execute_code("print('so far'); time.sleep(60)", "python3", timeout=1)

    assert command.value.stdout == code.value.stdout == "so far\n"
    assert (await sandbox.execute_code("print(kept)", "python3")).stdout == "1\n"


@pytest.mark.local
@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_output_streams_and_a_stream_that_is_left_ends_the_run(
    sandbox: CodeInterpreterSandbox, how: str
) -> None:
    seen: list[str] = []

    async def read() -> None:
        stream = sandbox.execute_streaming("echo $$ > pid; echo first; sleep 60")
        async for piece in stream:
            assert isinstance(piece, StreamChunk)
            seen.append(piece.data)
            if how == "closed":
                await stream.aclose()
                return
            task.cancel()

    task = asyncio.create_task(read())
    await asyncio.wait({task})

    assert task.cancelled() is (how == "cancelled")
    assert "".join(seen) == "first\n"
    gone = await sandbox.execute("kill -0 $(cat pid) 2>/dev/null || echo gone")
    assert gone.stdout == "gone\n"


@pytest.fixture(scope="module")
def on_agentcore(local: CodeInterpreter) -> Iterator[CodeInterpreterSandbox]:
    keys = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none")
    with AgentCoreEmulator(local.backend) as url:
        backend = AgentCoreBackend("us-east-1", endpoint_url=url, boto_session=keys)
        with CodeInterpreter(backend) as interpreter:
            yield CodeInterpreterSandbox(interpreter, scope=SCOPE)


@pytest.mark.local
@pytest.mark.parametrize("place", ["sandbox", "on_agentcore"])
def test_strands_own_tools_run_on_it(place: str, request: pytest.FixtureRequest) -> None:
    sandbox = request.getfixturevalue(place)
    root = json.loads(speak(sandbox, [shell], [("shell", {"command": "pwd"})])[0][1])
    path = root["output"].strip() + "/notes.txt"
    create = {"command": "create", "path": path, "file_text": "one\ntwo\n"}
    change = {"command": "str_replace", "path": path, "old_str": "two", "new_str": "three"}

    found = speak(
        sandbox,
        [shell, python_repl, file_editor],
        [("file_editor", create)],
        [("file_editor", change)],
        [("file_editor", {"command": "view", "path": path})],
        [("python_repl", {"code": "print(open('notes.txt').read(), end='')"})],
        [("shell", {"command": "rm notes.txt; sleep 60", "timeout": 1})],
        [("file_editor", {"command": "view", "path": path})],
    )

    assert [status for status, _ in found] == ["success"] * 4 + ["error"] * 2
    assert "2  three" in found[2][1]
    assert json.loads(found[3][1]) == {"output": "one\nthree\n", "error": "", "exit_code": 0}
    assert '"exit_code": 124' in found[4][1]
    assert "does not exist" in found[5][1]


@pytest.mark.local
def test_it_is_the_sandbox_of_the_interpreters_own_calls(
    sandbox: CodeInterpreterSandbox, local: CodeInterpreter
) -> None:
    local.call("execute_code", {"code": "shared = 7"}, scope=SCOPE)
    local.upload("up.txt", b"uploaded", scope=SCOPE)
    calls: Turn = [("sandbox_python_repl", {"code": "print(shared, open('up.txt').read())"})]

    ((_, text),) = speak(sandbox, [], calls)

    assert json.loads(text)["output"] == "7 uploaded\n"


@pytest.mark.local
async def test_a_skill_in_the_sandbox_loads_by_its_path(sandbox: CodeInterpreterSandbox) -> None:
    await sandbox.write_file(
        "skills/code-interpreter/SKILL.md", (SKILL_DIR / "SKILL.md").read_bytes()
    )
    model = ScriptedModel(["x"])
    skills = AgentSkills(skills="skills")
    agent = Agent(model=model, plugins=[skills], sandbox=sandbox, callback_handler=None)

    await agent.invoke_async("go")

    assert "<name>code-interpreter</name>" in (model.system_prompt or "")
