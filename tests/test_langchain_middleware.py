"""The middleware for `create_agent`: tools, guidance, the session's end, approval, streaming."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain_core.messages import SystemMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from ci_toolkit import CodeInterpreter, ConfigurationError, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.langchain import CodeInterpreterMiddleware
from ci_toolkit.skill import skill_prompt
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel

ASKED: Any = {"messages": [("user", "go")]}
THREAD: Any = {"configurable": {"user_id": "ada", "thread_id": "1"}}
SCOPE = Scope(user_id="ada", session_id="1")
COUNT = "n = globals().get('n', 0) + 1; print(n)"
COUNTED: Turn = [("execute_code", {"code": COUNT})]
PICTURE = "from PIL import Image; Image.new('RGB', (4, 3)).save('a.png')"
GUIDANCE = "# Code interpreter\n"

Run = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Invokes an agent, the one way or the other."""

    async def invoke(agent: Any, given: Any = ASKED, config: Any = THREAD) -> Any:
        if request.param == "sync":
            return agent.invoke(given, config)
        return await agent.ainvoke(given, config)

    return invoke


def texts(state: Any) -> list[Any]:
    return [m.content for m in state["messages"] if isinstance(m, ToolMessage)]


def prompt(model: ScriptedChatModel, call: int = 0) -> Any:
    """The content of the system message of a model call, if there was one."""
    first = model.seen[call][0]
    return first.content if isinstance(first, SystemMessage) else None


async def test_it_gives_an_agent_the_tools_and_the_guidance(
    interpreter: CodeInterpreter, run: Run
) -> None:
    model = ScriptedChatModel([COUNTED, "done"])
    agent = create_agent(model, middleware=[CodeInterpreterMiddleware(interpreter)])

    state = await run(agent)

    assert texts(state) == ["1"]
    assert [tool["function"]["name"] for tool in model.tools] == [
        "execute_code",
        "execute_command",
        "file_operations",
        "ci_push_to_workspace",
    ]
    assert [prompt(model, call) for call in (0, 1)] == [
        skill_prompt(backend=interpreter.backend)
    ] * 2
    assert not any(isinstance(message, SystemMessage) for message in state["messages"])


def test_the_guidance_follows_the_agents_own_prompt(interpreter: CodeInterpreter) -> None:
    model = ScriptedChatModel(["done"])
    middleware = CodeInterpreterMiddleware(interpreter)

    create_agent(model, system_prompt="Be brief.", middleware=[middleware]).invoke(ASKED)

    assert prompt(model) == f"Be brief.\n\n{skill_prompt(backend=interpreter.backend)}"


def test_what_a_provider_put_into_the_prompt_stays_as_it_is(interpreter: CodeInterpreter) -> None:
    model = ScriptedChatModel(["done"])
    blocks: list[Any] = [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {"cachePoint": {"type": "default"}},
    ]
    own = SystemMessage(content=blocks, name="operator")

    create_agent(
        model, system_prompt=own, middleware=[CodeInterpreterMiddleware(interpreter)]
    ).invoke(ASKED)

    assert prompt(model)[:2] == blocks
    assert GUIDANCE in prompt(model)[2]["text"]
    assert model.seen[0][0].name == "operator"
    assert own.content == blocks


def test_it_leads_to_skills_that_exist_and_to_no_other(interpreter: CodeInterpreter) -> None:
    model = ScriptedChatModel(["done"])
    middleware = CodeInterpreterMiddleware(interpreter, available_skills=["visual-design"])

    create_agent(model, middleware=[middleware]).invoke(ASKED)

    assert "visual-design" in prompt(model)
    assert "word-documents" not in prompt(model)


def test_the_options_of_all_doors_are_options(interpreter: CodeInterpreter) -> None:
    model = ScriptedChatModel(
        [[("lab_execute_code", {"code": PICTURE, "output_filename": "a.png"})], "done"]
    )
    middleware = CodeInterpreterMiddleware(
        interpreter, scope=SCOPE, workspace_tools=True, images=False, prefix="lab_"
    )

    state = create_agent(model, middleware=[middleware]).invoke(ASKED)

    assert [tool["function"]["name"] for tool in model.tools][-1] == "lab_workspace_list"
    assert isinstance(texts(state)[0], str)
    assert "lab_workspace_read(" in prompt(model)
    assert [file.key for file in interpreter.files(SCOPE)] == ["code-interpreter/a.png"]


