"""The Strands plugin: tools, skill text, clean-up, graphs, approval, restarts, live output."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strands import Agent
from strands.hooks import BeforeToolCallEvent
from strands.multiagent import GraphBuilder, Swarm
from strands.tools.executors import ConcurrentToolExecutor, SequentialToolExecutor
from strands.types.exceptions import EventLoopException
from strands.vended_interventions.hitl import HumanInTheLoop
from strands.vended_plugins.skills import AgentSkills, Skill

from ci_toolkit import CodeInterpreter, ConfigurationError, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.skill import SKILL_DIR
from ci_toolkit.strands import CodeInterpreterPlugin, code_interpreter_tools
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_strands import ScriptedModel

COUNT = "n = globals().get('n', 0) + 1; print(n)"
COUNTED: Turn = [("execute_code", {"code": COUNT})]


@pytest.fixture
def interpreter(backend: InMemoryBackend) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend) as interpreter:
        yield interpreter


def agent(plugin: CodeInterpreterPlugin | None, *turns: Turn, **options: Any) -> Agent:
    return Agent(
        model=ScriptedModel(turns),
        plugins=[*([plugin] if plugin else []), *options.pop("plugins", [])],
        callback_handler=None,
        **options,
    )


def results(agent: Agent) -> list[Any]:
    blocks: list[Any] = [block for message in agent.messages for block in message["content"]]
    return [block["toolResult"] for block in blocks if "toolResult" in block]


def texts(agent: Agent) -> list[str]:
    return [result["content"][0]["text"] for result in results(agent)]


def shown(agent: Agent) -> str:
    model: Any = agent.model
    return model.system_prompt or ""


@pytest.mark.parametrize(
    ("given", "begins"),
    [(None, "# Code interpreter"), ("Be brief.", "Be brief.\n# Code interpreter\n")],
)
def test_the_skill_text_is_added_to_each_model_call_and_stored_nowhere(
    interpreter: CodeInterpreter, given: str | None, begins: str
) -> None:
    speaker = agent(CodeInterpreterPlugin(interpreter), COUNTED, "x", "y", system_prompt=given)

    for _ in range(2):
        speaker("go")

    assert shown(speaker).startswith(begins)
    assert shown(speaker).count("# Code interpreter\n") == 1
    assert speaker.system_prompt == given


def test_a_prompt_of_blocks_keeps_its_cache_point(interpreter: CodeInterpreter) -> None:
    prompt: Any = [{"text": "A"}, {"cachePoint": {"type": "default"}}]
    seen: list[Any] = []

    class Model(ScriptedModel):
        def stream(self, *arguments: Any, **options: Any) -> Any:
            seen.append(options.get("system_prompt_content"))
            return super().stream(*arguments, **options)

    plugin = CodeInterpreterPlugin(interpreter)
    Agent(model=Model(["x"]), plugins=[plugin], system_prompt=prompt, callback_handler=None)("go")

    assert seen[0][:2] == prompt
    assert seen[0][2]["text"].startswith("# Code interpreter")


def test_the_skill_text_follows_the_options(interpreter: CodeInterpreter) -> None:
    plugin = CodeInterpreterPlugin(
        interpreter, prefix="lab_", workspace_tools=True, available_skills=["visual-design"]
    )
    speaker = agent(plugin, "x")
    silent = agent(CodeInterpreterPlugin(interpreter, prompt=False), "x")

    speaker("go")
    silent("go")

    assert "`visual-design`" in shown(speaker)
    assert "lab_execute_code(" in shown(speaker)
    assert speaker.tool_names[-1] == "lab_workspace_list"
    assert shown(silent) == ""


def test_options_are_checked_while_building(interpreter: CodeInterpreter) -> None:
    with pytest.raises(ConfigurationError, match="no CodeInterpreter"):
        CodeInterpreterPlugin("interpreter")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="scope"):
        CodeInterpreterPlugin(interpreter, scope="s")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="prefix"):
        CodeInterpreterPlugin(interpreter, prefix="no spaces ")


def test_a_clash_of_names_is_told_and_a_prefix_helps(interpreter: CodeInterpreter) -> None:
    tools = [*code_interpreter_tools(interpreter)]

    with pytest.raises(ConfigurationError, match=r"named execute_code, .* prefix"):
        agent(CodeInterpreterPlugin(interpreter), "x", tools=tools)
    both = agent(CodeInterpreterPlugin(interpreter, prefix="ci_"), "x", tools=tools)
    assert {"execute_code", "ci_execute_code"} <= {*both.tool_names}


def test_one_plugin_gives_every_agent_a_session_of_its_own(interpreter: CodeInterpreter) -> None:
    plugin = CodeInterpreterPlugin(interpreter)
    speakers = [agent(plugin, COUNTED, "x", COUNTED, "x") for _ in range(2)]

    for speaker in (*speakers, *speakers):
        speaker("go")

    assert [texts(speaker) for speaker in speakers] == [["1", "2"], ["1", "2"]]


def test_a_new_agent_for_every_request_goes_on_in_the_conversation_that_the_host_names(
    interpreter: CodeInterpreter,
) -> None:
    plugin = CodeInterpreterPlugin(interpreter)

    def ask(**options: Any) -> str:
        speaker = agent(plugin, COUNTED, "x", **options)
        speaker("go", invocation_state={"user_id": "ada", "session_id": "1"})
        return texts(speaker)[0]

    assert [ask(), ask(), ask(name="critic"), ask(name="critic")] == ["1", "2", "1", "2"]


@pytest.mark.parametrize("ends", ["well", "badly", "interrupted"])
def test_a_session_ends_with_the_invocation_where_that_is_asked_for(
    interpreter: CodeInterpreter, ends: str
) -> None:
    plugin = CodeInterpreterPlugin(interpreter, end_session=True)

    def last(_results: str) -> Turn:
        if ends == "badly":
            raise RuntimeError("The model is down.")
        return "done" if ends == "well" else COUNTED

    speaker = agent(plugin, COUNTED, last, COUNTED, "x")
    speaker.add_hook(_ask_from_the_second_call(), BeforeToolCallEvent)
    if ends == "badly":
        with pytest.raises(EventLoopException):
            speaker("go")
    else:
        result = speaker("go")
    if ends == "interrupted":
        assert result.stop_reason == "interrupt"
        speaker(_answers(result, "y"))
        assert texts(speaker)[-2:] == ["1", "2"]  # the session waited for the answer
        return

    speaker.state.set("calm", value=True)
    speaker("again")
    assert texts(speaker)[-1].startswith("Note: The earlier sandbox is gone")


def _ask_from_the_second_call() -> Any:
    calls: set[str] = set()

    def ask(event: BeforeToolCallEvent) -> None:
        calls.add(event.tool_use["toolUseId"])
        calm = event.agent.state.get("calm")
        if len(calls) > 1 and not calm and event.interrupt("run", reason=event.tool_use) != "y":
            event.cancel_tool = "The user said no."

    return ask


def _answers(result: Any, answer: str) -> Any:
    return [
        {"interruptResponse": {"interruptId": interrupt.id, "response": answer}}
        for interrupt in result.interrupts
    ]


@pytest.mark.parametrize(("answer", "status"), [("y", "success"), ("n", "error")])
def test_a_human_approves_a_call_with_strands_own_intervention(
    interpreter: CodeInterpreter, backend: InMemoryBackend, answer: str, status: str
) -> None:
    plugin = CodeInterpreterPlugin(interpreter)
    allowed = [name for name in agent(plugin, "x").tool_names if name != "ci_push_to_workspace"]
    turn: Turn = [("execute_code", {"code": COUNT}), ("ci_push_to_workspace", {})]
    asks = HumanInTheLoop(allowed_tools=allowed)
    speaker = agent(plugin, turn, "done", interventions=[asks])

    result = speaker("go")

    assert result.stop_reason == "interrupt"
    assert len(result.interrupts or ()) == 1
    speaker(_answers(result, answer))
    assert [found["status"] for found in results(speaker)] == ["success", status]
    assert [call.verb for call in backend.calls].count("execute_code") == 1


@pytest.mark.parametrize("executor", [ConcurrentToolExecutor, SequentialToolExecutor])
def test_parallel_calls_of_one_turn_run_in_their_order(
    interpreter: CodeInterpreter, executor: Any
) -> None:
    turn: Turn = [("execute_code", {"code": COUNT})] * 5
    speaker = agent(CodeInterpreterPlugin(interpreter), turn, "x", tool_executor=executor())

    speaker("go")

    assert sorted(texts(speaker)) == ["1", "2", "3", "4", "5"]


async def test_agents_side_by_side_in_a_graph_have_a_session_each(
    interpreter: CodeInterpreter,
) -> None:
    plugin = CodeInterpreterPlugin(interpreter)
    codes = {name: f"me = globals().get('me', []) + [{name!r}]; print(me)" for name in "abcd"}
    nodes = {
        name: agent(plugin, [("execute_code", {"code": code})] * 2, "x", name=f"agent {name}")
        for name, code in codes.items()
    }
    for node in nodes.values():
        node.add_hook(_dawdle, BeforeToolCallEvent)  # until the state names another agent
    builder = GraphBuilder().set_execution_timeout(60)
    for name, node in nodes.items():
        builder.add_node(node, name)
        builder.set_entry_point(name)

    await builder.build().invoke_async("go", {"user_id": "ada", "session_id": "1"})

    for name, node in nodes.items():
        assert sorted(texts(node), key=len) == [f"['{name}']", f"['{name}', '{name}']"]


async def _dawdle(event: BeforeToolCallEvent) -> None:
    await asyncio.sleep(0.05)


def test_agents_of_a_swarm_have_a_session_each(interpreter: CodeInterpreter) -> None:
    plugin = CodeInterpreterPlugin(interpreter)
    handoff: Turn = [("handoff_to_agent", {"agent_name": "second", "message": "go on"})]
    first = agent(plugin, COUNTED, handoff, "x", name="first")
    second = agent(plugin, COUNTED, "x", name="second")

    Swarm([first, second])("go", {"user_id": "ada", "session_id": "1"})

    assert (texts(first)[0], texts(second)[0]) == ("1", "1")


def test_agents_that_are_to_share_a_sandbox_are_given_one_scope(
    interpreter: CodeInterpreter,
) -> None:
    plugin = CodeInterpreterPlugin(interpreter, scope=Scope(user_id="ada", session_id="1"))
    first, second = agent(plugin, COUNTED, "x"), agent(plugin, COUNTED, "x")

    first("go")
    second("go")

    assert (texts(first), texts(second)) == (["1"], ["2"])


def test_the_packaged_skill_is_one_for_strands_own_plugin(interpreter: CodeInterpreter) -> None:
    skill = Skill.from_content((SKILL_DIR / "SKILL.md").read_text(), strict=True)
    turn: Turn = [("skills", {"skill_name": "code-interpreter"})]
    plugin = CodeInterpreterPlugin(interpreter, prompt=False)
    speaker = agent(plugin, turn, COUNTED, "x", plugins=[AgentSkills(skills=[skill])])

    speaker("go")

    assert "<name>code-interpreter</name>" in shown(speaker)
    assert texts(speaker)[0].startswith(skill.instructions)
    assert texts(speaker)[1] == "1"


@pytest.mark.local
async def test_an_agent_loop_streams_the_first_line_of_a_long_run_before_its_end() -> None:
    code = "import time\nprint('first')\ntime.sleep(60)\nprint('last')"
    with CodeInterpreter(LocalBackend()) as interpreter:
        plugin = CodeInterpreterPlugin(interpreter)
        speaker = agent(plugin, [("execute_code", {"code": code})], "done")
        async for event in speaker.stream_async("go"):
            if event.get("tool_stream_event", {}).get("data", {}).get("text") == "first\n":
                speaker.cancel()  # had the run ended before, there would be nothing to end

    assert texts(speaker)[0].startswith("first\n")
    assert "\nInterrupted after " in texts(speaker)[0]


RESTARTED = """
import sys
import boto3
from strands import Agent
from strands.session import FileSessionManager
from ci_toolkit import CodeInterpreter
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.strands import CodeInterpreterPlugin
from ci_toolkit.testing.scripted_strands import ScriptedModel
from ci_toolkit.workspaces import DirectoryWorkspace

