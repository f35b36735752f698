"""The Strands door: specifications, tool results, scopes, live output, cancellation."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from strands import Agent
from strands.interrupt import Interrupt, InterruptException
from strands.session import FileSessionManager

from ci_toolkit import CodeInterpreter, ConfigurationError, Scope
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.strands import code_interpreter_tools
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_strands import ScriptedModel

SECRET = "AKIA-THE-OPERATORS-KEY"
PICTURE = "from PIL import Image; Image.new('RGB', (4, 3)).save('a.png')"
COUNT = "n = globals().get('n', 0) + 1; print(n)"
COUNTED: Turn = [("execute_code", {"code": COUNT})]
NAMES = ["execute_code", "execute_command", "file_operations", "ci_push_to_workspace"]


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture
def interpreter(backend: InMemoryBackend) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend) as interpreter:
        yield interpreter


def agent(tools: list[Any], *turns: Turn, **options: Any) -> Agent:
    return Agent(model=ScriptedModel(turns), tools=tools, callback_handler=None, **options)


def results(agent: Agent) -> list[Any]:
    blocks: list[Any] = [block for message in agent.messages for block in message["content"]]
    return [block["toolResult"] for block in blocks if "toolResult" in block]


def texts(agent: Agent) -> list[str]:
    return [result["content"][0]["text"] for result in results(agent)]


def test_the_four_specifications_are_small_flat_and_describe_every_parameter(
    interpreter: CodeInterpreter,
) -> None:
    specs = [tool.tool_spec for tool in code_interpreter_tools(interpreter)]
    said = json.dumps(specs)

    assert [spec["name"] for spec in specs] == NAMES
    assert len(said) <= 4_000, f"{len(said)} characters"
    assert not [word for word in ("$ref", "$defs", "anyOf", "oneOf", "const") if word in said]
    for spec in specs:
        schema: Any = spec["inputSchema"]["json"]
        assert all(p.get("description") for p in schema["properties"].values())


def test_a_model_is_shown_the_specifications_as_they_are(interpreter: CodeInterpreter) -> None:
    tools = code_interpreter_tools(interpreter, workspace_tools=True, prefix="lab_")
    model = ScriptedModel(["done"])

    Agent(model=model, tools=list(tools), callback_handler=None, system_prompt="Be brief.")("go")

    for shown, tool in zip(model.tools, tools, strict=True):
        spec: Any = tool.tool_spec
        spec["inputSchema"]["json"].setdefault("required", [])  # what Strands adds
        assert shown == spec
    assert [*(spec["name"] for spec in model.tools)][-1] == "lab_workspace_list"
    assert model.system_prompt == "Be brief."


def test_pictures_can_be_kept_from_the_model(interpreter: CodeInterpreter) -> None:
    turn: Turn = [("execute_code", {"code": PICTURE, "output_filename": "a.png"})]
    speaker = agent([*code_interpreter_tools(interpreter, images=False)], turn, "done")

    speaker("go")

    (result,) = results(speaker)
    assert [*result["content"][0]] == ["text"]
    assert len(result["content"]) == 1
    assert "Picture: a.png" in texts(speaker)[0]


def test_options_are_checked_while_building(interpreter: CodeInterpreter) -> None:
    with pytest.raises(ConfigurationError, match="no CodeInterpreter"):
        code_interpreter_tools("interpreter")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="scope"):
        code_interpreter_tools(interpreter, scope="thread-1")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_what_a_backend_fails_with_never_reaches_the_model(
    interpreter: CodeInterpreter, backend: InMemoryBackend, mode: str
) -> None:
    backend.fail("start", RuntimeError(SECRET))
    speaker = agent([*code_interpreter_tools(interpreter)], COUNTED, "done")

    if mode == "sync":
        speaker("go")
    else:
        await speaker.invoke_async("go")

    assert results(speaker)[0]["status"] == "error"
    assert SECRET not in str(speaker.messages)


def test_a_scope_that_cannot_be_found_is_told_without_its_reason(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    def scope(state: dict[str, Any]) -> Scope:
        raise LookupError(SECRET)

    speaker = agent([*code_interpreter_tools(interpreter, scope=scope)], COUNTED, "done")

    speaker("go")

    (text,) = texts(speaker)
    assert text.startswith("Error: The code interpreter is not set up correctly; nothing was run.")
    assert SECRET not in str(speaker.messages)
    assert backend.calls == []


def test_an_interrupt_passes_through(interpreter: CodeInterpreter) -> None:
    def scope(state: dict[str, Any]) -> Scope:
        raise InterruptException(Interrupt("v1:ask", "ask", "Who are you?"))

    speaker = agent([*code_interpreter_tools(interpreter, scope=scope)], COUNTED, "done")

    result = speaker("go")

    assert result.stop_reason == "interrupt"
    assert [interrupt.name for interrupt in result.interrupts or ()] == ["ask"]


def test_a_session_keeps_its_variables_and_no_other_user_or_session_sees_them(
    interpreter: CodeInterpreter,
) -> None:
    tools = [*code_interpreter_tools(interpreter)]

    def count(**state: Any) -> str:
        speaker = agent(tools, COUNTED, "x")
        speaker("go", invocation_state=state)
        return texts(speaker)[0]

    assert count(user_id="ada", session_id="1") == "1"
    assert count(user_id="ada", session_id="1") == "2"
    assert count(user_id="ada", session_id="2") == "1"
    assert count(user_id="eve", session_id="1") == "1"
    assert count(session_id="1") == "1"
    assert count(user_id="ada") == "1"
    assert count() == "1"
    assert count() == "1"


def test_the_default_keys_make_the_scope_that_a_host_would_name(
    interpreter: CodeInterpreter,
) -> None:
    interpreter.upload("a.txt", b"hello", scope=Scope(user_id="7", session_id="1"))
    turn: Turn = [("file_operations", {"operation": "read", "paths": ["a.txt"]})]
    speaker = agent([*code_interpreter_tools(interpreter)], turn, "x")

    speaker("go", invocation_state={"user_id": 7, "session_id": 1})

    assert texts(speaker) == ["hello"]


def test_an_agent_keeps_its_variables_from_turn_to_turn(interpreter: CodeInterpreter) -> None:
    tools = [*code_interpreter_tools(interpreter)]
    first, second = agent(tools, COUNTED, "x", COUNTED, "x"), agent(tools, COUNTED, "x")

    for speaker in (first, second, first):
        speaker("go")

    assert (texts(first), texts(second)) == (["1", "2"], ["1"])


def test_agents_of_one_stored_session_have_a_branch_each(
    interpreter: CodeInterpreter, tmp_path: Path
) -> None:
    tools = [*code_interpreter_tools(interpreter)]

    def count(agent_id: str) -> str:
        manager = FileSessionManager("session-1", storage_dir=str(tmp_path))
        speaker = agent(tools, COUNTED, "x", agent_id=agent_id, session_manager=manager)
        speaker("go")
        return texts(speaker)[-1]

    assert [count("analyst"), count("critic"), count("analyst")] == ["1", "1", "2"]


def test_a_scope_callable_is_given_the_state_with_the_agent(interpreter: CodeInterpreter) -> None:
    seen: list[Any] = []

    def scope(state: dict[str, Any]) -> Scope:
        seen.append((state["tenant"], state["agent"]))
        return Scope(user_id=state["tenant"], session_id="s")

    speaker = agent([*code_interpreter_tools(interpreter, scope=scope)], COUNTED, "x")

    speaker("go", invocation_state={"tenant": "acme"})

    assert seen == [("acme", speaker)]


async def test_output_goes_live_to_whoever_streams(interpreter: CodeInterpreter) -> None:
    turn: Turn = [("execute_code", {"code": "print('live')"})]
    speaker = agent([*code_interpreter_tools(interpreter)], turn, "done")

    events = [event async for event in speaker.stream_async("go")]

    pieces = [e["tool_stream_event"]["data"] for e in events if "tool_stream_event" in e]
    assert "".join(piece.pop("text") for piece in pieces) == "live\n"
    assert pieces[0] == {
        "type": "ci_toolkit.output",
        "tool": "execute_code",
        "tool_call_id": results(speaker)[0]["toolUseId"],
        "stream": "stdout",
    }


@pytest.mark.parametrize("how", ["agent.cancel", "cancel_signal", "task.cancel"])
async def test_a_cancelled_agent_interrupts_the_run_and_keeps_the_session(
    interpreter: CodeInterpreter, backend: InMemoryBackend, how: str
) -> None:
    begun, stopped, signal = Event(), Event(), Event()

    def wait(request: Request) -> str:
        begun.set()
        if request.interrupted.wait(30):
            stopped.set()
        return "so far"

    backend.reply("wait()", wait)
    waits: Turn = [("execute_code", {"code": "wait()"})]
    tools = [*code_interpreter_tools(interpreter)]
    speaker = agent(tools, COUNTED, "x", waits, COUNTED, "x")
    await speaker.invoke_async("go")
    task = asyncio.create_task(speaker.invoke_async("wait", cancel_signal=signal))
    await asyncio.to_thread(begun.wait, 10)
    started = time.monotonic()

    ways: dict[str, Callable[[], object]] = {
        "agent.cancel": speaker.cancel,
        "cancel_signal": signal.set,
        "task.cancel": task.cancel,
    }
    ways[how]()
    if how == "task.cancel":
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert (await task).stop_reason == "cancelled"
        assert results(speaker)[-1]["status"] == "error"
        assert texts(speaker)[-1].startswith("so far\nInterrupted after ")

    assert stopped.wait(3)
    assert time.monotonic() - started < 3
    await speaker.invoke_async("go on")
    assert texts(speaker)[-1] == "2"


async def test_calls_side_by_side_do_not_hold_each_other_up(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    met = Event()
    backend.reply("first()", lambda request: "met" if met.wait(10) else "alone")

    def second(request: Request) -> str:
        met.set()
        return "set"

    backend.reply("second()", second)
    tools = [*code_interpreter_tools(interpreter)]
    speakers = [
        agent(tools, [("execute_code", {"code": code})], "x") for code in ("first()", "second()")
    ]

    await asyncio.gather(*(speaker.invoke_async("go") for speaker in speakers))

    assert [texts(speaker) for speaker in speakers] == [["met"], ["set"]]


def test_a_scripted_model_says_its_turns_and_keeps_what_it_saw(
    interpreter: CodeInterpreter,
) -> None:
    model = ScriptedModel([COUNTED, lambda results: f"It is {results}."])
    speaker = Agent(
        model=model, tools=[*code_interpreter_tools(interpreter)], callback_handler=None
    )

    result = speaker("go")

    assert str(result).strip() == "It is 1."
    assert [len(messages) for messages in model.seen] == [1, 3]
    with pytest.raises(RuntimeError, match="2 turns"):
        speaker("more")


async def test_the_calls_of_one_turn_run_in_the_models_order(
    interpreter: CodeInterpreter, backend: InMemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All calls do come, however late on a busy machine.
    monkeypatch.setattr("ci_toolkit.turns._GRACE_SECONDS", 60.0)
    tools = code_interpreter_tools(interpreter, scope=Scope(user_id="ada", session_id="t"))
    calls = [("execute_code", {"code": f"print({number})"}) for number in range(6)]
    here = agent(list(tools), calls, "done")
    carry = CodeInterpreter.call
    waits = iter([0.15, 0.12, 0.09, 0.06, 0.03, 0.0])

    def late(self: CodeInterpreter, *arguments: Any, **named: Any) -> Any:
        # The first call of the turn is the last to reach the session.
        time.sleep(next(waits))
        return carry(self, *arguments, **named)

    monkeypatch.setattr(CodeInterpreter, "call", late)
    await here.invoke_async("go")

    ran = [call.arguments["code"] for call in backend.calls if call.verb == "execute_code"]
    assert ran == [f"print({number})" for number in range(6)]
