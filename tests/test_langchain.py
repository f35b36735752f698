"""The LangChain door: standard suites, tool messages, scopes, live output, cancellation."""

import asyncio
import json
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from ci_toolkit import CodeInterpreter, ConfigurationError, Scope
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.langchain import CodeInterpreterToolkit
from ci_toolkit.langchain.scopes import branch_of
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel

SECRET = "AKIA-THE-OPERATORS-KEY"
PICTURE = "from PIL import Image; Image.new('RGB', (4, 3)).save('a.png')"
COUNT = "n = globals().get('n', 0) + 1; print(n)"
COUNTED: Turn = [("execute_code", {"code": COUNT})]
ASKED: Any = {"messages": [("user", "go")]}


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture
def interpreter(backend: InMemoryBackend) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend) as interpreter:
        yield interpreter


@pytest.fixture
def toolkit(interpreter: CodeInterpreter) -> Iterator[CodeInterpreterToolkit]:
    toolkit = CodeInterpreterToolkit(interpreter)
    yield toolkit
    toolkit.close()


def named(toolkit: CodeInterpreterToolkit) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in toolkit.get_tools()}


def agent(toolkit: CodeInterpreterToolkit, *turns: Turn, **options: Any) -> Any:
    return create_agent(ScriptedChatModel(turns), toolkit.get_tools(), **options)


def config(**keys: str) -> Any:
    return {"configurable": keys}


def answers(state: dict[str, Any]) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def texts(state: dict[str, Any]) -> list[Any]:
    return [message.content for message in answers(state)]


EXAMPLES: dict[str, dict[str, Any]] = {
    "execute_code": {"code": "print(1)"},
    "execute_command": {"command": "echo hi"},
    "file_operations": {"operation": "list", "paths": ["."]},
    "ci_push_to_workspace": {"paths": ["a.txt"]},
    "workspace_read": {"path": "code-interpreter/a.txt"},
    "workspace_list": {"path": "code-interpreter/"},
}
FOUR = list(EXAMPLES)[:4]


class _Standard:
    name: str

    @property
    def tool_constructor(self) -> BaseTool:
        backend = InMemoryBackend(run_python=True, commands={"echo hi": "hi"})
        interpreter = CodeInterpreter(backend)
        return named(CodeInterpreterToolkit(interpreter, workspace_tools=True))[self.name]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return EXAMPLES[self.name]


for name in EXAMPLES:
    for suite in (ToolsUnitTests, ToolsIntegrationTests):
        title = f"Test_{name}_{suite.__name__}"
        globals()[title] = type(title, (_Standard, suite), {"name": name, "__module__": __name__})


def test_the_four_definitions_are_small_and_describe_every_parameter(
    toolkit: CodeInterpreterToolkit,
) -> None:
    definitions = [convert_to_openai_tool(tool)["function"] for tool in toolkit.get_tools()]
    size = len(json.dumps(definitions))

    assert [definition["name"] for definition in definitions] == FOUR
    assert size <= 4_000, f"{size} characters"
    for definition in definitions:
        assert all(p.get("description") for p in definition["parameters"]["properties"].values())
        assert not {"runtime", "config", "tool_call_id"} & set(
            definition["parameters"]["properties"]
        )
    assert "$ref" not in json.dumps(definitions)


def test_workspace_tools_and_a_prefix_are_options(interpreter: CodeInterpreter) -> None:
    toolkit = CodeInterpreterToolkit(interpreter, workspace_tools=True, prefix="lab_")

    assert [*named(toolkit)][-2:] == ["lab_workspace_read", "lab_workspace_list"]
    result = agent(toolkit, [("lab_execute_code", {"code": "1 + 1"})], "done").invoke(ASKED)
    assert [(m.name, m.content) for m in answers(result)] == [("lab_execute_code", "2")]


def test_pictures_can_be_kept_from_the_model(interpreter: CodeInterpreter) -> None:
    toolkit = CodeInterpreterToolkit(interpreter, images=False)
    turn: Turn = [("execute_code", {"code": PICTURE, "output_filename": "a.png"})]

    (text,) = texts(agent(toolkit, turn, "done").invoke(ASKED))

    assert isinstance(text, str)
    assert "Picture: a.png" in text


def test_what_is_no_interpreter_is_refused_while_building() -> None:
    with pytest.raises(ConfigurationError, match="no CodeInterpreter"):
        CodeInterpreterToolkit("interpreter")  # type: ignore[arg-type]


async def test_a_tool_alone_takes_a_dictionary_a_text_or_a_call(
    toolkit: CodeInterpreterToolkit,
) -> None:
    tool = named(toolkit)["execute_code"]
    call: Any = {"name": tool.name, "args": {"code": "1 / 0"}, "id": "7", "type": "tool_call"}

    assert tool.invoke({"code": "x = 2; x"}) == "2"
    assert await tool.ainvoke("x + 1") == "3"
    for message in (tool.invoke(call), await tool.ainvoke(call)):
        assert (message.status, message.tool_call_id) == ("error", "7")
        assert message.artifact["execution"]["exit_code"] == 1