folder, url, code, name = sys.argv[1:]
if url:
    keys = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none")
    backend = AgentCoreBackend("us-east-1", endpoint_url=url, boto_session=keys)
else:
    backend = LocalBackend()
interpreter = CodeInterpreter(backend, DirectoryWorkspace(folder + "/files"))
call = {"code": code, "output_filename": name}
agent = Agent(
    model=ScriptedModel([[("execute_code", call)], "done"]),
    plugins=[CodeInterpreterPlugin(interpreter)],
    session_manager=FileSessionManager("thread-1", storage_dir=folder + "/sessions"),
    callback_handler=None,
)
agent("go")
interpreter.detach()
print(len(agent.messages), agent.messages[-2]["content"][0]["toolResult"]["content"][0]["text"])
"""


def in_another_process(folder: Path, url: str, code: str, name: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", RESTARTED, str(folder), url, code, name],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.local
def test_an_agent_with_a_stored_session_goes_on_in_another_process(tmp_path: Path) -> None:
    saves = "x = 1\nopen('kept.txt', 'w').write('kept')\nprint(x)"

    first = in_another_process(tmp_path, "", saves, "kept.txt")
    second = in_another_process(tmp_path, "", "print(open('kept.txt').read(), 'x' in globals())")

    assert first.startswith("4 1\n")
    assert second.startswith("8 Note: The earlier sandbox is gone")
    assert "Restored: kept.txt." in second
    assert second.rstrip().endswith("kept False")


@pytest.mark.local
def test_where_sandboxes_outlive_a_process_it_goes_on_in_the_same_one(tmp_path: Path) -> None:
    backend = LocalBackend()
    with AgentCoreEmulator(backend) as url:
        first = in_another_process(tmp_path, url, "x = 6")
        second = in_another_process(tmp_path, url, "print(x * 7)")
    backend.close()

    assert first.startswith("4 It ran")
    assert second == "8 42\n"
