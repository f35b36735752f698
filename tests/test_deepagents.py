"""The deepagents door: one sandbox for commands, files and code; words, errors, skills."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import Any
from uuid import uuid4

import pytest
from deepagents import create_deep_agent
from deepagents.backends import CompositeBackend, FilesystemBackend
from langchain_core.messages import SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from psutil import process_iter

from ci_toolkit import CodeInterpreter, ConfigurationError, Limits, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.backends.memory.sandbox import InMemorySandbox
from ci_toolkit.deepagents import CodeInterpreterBackend
from ci_toolkit.errors import (
    BackendUnavailableError,
    OutcomeUnknownError,
    SandboxLostError,
    ThrottledError,
    UnsupportedError,
)
from ci_toolkit.results import Execution, FileContent
from ci_toolkit.skill import SKILL_DIR
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel

# deepagents looks for langchain-aws, whose import warns.
pytestmark = pytest.mark.filterwarnings("ignore:Support for class-based `config`")

SECRET = "AKIA-THE-OPERATORS-KEY"
ASKED: Any = {"messages": [("user", "go")]}
THREAD: Any = {"configurable": {"user_id": "ada", "thread_id": "1"}}
SCOPE = Scope(user_id="ada", session_id="1")


@pytest.fixture
def deep(interpreter: CodeInterpreter) -> Iterator[CodeInterpreterBackend]:
    deep = CodeInterpreterBackend(interpreter, scope=SCOPE)
    yield deep
    deep.close()


def answers(state: Any) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def texts(state: Any) -> list[str]:
    return [str(message.content) for message in answers(state)]


def ran(backend: InMemoryBackend) -> list[Any]:
    return [c.arguments["command"] for c in backend.calls if c.verb == "execute_command"]


ENDS: dict[str, tuple[Execution, str, int]] = {
    "well": (Execution(stdout="out\n", stderr="err\n"), "out\nerr\n", 0),
    "badly": (Execution(stdout="out", stderr="err", exit_code=3), "out\nerr", 3),
    "by a signal": (Execution(exit_code=-9), "", 137),
    "too late": (Execution(exit_code=-9, ended="timed_out", duration=1), "Timed out", 124),
    "interrupted": (Execution(exit_code=-9, ended="interrupted", duration=1), "Interrupted", 130),
}


@pytest.mark.parametrize("how", ENDS)
async def test_a_command_gives_both_streams_and_a_shells_exit_code(
    deep: CodeInterpreterBackend, backend: InMemoryBackend, how: str
) -> None:
    execution, output, exit_code = ENDS[how]
    backend.reply_command("it", execution)

    offloaded = deep.execute_with_offload("it", "/nowhere/x", max_inline_bytes=1000)
    for response in (deep.execute("it"), await deep.aexecute("it"), offloaded.response):
        assert response.output.startswith(output)
        assert (response.exit_code, response.truncated) == (exit_code, False)


def test_a_time_limit_can_be_shortened_and_never_lengthened(
    backend: InMemoryBackend,
) -> None:
    backend.reply_command("it", "")
    with CodeInterpreter(backend, limits=Limits(timeout=7)) as interpreter:
        deep = CodeInterpreterBackend(interpreter, scope=SCOPE)
        for timeout in (None, 0, -1, 3, 900):
            deep.execute("it", timeout=timeout)

    limits = [c.arguments["timeout"] for c in backend.calls if c.verb == "execute_command"]
    assert limits == [7, 7, 7, 3, 7]


def test_a_command_that_is_too_long_is_not_run(backend: InMemoryBackend) -> None:
    with CodeInterpreter(backend, limits=Limits(code_chars=5)) as interpreter:
        response = CodeInterpreterBackend(interpreter, scope=SCOPE).execute("123456")

    assert "at most 5" in response.output
    assert response.exit_code == 1
    assert ran(backend) == []


def test_a_loss_is_told_by_the_next_output_of_a_command_and_only_there(
    deep: CodeInterpreterBackend, backend: InMemoryBackend
) -> None:
    backend.reply_command("it", "done")
    deep.upload_files([("/home/user/a.txt", b"a")])
    backend.lose(backend.sandboxes[0])

    assert deep.download_files(["/home/user/a.txt"])[0].error == "file_not_found"
    outputs = [deep.execute("it").output for _ in range(2)]

    assert outputs[0].startswith("Note: The earlier sandbox is gone")
    assert "lost" in outputs[0]
    assert outputs[0].endswith("\ndone")
    assert outputs[1] == "done"


def test_a_loss_that_a_file_operation_met_is_told_by_the_next_tool_as_well(
    deep: CodeInterpreterBackend, backend: InMemoryBackend
) -> None:
    (execute_code, _) = deep.get_tools()
    execute_code.invoke({"code": "x = 1"})
    backend.lose(backend.sandboxes[0])
    deep.ls("/home/user")

    assert "lost" in execute_code.invoke({"code": "print(2)"})
    assert execute_code.invoke({"code": "print(3)"}) == "3"


def test_a_note_stands_before_the_excerpt_of_a_long_output(
    deep: CodeInterpreterBackend, backend: InMemoryBackend
) -> None:
    backend.reply_command("it", "x" * 5000)
    deep.execute("it")
    backend.lose(backend.sandboxes[0])

    result = deep.execute_with_offload("it", "/nowhere/x", max_inline_bytes=1000)

    assert result.offloaded is False
    assert result.response.output.startswith("Note: The earlier sandbox is gone")
    assert "The whole output (5,000 bytes)" in result.response.output


def test_a_model_is_told_where_an_output_is_of_which_it_sees_two_ends(
    deep: CodeInterpreterBackend, backend: InMemoryBackend
) -> None:
    ends = Execution(stdout="a\n[... 900 bytes left out ...]\nz", output_file=".ci/output-1.txt")
    backend.reply_command("it", ends)

    output = deep.execute_with_offload("it", "/x", max_inline_bytes=1000).response.output

    assert output.startswith(ends.stdout)
    assert "/home/user/.ci/output-1.txt" in output


def test_a_model_is_not_given_what_a_terminal_acts_on(
    deep: CodeInterpreterBackend, backend: InMemoryBackend
) -> None:
    backend.reply_command("it", "\x1b[31mred\x1b[0m\0")

    shown = deep.execute_with_offload("it", "/x", max_inline_bytes=1000).response.output

    assert shown == "red\ufffd"
    assert deep.execute("it").output == "\x1b[31mred\x1b[0m\0"


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_users_of_one_deep_agent_side_by_side_have_sandboxes_of_their_own(
    interpreter: CodeInterpreter, mode: str
) -> None:
    deep = CodeInterpreterBackend(interpreter)

    def note(user: str) -> tuple[Any, Any]:
        turns: list[Turn] = [
            [("write_file", {"file_path": "/home/user/who.txt", "content": user})],
            [("execute_code", {"code": "print(open('who.txt').read())"})],
            "done",
        ]
        model = ScriptedChatModel(turns)
        agent = create_deep_agent(model, backend=deep, tools=deep.get_tools())
        return agent, {"configurable": {"user_id": user, "thread_id": "1"}}

    users = ["ada", "eve", "bob"]
    agents = [note(user) for user in users]
    if mode == "async":
        states = await asyncio.gather(*(agent.ainvoke(ASKED, config) for agent, config in agents))
    else:
        states = [agent.invoke(ASKED, config) for agent, config in agents]

    assert [texts(state)[-1] for state in states] == users
    for user in users:
        read = {"operation": "read", "paths": ["who.txt"]}
        scope = Scope(user_id=user, session_id="1")
        assert interpreter.call("file_operations", read, scope=scope).text == user


@pytest.mark.parametrize("verb", ["read_files", "write_files"])
@pytest.mark.parametrize(
    "error", [SandboxLostError("gone", may_have_run=False), ThrottledError("slow down")]
)
def test_what_fails_after_a_command_does_not_have_it_run_again_or_denied(
    deep: CodeInterpreterBackend, backend: InMemoryBackend, verb: str, error: Exception
) -> None:
    kept = Execution(stdout="x" * 50_000, output_file=".ci/output-1.txt", output_bytes=900_000)
    backend.reply_command("it", kept if verb == "read_files" else "x" * 50_000)
    deep.ls("/")
    backend.fail(verb, error)

    if verb == "read_files":
        response = deep.execute("it")
    else:
        response = deep.execute_with_offload("it", "/x", max_inline_bytes=1000).response

    assert response.output.startswith("xxx")
    assert len(response.output) == (50_000 if verb == "read_files" else 1000)
    assert (response.exit_code, response.truncated) == (0, True)
    assert ran(backend) == ["it"]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (RuntimeError(SECRET), 1),
        (ThrottledError(SECRET), 1),
        (BackendUnavailableError(SECRET), 1),
        (SandboxLostError(SECRET, may_have_run=True), None),
        (OutcomeUnknownError("It may have run."), None),
    ],
)
def test_a_command_that_cannot_be_run_is_a_response_without_secrets(
    deep: CodeInterpreterBackend, backend: InMemoryBackend, error: Exception, exit_code: int | None
) -> None:
    backend.fail("execute_command", error)

    response = deep.execute("it")

    assert SECRET not in response.output
    assert len(response.output) > 10
    assert response.exit_code == exit_code


OPERATIONS: dict[str, Callable[[CodeInterpreterBackend], tuple[Any, Any]]] = {
    "ls": lambda deep: (deep.ls("/a"), deep.als("/a")),
    "read": lambda deep: (deep.read("/a"), deep.aread("/a")),
    "write": lambda deep: (deep.write("/a", "x"), deep.awrite("/a", "x")),
    "edit": lambda deep: (deep.edit("/a", "x", "y"), deep.aedit("/a", "x", "y")),
    "long edit": lambda d: (d.edit("/a", "x" * 90_000, ""), d.aedit("/a", "x" * 90_000, "")),
    "delete": lambda deep: (deep.delete("/a"), deep.adelete("/a")),
    "grep": lambda deep: (deep.grep("x"), deep.agrep("x")),
    "glob": lambda deep: (deep.glob("x"), deep.aglob("x")),
    "upload": lambda deep: (
        deep.upload_files([("/a", b"")])[0],
        deep.aupload_files([("/a", b"")]),
    ),
    "download": lambda deep: (deep.download_files(["/a"])[0], deep.adownload_files(["/a"])),
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_no_file_operation_raises_or_tells_secrets_without_a_sandbox(
    deep: CodeInterpreterBackend, backend: InMemoryBackend, operation: str
) -> None:
    backend.fail("start", RuntimeError(SECRET), times=None)

    result, waiting = OPERATIONS[operation](deep)
    again = await waiting

    for found in (result, again[0] if isinstance(again, list) else again):
        assert found.error
        assert SECRET not in found.error


def test_a_program_gets_a_whole_output_up_to_a_bound(
    deep: CodeInterpreterBackend, backend: InMemoryBackend
) -> None:
    def long(request: Request) -> Execution:
        request.files.write(".ci/output-1.txt", b"y" * 5_000_000)
        return Execution(stdout="y", output_file=".ci/output-1.txt", output_bytes=5_000_000)

    backend.reply_command("it", long)

    response = deep.execute("it")

    assert (len(response.output), response.truncated) == (4 * 1024**2, True)


def test_a_file_that_changes_while_it_is_read_does_not_fail_the_others(
    deep: CodeInterpreterBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed() -> Iterator[bytes]:
        yield b"be"
        raise UnsupportedError("It was changed while it was read.")

    def read_files(_: InMemorySandbox, paths: list[str]) -> Iterator[FileContent]:
        for path in paths:
            chunks = changed() if path == "/w/a" else iter([b"whole"])
            yield FileContent(path=path, size=5, chunks=chunks)

    monkeypatch.setattr(InMemorySandbox, "read_files", read_files)

    first, second = deep.download_files(["/w/a", "/w/b"])

    assert (first.content, first.error) == (None, "It was changed while it was read.")
    assert (second.content, second.error) == (b"whole", None)


def test_the_log_says_whose_sandbox_failed(
    deep: CodeInterpreterBackend, backend: InMemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.fail("start", BackendUnavailableError(SECRET))

    deep.execute("it")

    (record,) = [each for each in caplog.records if SECRET in each.getMessage()]
    assert (vars(record)["user_id"], vars(record)["session_id"]) == ("ada", "1")


def test_files_keep_their_order_and_each_its_outcome(deep: CodeInterpreterBackend) -> None:
    uploads = [("/w/a", b"1"), ("b", b"2"), ("/w/a", b"3"), ("/w", b"4"), ("/w/\0", b"5")]

    stored = deep.upload_files(uploads)
    read = deep.download_files(["/w/a", "b", "/w/none", "/w", "/w/a"])

    assert [response.path for response in stored] == [path for path, _ in uploads]
    assert [response.error for response in stored[:4]] == [
        None,
        "invalid_path",
        None,
        "is_directory",
    ]
    assert stored[4].error
    assert [(response.content, response.error) for response in read] == [
        (b"3", None),
        (None, "invalid_path"),
        (None, "file_not_found"),
        (None, "is_directory"),
        (b"3", None),
    ]
    assert (deep.upload_files([]), deep.download_files([])) == ([], [])


def test_directories_are_listed_and_what_is_none_is_an_error(deep: CodeInterpreterBackend) -> None:
    deep.write("/w/a.txt", "abc")
    deep.write("/w/b/c.txt", "abc")

    entries = deep.ls("/w").entries

    assert entries is not None
    assert [(e["path"], e["is_dir"], e["size"]) for e in entries] == [
        ("/w/a.txt", False, 3),
        ("/w/b", True, 0),
    ]
    assert "There is no '/none'" in str(deep.ls("/none").error)
    assert "not_a_directory" in str(deep.ls("/w/a.txt").error)


def test_what_is_deleted_is_gone_and_what_is_not_there_is_an_error(
    deep: CodeInterpreterBackend,
) -> None:
    deep.write("/w/b/c.txt", "abc")

    assert deep.delete("/w").path == "/w"
    assert "not found" in str(deep.delete("/w").error)
    assert deep.delete("/home/user").error


def test_conversations_are_told_apart_and_subagents_belong_to_theirs(
    interpreter: CodeInterpreter,
) -> None:
    deep = CodeInterpreterBackend(interpreter)

    def id_in(**keys: str) -> str:
        runnable = RunnableLambda[None, str](lambda _: deep.id)
        return runnable.invoke(None, {"configurable": keys})

    own = id_in(user_id="ada", thread_id="1")
    assert own == id_in(user_id="ada", thread_id="1", checkpoint_ns="tools:1|tools:2")
    assert len({own, id_in(user_id="eve", thread_id="1"), id_in(thread_id="1"), deep.id}) == 4
    assert deep.id != CodeInterpreterBackend(interpreter).id


def test_the_scope_option_is_that_of_every_door(interpreter: CodeInterpreter) -> None:
    def scope(config: RunnableConfig) -> Scope:
        return SCOPE

    deep = CodeInterpreterBackend(interpreter, scope=scope)
    assert deep.id == CodeInterpreterBackend(interpreter, scope=SCOPE).id

    with pytest.raises(ConfigurationError, match="no Scope"):
        CodeInterpreterBackend(interpreter, scope=lambda _: "ada").execute("it")  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="no CodeInterpreter"):
        CodeInterpreterBackend("interpreter")  # type: ignore[arg-type]


def test_a_deep_agent_gets_only_what_it_does_not_have(interpreter: CodeInterpreter) -> None:
    def named(**options: Any) -> dict[str, str]:
        deep = CodeInterpreterBackend(interpreter, **options)
        return {tool.name: tool.description for tool in deep.get_tools()}

    assert list(named()) == ["execute_code", "ci_push_to_workspace"]
    assert list(named(prefix="lab_", workspace_tools=True)) == [
        "lab_execute_code",
        "lab_ci_push_to_workspace",
        "lab_workspace_read",
        "lab_workspace_list",
    ]
    for description in (*named().values(), *named(prefix="lab_").values()):
        assert "execute_command" not in description
    assert "Shell work belongs in execute." in named(prefix="lab_")["lab_execute_code"]


def test_no_answer_names_a_tool_that_a_deep_agent_does_not_have(
    interpreter: CodeInterpreter,
) -> None:
    execute_code, _ = CodeInterpreterBackend(interpreter, prefix="lab_", scope=SCOPE).get_tools()

    said = execute_code.invoke({"code": "print('lab_execute_command(' + 'x' * 50_000)"})

    assert said.startswith("lab_execute_command(x"), "what a program printed is left alone"
    assert "read a part with execute('tail" in said


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_a_human_decides_on_commands_and_code(
    backend: InMemoryBackend, interpreter: CodeInterpreter, mode: str, decision: str
) -> None:
    backend.reply_command("make", "made")
    deep = CodeInterpreterBackend(interpreter)
    turn: Turn = [("execute", {"command": "make"}), ("execute_code", {"code": "print(1)"})]
    agent = create_deep_agent(
        ScriptedChatModel([turn, "done"]),
        backend=deep,
        tools=deep.get_tools(),
        interrupt_on={"execute": True, "execute_code": True},
        checkpointer=InMemorySaver(),
    )
    decided: Any = Command(resume={"decisions": [{"type": decision}] * 2})

    for given in (ASKED, decided):
        assert ran(backend) == []
        state = (
            agent.invoke(given, THREAD) if mode == "sync" else await agent.ainvoke(given, THREAD)
        )

    assert ran(backend) == (["make"] if decision == "approve" else [])
    assert "made" in texts(state)[0] or decision == "reject"


@pytest.fixture(scope="module")
def local() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(LocalBackend()) as interpreter:
        yield interpreter


WORK: list[Turn] = [
    [("write_file", {"file_path": "/home/user/a.txt", "content": "hello\nworld\n"})],
    [("execute", {"command": "cat a.txt; pwd; exit 3"})],
    [("edit_file", {"file_path": "/home/user/a.txt", "old_string": "world", "new_string": "you"})],
    [("execute_code", {"code": "x = open('a.txt').read(); open('b.txt', 'w').write(x); x"})],
    [("read_file", {"file_path": "/home/user/b.txt"})],
    [("grep", {"pattern": "you"})],
    [("glob", {"pattern": "*.txt"})],
    [("ls", {"path": "/home/user"})],
    [("write_file", {"file_path": "/a.txt", "content": ""})],
    [("ci_push_to_workspace", {"paths": ["/home/user/b.txt"]})],
    [("execute", {"command": "sleep 60", "timeout": 1})],
    "done",
]
WORKED = [
    ("success", "/home/user/a.txt"),
    ("success", "hello\nworld\n/home/user\n\n[Command failed with exit code 3]"),
    ("success", "replaced 1"),
    ("success", r"'hello\nyou\n'"),
    ("success", "hello\nyou"),
    ("success", "/home/user/a.txt\n/home/user/b.txt"),
    ("success", "'/home/user/a.txt', '/home/user/b.txt'"),
    ("success", "'/home/user/a.txt', '/home/user/b.txt'"),
    ("error", "Read-only file system. Files belong below /home/user or /tmp."),
    ("success", "Saved b.txt to the workspace as code-interpreter/b.txt"),
    ("success", "[Command failed with exit code 124]"),
]


@pytest.mark.local
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_deep_agents_files_commands_and_code_are_in_one_sandbox(
    local: CodeInterpreter, mode: str
) -> None:
    deep = CodeInterpreterBackend(local, scope=Scope(user_id="ada", session_id=mode))
    model = ScriptedChatModel(WORK)
    agent = create_deep_agent(model, backend=deep, tools=deep.get_tools())

    state = agent.invoke(ASKED) if mode == "sync" else await agent.ainvoke(ASKED)

    found = answers(state)
    assert [message.status for message in found] == [status for status, _ in WORKED]
    for message, (_, text) in zip(found, WORKED, strict=True):
        assert text in str(message.content)
    assert "execute_command" not in str(model.tools)


@pytest.mark.local
def test_a_long_output_stays_in_the_sandbox_where_the_agent_can_read_it(
    local: CodeInterpreter,
) -> None:
    deep = CodeInterpreterBackend(local, scope=SCOPE)
    turns: list[Turn] = [
        [("execute", {"command": "rm -rf .ci; seq 1000000"})],
        [
            (
                "read_file",
                {"file_path": "/home/user/.ci/output-1.txt", "offset": 500_000, "limit": 2},
            )
        ],
        "done",
    ]

    state = create_deep_agent(ScriptedChatModel(turns), backend=deep).invoke(ASKED)

    shown, read = texts(state)
    assert len(shown) < Limits().text_chars + 500
    assert "The whole output (6,888,896 bytes) is in /home/user/.ci/output-1.txt" in shown
    assert shown.startswith("1\n2\n3\n")
    assert "\n1000000\n" in shown
    assert "500001\n500002" in read


@pytest.mark.local
async def test_what_a_command_prints_arrives_while_it_runs(local: CodeInterpreter) -> None:
    deep = CodeInterpreterBackend(local, scope=SCOPE)
    model = ScriptedChatModel([[("execute", {"command": "echo first; sleep 300"})], "x"])
    agent: Any = create_deep_agent(model, backend=deep)
    stream = agent.astream(ASKED, stream_mode="custom")

    event = await anext(stream)
    await stream.aclose()

    assert event.pop("tool_call_id").startswith("call-")
    assert event == {
        "type": "ci_toolkit.output",
        "tool": "execute",
        "stream": "stdout",
        "text": "first\n",
    }


@pytest.mark.local
def test_a_subagent_works_in_the_sandbox_of_its_agent(local: CodeInterpreter) -> None:
    deep = CodeInterpreterBackend(local)
    turns: list[Turn] = [
        [("execute_code", {"code": "x = 5; open('shared.txt', 'w').write('shared')"})],
        [("task", {"description": "look", "subagent_type": "general-purpose"})],
        [("execute", {"command": "cat shared.txt"}), ("execute_code", {"code": "x"})],
        lambda results: f"It saw {results!r}.",
        "done",
    ]
    model = ScriptedChatModel(turns)
    agent = create_deep_agent(model, backend=deep, tools=deep.get_tools())

    state = agent.invoke(ASKED, THREAD)

    assert texts(state)[-1] == (r"It saw 'shared\n[Command succeeded with exit code 0]\n5'.")


@pytest.mark.local
@pytest.mark.parametrize("pinned", [True, False])
def test_a_deep_agent_finds_the_packaged_skill(local: CodeInterpreter, pinned: bool) -> None:
    skills = FilesystemBackend(root_dir=SKILL_DIR.parent, virtual_mode=True)
    backend = CompositeBackend(
        default=CodeInterpreterBackend(local, scope=SCOPE),
        routes={"/skills/": skills},
        artifacts_root="/tmp",
    )
    path = "/skills/code-interpreter/SKILL.md"
    model = ScriptedChatModel([[("read_file", {"file_path": path})], "done"])
    agent = create_deep_agent(model, backend=backend, skills=["/skills/"])
    given: Any = {**ASKED, "pinned_skills": ["code-interpreter"]} if pinned else ASKED

    state = agent.invoke(given)

    system = model.seen[0][0]
    assert isinstance(system, SystemMessage)
    assert "**code-interpreter**" in system.text
    assert path in system.text
    body = (SKILL_DIR / "SKILL.md").read_text()
    assert body.splitlines()[1] in texts(state)[0]
    others = "".join(str(message.content) for message in model.seen[0][1:])
    assert ('<skill name="code-interpreter"' in others) is pinned


@pytest.mark.local
async def test_a_cancelled_task_ends_its_command_and_keeps_the_sandbox(
    local: CodeInterpreter,
) -> None:
    deep = CodeInterpreterBackend(local, scope=SCOPE)
    mark = f"300.{uuid4().int % 10**9:09}"
    await deep.aexecute("touch before")
    slow = asyncio.create_task(deep.aexecute(f"sleep {mark}"))
    while not sleeps(mark):
        await asyncio.sleep(0.02)

    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow

    assert not sleeps(mark)
    assert (await deep.aexecute("ls before")).output == "before\n"


def sleeps(mark: str) -> bool:
    """Whether a process of this machine sleeps so long."""
    return any(process.info["cmdline"] == ["sleep", mark] for process in process_iter(["cmdline"]))


@pytest.mark.parametrize(
    ("door", "others"),
    [("deepagents", set[str]()), ("langchain", {"deepagents", "langchain_tests"})],
)
def test_a_door_needs_its_own_extra_and_no_other(door: str, others: set[str]) -> None:
    strangers = others | {
        *("strands", "mcp", "ipykernel", "jupyter_client", "deno", "zmq", "starlette", "uvicorn"),
        *("typer", "rich", "pandas", "matplotlib", "pytest"),
    }
    script = f"""
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {strangers!r}:
                    raise ModuleNotFoundError(name, name=name)
        sys.meta_path.insert(0, Missing())
        import ci_toolkit.{door}
        print(*ci_toolkit.{door}.__all__)
    """
    command = [sys.executable, "-c", dedent(script)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "CodeInterpreter" in done.stdout


@pytest.mark.parametrize(
    ("door", "library"), [("deepagents", "deepagents"), ("langchain", "langchain")]
)
def test_a_missing_extra_is_answered_with_how_to_install_it(door: str, library: str) -> None:
    script = f"""
        import sys
        sys.modules[{library!r}] = None
        try:
            import ci_toolkit.{door}
        except ImportError as error:
            print(error)
    """
    command = [sys.executable, "-c", dedent(script)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert f"pip install 'ci-toolkit[{door}]'" in done.stdout
