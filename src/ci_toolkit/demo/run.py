"""Runs the demonstration's agents, one after the other, and shows where their files lie."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree
from strands import Agent

from ci_toolkit.demo.script import QUESTION, turns
from ci_toolkit.demo.view import ProgressView
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.langchain import CodeInterpreterToolkit
from ci_toolkit.scope import Scope
from ci_toolkit.strands import code_interpreter_tools
from ci_toolkit.terminal import View, plain
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel
from ci_toolkit.workspaces import DirectoryWorkspace

__all__ = ["AGENTS", "run_demo"]


def run_demo(
    interpreter: CodeInterpreter,
    console: Console,
    *,
    file: Path | None,
    folder: Path,
    agents: tuple[str, ...],
) -> bool:
    """Lets each agent analyse the file and leave a chart and a table in the workspace.

    Args:
        interpreter: With the backend and the workspace to use.
        console: Where to show it.
        file: A CSV file; the atmospheric carbon dioxide of Mauna Loa if not given.
        folder: Where the files are left, whatever workspace the interpreter has.
        agents: Names out of `AGENTS`.

    Returns:
        Whether every call went well.

    Raises:
        ConfigurationError: The file cannot be read.
        CodeInterpreterError: No sandbox can be started.
    """
    name, data = _data(file)
    console.print("The model is a script, so no key is needed; agents, code and files are real.")
    start = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    well = True
    scopes = []
    for agent in agents:
        scope = Scope(user_id="demo", session_id=f"{agent}-{start}")
        interpreter.upload(name, data, scope=scope)
        # What is wrong with the machine or the service is for the user to read, not for an agent.
        interpreter.with_sandbox(lambda _: None, scope=scope)
        script = turns(name)
        with ProgressView(console, f"{agent} agent", len(script) - 1) as view:
            AGENTS[agent](interpreter, scope, name, view)
            well = well and not view.failed
        interpreter.close(scope)
        _keep(interpreter, folder, scope)
        scopes.append(scope)
    console.print(_summary(interpreter, folder, scopes))
    return well


def _data(file: Path | None) -> tuple[str, bytes]:
    if file is None:
        return "co2.csv", (files("statsmodels") / "datasets/co2/co2.csv").read_bytes()
    try:
        return file.name, file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"Cannot read {file}: {error.strerror}.") from error


def _run_langchain(interpreter: CodeInterpreter, scope: Scope, name: str, view: View) -> None:
    agent = create_agent(
        ScriptedChatModel(turns(name)),
        CodeInterpreterToolkit(interpreter, scope=scope).get_tools(),
    )
    question: Any = {"messages": [("user", QUESTION.format(file=name))]}
    stream: Any = agent.stream(question, stream_mode=["updates", "custom"])
    for mode, event in stream:
        if mode == "custom":
            view.output(event["text"])
            continue
        for message in (m for update in event.values() for m in update["messages"]):
            _show_message(message, view)


def _show_message(message: object, view: View) -> None:
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            view.call(call["name"], call["args"])
        if not message.tool_calls:
            view.conclusion(str(message.content))
    elif isinstance(message, ToolMessage):
        blocks = message.content if isinstance(message.content, list) else []
        pictures = sum(isinstance(b, dict) and b.get("type") == "image" for b in blocks)
        view.result(message.text, is_error=message.status == "error", pictures=pictures)


def _run_strands(interpreter: CodeInterpreter, scope: Scope, name: str, view: View) -> None:
    agent = Agent(
        model=ScriptedModel(turns(name)),
        tools=list(code_interpreter_tools(interpreter, scope=scope)),
        callback_handler=None,
    )
    asyncio.run(_stream(agent, name, view))


async def _stream(agent: Agent, name: str, view: View) -> None:
    async for event in agent.stream_async(QUESTION.format(file=name)):
        if "tool_stream_event" in event:
            view.output(event["tool_stream_event"]["data"]["text"])
        elif "message" in event:
            for block in event["message"]["content"]:
                _show_block(block, event["message"]["role"], view)


def _show_block(block: dict[str, Any], role: str, view: View) -> None:
    if "toolUse" in block:
        view.call(block["toolUse"]["name"], block["toolUse"]["input"])
    elif "toolResult" in block:
        content = block["toolResult"]["content"]
        text = "\n".join(part["text"] for part in content if "text" in part)
        pictures = sum("image" in part for part in content)
        is_error = block["toolResult"]["status"] == "error"
        view.result(text, is_error=is_error, pictures=pictures)
    elif "text" in block and role == "assistant":
        view.conclusion(block["text"])


def _keep(interpreter: CodeInterpreter, folder: Path, scope: Scope) -> None:
    """Copies what was saved to where it can be looked at, if it is somewhere else."""
    if isinstance(interpreter.workspace, DirectoryWorkspace):
        return
    kept = DirectoryWorkspace(folder)
    for stored in interpreter.files(scope, "code-interpreter/"):
        kept.put(f"{scope.folder}/{stored.key}", interpreter.open(stored.key, scope=scope))


def _summary(interpreter: CodeInterpreter, folder: Path, scopes: list[Scope]) -> Tree:
    """Where the files lie, and how large they are."""
    tree = Tree(f"[bold]Results in {escape(str(folder))}/")
    for scope in scopes:
        branch = tree.add(escape(f"{scope.folder}/code-interpreter/"))
        for stored in interpreter.files(scope, "code-interpreter/"):
            branch.add(escape(f"{plain(stored.key.rpartition('/')[2])}  {stored.size:,} bytes"))
    return tree


AGENTS: dict[str, Callable[[CodeInterpreter, Scope, str, View], None]] = {
    "langchain": _run_langchain,
    "strands": _run_strands,
}
"""The demonstration's agents by name."""