def test_an_agent_may_have_two_with_a_prefix_each(interpreter: CodeInterpreter) -> None:
    with CodeInterpreter(InMemoryBackend(run_python=True)) as other:
        turn: Turn = [*COUNTED, ("far_execute_code", {"code": "print('far')"})]  # type: ignore[misc]
        model = ScriptedChatModel([turn, "done"])
        middleware = [
            CodeInterpreterMiddleware(interpreter),
            CodeInterpreterMiddleware(other, prefix="far_"),
        ]

        state = create_agent(model, middleware=middleware).invoke(ASKED)

    assert texts(state) == ["1", "far"]
    assert prompt(model).count(GUIDANCE) == 2


def test_somebody_elses_tool_of_the_same_name_is_refused(interpreter: CodeInterpreter) -> None:
    theirs = StructuredTool.from_function(
        lambda code: code, name="execute_code", description="Theirs."
    )
    middleware = CodeInterpreterMiddleware(interpreter)
    agent = create_agent(ScriptedChatModel(["done"]), [theirs], middleware=[middleware])

    with pytest.raises(ConfigurationError, match=r"another tool named 'execute_code'.*prefix="):
        agent.invoke(ASKED)


def test_what_is_no_interpreter_is_refused_while_building() -> None:
    with pytest.raises(ConfigurationError, match="no CodeInterpreter"):
        CodeInterpreterMiddleware("interpreter")  # type: ignore[arg-type]


def test_without_its_tools_a_model_call_has_no_guidance(interpreter: CodeInterpreter) -> None:
    class WithoutTools(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(tools=[]))

    model = ScriptedChatModel(["done"])
    middleware: list[Any] = [WithoutTools(), CodeInterpreterMiddleware(interpreter)]

    create_agent(model, middleware=middleware).invoke(ASKED)

    assert prompt(model) is None


async def test_a_session_ends_with_the_agents_answer_where_that_is_asked_for(
    interpreter: CodeInterpreter, backend: InMemoryBackend, run: Run
) -> None:
    middleware = CodeInterpreterMiddleware(interpreter, end_session=True)
    model = ScriptedChatModel([COUNTED, COUNTED, "done", COUNTED, "done"])
    agent = create_agent(model, middleware=[middleware])
    interpreter.call("execute_code", {"code": COUNT}, scope=Scope(user_id="eve", session_id="1"))

    first, second = [texts(await run(agent)) for _ in range(2)]

    assert first == ["1", "2"]
    assert "lost" in second[0]
    assert second[0].endswith("\n1")
    assert len(backend.sandboxes) == 1, "only the other user's is left"


async def test_a_session_goes_on_from_turn_to_turn_where_it_is_not(
    interpreter: CodeInterpreter, run: Run
) -> None:
    model = ScriptedChatModel([COUNTED, "done", COUNTED, "done"])
    agent = create_agent(model, middleware=[CodeInterpreterMiddleware(interpreter)])

    assert [texts(await run(agent)) for _ in range(2)] == [["1"], ["2"]]


async def test_a_session_outlives_an_agent_that_raised_and_the_host_can_end_it(
    interpreter: CodeInterpreter, backend: InMemoryBackend, run: Run
) -> None:
    def fail(results: str) -> Turn:
        raise OSError("the model's provider is down")

    middleware = CodeInterpreterMiddleware(interpreter, end_session=True)
    agent = create_agent(ScriptedChatModel([COUNTED, fail]), middleware=[middleware])

    with pytest.raises(OSError, match="provider"):
        await run(agent)
    assert len(backend.sandboxes) == 1
    interpreter.close(SCOPE)

    assert not backend.sandboxes


DECISIONS: dict[str, tuple[Any, str, int]] = {
    "approve": ({"type": "approve"}, "1", 1),
    "reject": ({"type": "reject", "message": "not today"}, "not today", 0),
    "edit": (
        {
            "type": "edit",
            "edited_action": {"name": "execute_code", "args": {"code": "print('edited')"}},
        },
        "edited",
        1,
    ),
}