async def test_bad_arguments_are_answered_in_the_interpreters_words_and_never_raised(
    toolkit: CodeInterpreterToolkit, interpreter: CodeInterpreter
) -> None:
    scope = Scope(user_id="ada", session_id="other")
    bad = {"operation": "rename", "paths": "a" * 50_000, "runtime": "forged", "stray": 1}
    expected = interpreter.call("file_operations", bad, scope=scope)
    tool = named(toolkit)["file_operations"]
    call: Any = {"name": tool.name, "args": bad, "id": "7", "type": "tool_call"}

    assert len(expected.text) < 500
    assert tool.invoke(bad) == await tool.ainvoke(bad) == expected.text
    for message in (tool.invoke(call), await tool.ainvoke(call)):
        assert (message.content, message.artifact, message.status) == (
            expected.text,
            expected.artifact,
            "error",
        )


def test_a_model_cannot_forge_what_the_framework_injects(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    seen: list[RunnableConfig] = []

    def scope(config: RunnableConfig) -> Scope:
        seen.append(config)
        return Scope(user_id=config["configurable"]["user_id"], session_id="s")

    toolkit = CodeInterpreterToolkit(interpreter, scope=scope)
    forged = {"configurable": {"user_id": "eve"}}
    turn: Turn = [
        ("execute_code", {"code": COUNT, "runtime": forged}),
        ("execute_code", {"code": COUNT, "config": forged}),
    ]

    first, second = answers(agent(toolkit, turn, "x").invoke(ASKED, config(user_id="ada")))

    assert first.content == "1"
    assert "there is no parameter 'config'" in str(second.content)
    assert {c["configurable"]["user_id"] for c in seen} == {"ada"}


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_what_a_backend_fails_with_never_reaches_the_model(
    toolkit: CodeInterpreterToolkit, backend: InMemoryBackend, mode: str
) -> None:
    backend.fail("start", RuntimeError(SECRET))
    runnable = agent(toolkit, [("execute_code", {"code": "1"})], "done")

    state = runnable.invoke(ASKED) if mode == "sync" else await runnable.ainvoke(ASKED)

    (message,) = answers(state)
    assert message.status == "error"
    assert SECRET not in str(state)


def test_a_thread_keeps_its_variables_and_no_other_user_or_thread_sees_them(
    toolkit: CodeInterpreterToolkit, backend: InMemoryBackend
) -> None:
    def count(**keys: str) -> Any:
        return texts(agent(toolkit, COUNTED, "x").invoke(ASKED, config(**keys)))[0]

    assert count(user_id="ada", thread_id="1") == "1"
    assert count(user_id="ada", thread_id="1") == "2"
    assert count(user_id="ada", thread_id="2") == "1"
    assert count(user_id="eve", thread_id="1") == "1"
    assert count(thread_id="1") == "1"
    assert count() == "1"
    assert count() == "2"


def test_the_default_keys_make_the_scope_that_a_host_would_name(
    toolkit: CodeInterpreterToolkit, interpreter: CodeInterpreter
) -> None:
    interpreter.upload("a.txt", b"hello", scope=Scope(user_id="7", session_id="1"))
    turn: Turn = [("file_operations", {"operation": "read", "paths": ["a.txt"]})]
    keys: Any = {"user_id": 7, "thread_id": 1}

    assert texts(agent(toolkit, turn, "x").invoke(ASKED, config(**keys))) == ["hello"]


def test_toolkits_without_threads_share_nothing(interpreter: CodeInterpreter) -> None:
    for _ in range(2):
        toolkit = CodeInterpreterToolkit(interpreter)
        assert texts(agent(toolkit, COUNTED, "x").invoke(ASKED)) == ["1"]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_an_agent_that_is_a_node_keeps_its_variables_from_turn_to_turn(
    toolkit: CodeInterpreterToolkit, mode: str, kept: bool
) -> None:
    both: Turn = [*COUNTED, *COUNTED]  # type: ignore[misc]
    graph = StateGraph(MessagesState)
    graph.add_node("analyst", agent(toolkit, both, "x", COUNTED, "x"))
    graph.add_node("critic", agent(toolkit, COUNTED, "x", COUNTED, "x"))
    graph.add_edge(START, "analyst")
    graph.add_edge("analyst", "critic")
    runnable = graph.compile(checkpointer=InMemorySaver() if kept else None)
    keys = config(thread_id="1") if kept else config()

    for _ in range(2):
        state: Any = None
        if mode == "sync":
            state = runnable.invoke(ASKED, keys)
        else:
            state = await runnable.ainvoke(ASKED, keys)
    said = texts(state)[-5:] if kept else texts(state)

    assert sorted(said) == (["1", "1", "2", "2", "3"] if kept else ["2", "3"])


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_subagents_called_as_tools_side_by_side_have_sessions_of_their_own(
    toolkit: CodeInterpreterToolkit, interpreter: CodeInterpreter, mode: str
) -> None:
    subagents = [agent(toolkit, COUNTED, COUNTED, "x") for _ in range(2)]

    def ask(number: int) -> str:
        """Asks a subagent."""
        return str(texts(subagents[number].invoke(ASKED)))

    async def aask(number: int) -> str:
        return str(texts(await subagents[number].ainvoke(ASKED)))

    tool = StructuredTool.from_function(func=ask, coroutine=aask, name="ask")
    turn: Turn = [("ask", {"number": 0}), ("ask", {"number": 1}), *COUNTED]  # type: ignore[misc]
    main = create_agent(ScriptedChatModel([turn, "x"]), [*toolkit.get_tools(), tool])
    keys = config(thread_id="1")

    state = main.invoke(ASKED, keys) if mode == "sync" else await main.ainvoke(ASKED, keys)

    assert texts(state) == ["['1', '2']", "['1', '2']", "1"]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", ["create_agent", "state graph"])
async def test_the_calls_of_one_turn_run_in_the_models_order(
    toolkit: CodeInterpreterToolkit, mode: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All calls do come, however late on a busy machine.
    monkeypatch.setattr("ci_toolkit.turns._GRACE_SECONDS", 60.0)
    turn: Turn = [
        call
        for number in range(6)
        for call in (
            ("execute_code", {"code": f"x = {number}"}),
            ("file_operations", {"operation": "list"}),
            ("execute_code", {"code": "print(x)"}),
        )
    ]
    model = ScriptedChatModel([turn, "done"])
    tools = toolkit.get_tools()
    runnable: Any = create_agent(model, tools)
    if kind == "state graph":
        graph = StateGraph(MessagesState)
        graph.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "ask")
        graph.add_edge("ask", "tools")
        runnable = graph.compile()
    keys = config(thread_id="1")

    state = runnable.invoke(ASKED, keys) if mode == "sync" else await runnable.ainvoke(ASKED, keys)

    assert texts(state)[2::3] == [str(number) for number in range(6)]


def test_a_branch_is_the_enclosing_nodes_names_and_the_ids_of_tool_calls() -> None:
    assert branch_of("") == ""
    assert branch_of("tools:1") == ""
    assert branch_of("analyst:1|tools:2") == "analyst"
    assert branch_of("tools:1|tools:2") == "tools:1"
    assert branch_of("team:1|tools:2|writer:3|tools:4") == "team|tools:2|writer"


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_output_goes_live_to_whoever_streams(
    toolkit: CodeInterpreterToolkit, mode: str
) -> None:
    runnable = agent(toolkit, [("execute_code", {"code": "print('live')"})], "done")
    modes: Any = ["custom", "tools"]
    if mode == "sync":
        events = list(runnable.stream(ASKED, stream_mode=modes))
    else:
        events = [event async for event in runnable.astream(ASKED, stream_mode=modes)]

    custom = [event for kind, event in events if kind == "custom"]
    deltas = [event["delta"] for kind, event in events if event.get("delta")]
    assert "".join(event.pop("text") for event in custom) == "live\n" == "".join(deltas)
    call_id = custom[0].pop("tool_call_id")
    assert call_id.startswith("call-")
    assert custom[0] == {"type": "ci_toolkit.output", "tool": "execute_code", "stream": "stdout"}


@pytest.mark.parametrize("how", ["cancel", "step_timeout"])
async def test_a_cancelled_agent_interrupts_the_run_and_keeps_the_session(
    toolkit: CodeInterpreterToolkit, backend: InMemoryBackend, how: str
) -> None:
    begun, stopped = Event(), Event()

    def wait(request: Request) -> str:
        begun.set()
        if request.interrupted.wait(30):
            stopped.set()
        return ""

    backend.reply("wait()", wait)
    keys = config(thread_id="1")
    await agent(toolkit, COUNTED, "x").ainvoke(ASKED, keys)
    slow = agent(toolkit, [("execute_code", {"code": "wait()"})], "x")
    slow.step_timeout = 0.5 if how == "step_timeout" else None
    task = asyncio.create_task(slow.ainvoke(ASKED, keys))
    await asyncio.to_thread(begun.wait, 10)
    started = time.monotonic()

    if how == "cancel":
        task.cancel()
    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        await task

    assert stopped.wait(3)
    assert time.monotonic() - started < 3
    assert texts(await agent(toolkit, COUNTED, "x").ainvoke(ASKED, keys)) == ["2"]


async def test_a_closed_toolkit_ends_no_session(toolkit: CodeInterpreterToolkit) -> None:
    tool = named(toolkit)["execute_code"]
    await tool.ainvoke({"code": "x = 5"})

    toolkit.close()

    assert await tool.ainvoke({"code": "x"}) == "5"


def test_a_scripted_model_says_its_turns_and_keeps_what_it_saw(
    toolkit: CodeInterpreterToolkit,
) -> None:
    model = ScriptedChatModel([COUNTED, lambda results: f"It is {results}."])

    state = create_agent(model, toolkit.get_tools()).invoke(ASKED)

    assert state["messages"][-1].content == "It is 1."
    assert [len(messages) for messages in model.seen] == [1, 3]
    assert [tool["function"]["name"] for tool in model.tools] == FOUR
    with pytest.raises(RuntimeError, match="2 turns"):
        model.invoke("more")