@pytest.mark.parametrize("decision", DECISIONS)
async def test_a_human_decides_before_a_call_and_it_runs_once_or_never(
    interpreter: CodeInterpreter, backend: InMemoryBackend, run: Run, decision: str
) -> None:
    decided, answer, runs = DECISIONS[decision]
    middleware: list[Any] = [
        CodeInterpreterMiddleware(interpreter, end_session=True),
        HumanInTheLoopMiddleware(interrupt_on={"execute_code": True}),
    ]
    saver = InMemorySaver()
    model = ScriptedChatModel([COUNTED, "done"])
    agent = create_agent(model, middleware=middleware, checkpointer=saver)

    asked = await run(agent)
    (request,) = asked["__interrupt__"][0].value["action_requests"]
    assert (request["name"], request["args"]) == ("execute_code", {"code": COUNT})
    assert not backend.calls

    state = await run(agent, Command(resume={"decisions": [decided]}))
    (said,) = texts(state)
    assert said.endswith(answer)
    assert [call.verb for call in backend.calls].count("execute_code") == runs
    assert not backend.sandboxes


async def test_approval_of_one_of_two_calls_runs_neither_before_both_are_decided(
    interpreter: CodeInterpreter, backend: InMemoryBackend, run: Run
) -> None:
    turn: Turn = [*COUNTED, ("ci_push_to_workspace", {})]  # type: ignore[misc]
    middleware: list[Any] = [
        CodeInterpreterMiddleware(interpreter),
        HumanInTheLoopMiddleware(interrupt_on={"ci_push_to_workspace": True}),
    ]
    model = ScriptedChatModel([turn, "done"])
    agent = create_agent(model, middleware=middleware, checkpointer=InMemorySaver())

    await run(agent)
    assert not backend.calls
    state = await run(agent, Command(resume={"decisions": [{"type": "reject"}]}))

    assert sorted(str(message) for message in texts(state))[0] == "1"
    assert interpreter.files(SCOPE) == []


@pytest.mark.parametrize("mode", ["values", "updates", "messages", "debug", "custom", "tools"])
async def test_it_works_in_every_streaming_mode(interpreter: CodeInterpreter, mode: Any) -> None:
    def agent() -> Any:
        model = ScriptedChatModel([[("execute_code", {"code": "print('hello')"})], "done"])
        return create_agent(model, middleware=[CodeInterpreterMiddleware(interpreter)])

    parts = list(agent().stream(ASKED, THREAD, stream_mode=mode))
    again = [part async for part in agent().astream(ASKED, THREAD, stream_mode=mode)]

    assert "hello" in str(parts)
    assert "hello" in str(again)


async def test_events_tell_of_the_tool_and_of_its_live_output(interpreter: CodeInterpreter) -> None:
    model = ScriptedChatModel([[("execute_code", {"code": "print('hello')"})], "done"])
    agent = create_agent(model, middleware=[CodeInterpreterMiddleware(interpreter)])

    events = [event async for event in agent.astream_events(ASKED, THREAD, version="v2")]

    ended = [event["data"]["output"] for event in events if event["event"] == "on_tool_end"]
    assert [message.content for message in ended] == ["hello"]


async def test_subagents_have_sessions_of_their_own_and_end_only_those(
    interpreter: CodeInterpreter, backend: InMemoryBackend, run: Run
) -> None:
    ending = CodeInterpreterMiddleware(interpreter, end_session=True)
    subagent = create_agent(ScriptedChatModel([COUNTED, COUNTED, "x"]), middleware=[ending])

    def ask() -> str:
        """Asks a subagent."""
        return str(texts(subagent.invoke(ASKED)))

    async def aask() -> str:
        return str(texts(await subagent.ainvoke(ASKED)))

    tool = StructuredTool.from_function(func=ask, coroutine=aask, name="ask")
    turns: list[Turn] = [COUNTED, [("ask", {})], COUNTED, "x"]
    middleware = CodeInterpreterMiddleware(interpreter)
    agent = create_agent(ScriptedChatModel(turns), [tool], middleware=[middleware])

    assert texts(await run(agent)) == ["1", "['1', '2']", "2"]
    assert len(backend.sandboxes) == 1
    assert backend.started == 2


async def test_a_closed_middleware_still_answers(interpreter: CodeInterpreter, run: Run) -> None:
    middleware = CodeInterpreterMiddleware(interpreter)
    agent = create_agent(ScriptedChatModel([COUNTED, "x", COUNTED, "x"]), middleware=[middleware])

    await run(agent)
    middleware.close()

    assert texts(await run(agent)) == ["2"]


@pytest.fixture(scope="module")
def local() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(LocalBackend()) as interpreter:
        yield interpreter


SLOW = "print('first', flush=True)\nimport time\ntime.sleep(5)\nprint('second')"


async def parts_of(agent: Any, mode: str) -> AsyncIterator[tuple[str, Any]]:
    modes = ["custom", "updates"]
    if mode == "sync":
        for part in agent.stream(ASKED, THREAD, stream_mode=modes):
            yield part
    else:
        async for part in agent.astream(ASKED, THREAD, stream_mode=modes):
            yield part


@pytest.mark.local
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_the_first_line_of_a_slow_run_arrives_while_it_runs(
    local: CodeInterpreter, mode: str
) -> None:
    middleware = CodeInterpreterMiddleware(local)
    model = ScriptedChatModel([[("execute_code", {"code": SLOW})], "done"])
    agent = create_agent(model, middleware=[middleware])
    session = local._sessions.get(SCOPE)
    seen: list[tuple[str, bool]] = []

    async for kind, part in parts_of(agent, mode):
        if kind == "custom":
            seen.append((part["text"], session.busy))

    assert seen[0] == ("first\n", True)
    assert "".join(text for text, _ in seen) == "first\nsecond\n"


PROCESS = """
import os, sys
import boto3
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from ci_toolkit import CodeInterpreter
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.langchain import CodeInterpreterMiddleware
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.workspaces import DirectoryWorkspace

folder, resumed, url = sys.argv[1], sys.argv[2] == "resume", sys.argv[3]
keys = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none")
backend = (
    AgentCoreBackend("us-east-1", endpoint_url=url, boto_session=keys) if url else LocalBackend()
)
write = "x = 5; open('kept.txt', 'w').write('kept'); open('gone.txt', 'w').write('gone')"
turns = [
    [("execute_code", {"code": write, "output_filename": "kept.txt"})],
    [("execute_command", {"command": "cat kept.txt; cat gone.txt 2>/dev/null || true"})],
    [("execute_code", {"code": "x"})],
    "done",
]
interpreter = CodeInterpreter(backend, DirectoryWorkspace(f"{folder}/workspace"))
asking = HumanInTheLoopMiddleware(interrupt_on={"execute_command": True})
with SqliteSaver.from_conn_string(f"{folder}/checkpoints.db") as saver:
    agent = create_agent(
        ScriptedChatModel(turns[2:] if resumed else turns),
        middleware=[CodeInterpreterMiddleware(interpreter), asking],
        checkpointer=saver,
    )
    given = Command(resume={"decisions": [{"type": "approve"}]}) if resumed else {
        "messages": [("user", "go")]
    }
    state = agent.invoke(given, {"configurable": {"user_id": "ada", "thread_id": "1"}})
    answers = [m.content for m in state["messages"] if isinstance(m, ToolMessage)]
    print("===".join(answers), flush=True)
    if not resumed:
        assert state["__interrupt__"]
        os._exit(0)  # as a process that is killed while it waits for a human
interpreter.close()
"""


def processes(folder: Path, url: str = "") -> list[str]:
    """The tools' answers of an agent that is killed after the first and resumed elsewhere."""

    def process(how: str) -> list[str]:
        command = [sys.executable, "-c", PROCESS, str(folder), how, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
        assert done.returncode == 0, done.stderr
        return [answer.strip() for answer in done.stdout.split("===")]

    begun = process("begin")
    assert len(begun) == 1
    answers = process("resume")
    assert answers[0] == begun[0]
    assert "Saved kept.txt" in begun[0]
    return answers[1:]


@pytest.mark.local
@pytest.mark.timeout(360)
def test_an_agent_resumed_in_a_new_process_goes_on_with_what_was_saved(tmp_path: Path) -> None:
    read, missing = processes(tmp_path)

    assert "lost" in read
    assert "Restored: kept.txt." in read
    assert read.endswith("\nkept")
    assert "NameError" in missing
    assert "lost" not in missing


@pytest.mark.local
@pytest.mark.timeout(360)
def test_an_agent_resumed_in_a_new_process_goes_on_in_its_sandbox_where_that_lives(
    tmp_path: Path,
) -> None:
    local = LocalBackend()
    with AgentCoreEmulator(local) as url:
        answers = processes(tmp_path, url)
    local.close()

    assert answers == ["keptgone", "5"]
