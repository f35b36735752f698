"""What today's AgentCore toolkits tell a model, and what this one does, on the same wire.

Unmodified clients of other projects run against the emulator, each in the state in which its
readers would use it; only the read timeout is forced down, so that the last column does not take
minutes. What is counted is what comes out at the end, where a model would read it.

    python benchmarks/peers.py
"""

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from random import Random
from typing import Any, Protocol
from unittest.mock import patch

import boto3
from botocore.config import Config
from PIL import Image

from ci_toolkit import CodeInterpreter
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator, Fault
from ci_toolkit.testing.emulator import endpoint_variables

REGION = "us-east-1"
READ_TIMEOUT = 2.0
CHARACTERS = 120_000
"""More than anybody reads, and less than the sandbox itself cuts."""
APPEND = "with open('runs', 'a') as f:\n    _ = f.write('ran\\n')"


@dataclass(frozen=True)
class Reply:
    """What a model would get.

    Attributes:
        failed: Whether the framework is told that the call failed.
        text: All text.
        pictures: Picture blocks.
    """

    failed: bool
    text: str
    pictures: int = 0


class Peer(Protocol):
    """A toolkit under test, in one conversation."""

    package: str

    def specifications(self) -> int | None:
        """Characters of its tool specifications as JSON; None where it has no tools of its own."""
        ...

    def fail(self) -> Reply:
        """Runs something that fails."""
        ...

    def work(self) -> Reply:
        """Runs something harmless."""
        ...

    def flood(self) -> Reply:
        """Prints much."""
        ...

    def see(self) -> Reply | None:
        """Asks for `chart.png`, which the code makes; None where it has no tool that could."""
        ...

    def append(self) -> None:
        """Appends a line to the file `runs`."""
        ...


def chart() -> str:
    """Code that makes a picture of about 28 KB."""
    picture = io.BytesIO()
    Image.frombytes("L", (160, 180), Random(7).randbytes(160 * 180)).save(picture, "PNG")
    return f"file = open('chart.png', 'wb')\n_ = file.write({picture.getvalue()!r})\nfile.close()"


class Ours:
    """This toolkit, by its door for LangChain."""

    package = "ci-toolkit"

    def __init__(self) -> None:
        from ci_toolkit.langchain import CodeInterpreterToolkit  # noqa: PLC0415

        self._interpreter = CodeInterpreter(AgentCoreBackend(REGION))
        self._tools = {t.name: t for t in CodeInterpreterToolkit(self._interpreter).get_tools()}

    def specifications(self) -> int:
        """As LangChain sends them."""
        return langchain_characters(self._tools.values())

    def _run(self, **arguments: str) -> Reply:
        call = {"name": "execute_code", "args": arguments, "id": "1", "type": "tool_call"}
        return langchain_reply(self._tools["execute_code"].invoke(call))

    def fail(self) -> Reply:
        """A program that raises."""
        return self._run(code="1 / 0")

    def work(self) -> Reply:
        """A program that prints."""
        return self._run(code="print('again')")

    def flood(self) -> Reply:
        """A program that prints much."""
        return self._run(code=f"print('x' * {CHARACTERS})")

    def see(self) -> Reply:
        """The file of a program."""
        return self._run(code=chart(), output_filename="chart.png")

    def append(self) -> None:
        """A program with an effect."""
        self._run(code=APPEND)


class LangChainAws:
    """`CodeInterpreterToolkit` of langchain-aws."""

    package = "langchain-aws"

    def __init__(self) -> None:
        from langchain_aws.tools.code_interpreter_toolkit import (  # noqa: PLC0415
            CodeInterpreterToolkit,
        )

        toolkit = CodeInterpreterToolkit(region=REGION)
        self._tools = {tool.name: tool for tool in toolkit._create_tools()}  # noqa: SLF001

    def specifications(self) -> int:
        """As LangChain sends them."""
        return langchain_characters(self._tools.values())

    def _call(self, name: str, **arguments: Any) -> Reply:
        call = {"name": name, "args": arguments, "id": "1", "type": "tool_call"}
        return langchain_reply(
            self._tools[name].invoke(call, {"configurable": {"thread_id": "thread-1"}})
        )

    def fail(self) -> Reply:
        """A program that raises."""
        return self._call("execute_code", code="1 / 0")

    def work(self) -> Reply:
        """A program that prints."""
        return self._call("execute_code", code="print('again')")

    def flood(self) -> Reply:
        """A program that prints much."""
        return self._call("execute_code", code=f"print('x' * {CHARACTERS})")

    def see(self) -> Reply:
        """The file, read by its tool for that."""
        self._call("execute_code", code=chart())
        return self._call("read_files", paths=["chart.png"])

    def append(self) -> None:
        """A program with an effect."""
        self._call("execute_code", code=APPEND)


class StrandsTools:
    """`AgentCoreCodeInterpreter` of strands-agents-tools."""

    package = "strands-agents-tools"

    def __init__(self) -> None:
        from strands_tools.code_interpreter import AgentCoreCodeInterpreter  # noqa: PLC0415

        self._place: Any = AgentCoreCodeInterpreter(region=REGION, persist_sessions=False)

    def specifications(self) -> int:
        """As Strands sends them."""
        return len(json.dumps(self._place.code_interpreter.tool_spec))

    def _act(self, **action: Any) -> Reply:
        result = self._place.code_interpreter(code_interpreter_input={"action": action})
        content = result["content"]
        return Reply(
            failed=result["status"] == "error",
            text="".join(str(block.get("text", "")) for block in content),
            pictures=sum("image" in block for block in content),
        )

    def _run(self, code: str) -> Reply:
        return self._act(type="executeCode", code=code, language="python")

    def fail(self) -> Reply:
        """A program that raises."""
        return self._run("1 / 0")

    def work(self) -> Reply:
        """A program that prints."""
        return self._run("print('again')")

    def flood(self) -> Reply:
        """A program that prints much."""
        return self._run(f"print('x' * {CHARACTERS})")

    def see(self) -> Reply:
        """The file, read by its action for that."""
        self._run(chart())
        return self._act(type="readFiles", paths=["chart.png"])

    def append(self) -> None:
        """A program with an effect."""
        self._run(APPEND)


class DeepAgents:
    """`AgentCoreSandbox`, which deepagents' own tools work on: commands and files, no code."""

    package = "langchain-agentcore-codeinterpreter"

    def __init__(self) -> None:
        from bedrock_agentcore.tools.code_interpreter_client import (  # noqa: PLC0415
            CodeInterpreter as Client,
        )
        from langchain_agentcore_codeinterpreter import AgentCoreSandbox  # type: ignore[import-untyped] # noqa: PLC0415

        client = Client(region=REGION)
        client.start()
        self._sandbox = AgentCoreSandbox(interpreter=client)

    def specifications(self) -> None:
        """The tools are deepagents'."""

    def _execute(self, command: str) -> Reply:
        done = self._sandbox.execute(command)
        return Reply(failed=bool(done.exit_code), text=done.output)

    def fail(self) -> Reply:
        """A command with an exit code of 3."""
        return self._execute("exit 3")

    def work(self) -> Reply:
        """A command that prints."""
        return self._execute("echo again")

    def flood(self) -> Reply:
        """A command that prints much."""
        return self._execute(f"head -c {CHARACTERS} /dev/zero | tr '\\0' x")

    def see(self) -> None:
        """The tools that read files are deepagents'."""

    def append(self) -> None:
        """A command with an effect."""
        self._execute("echo ran >> runs")


PEERS: tuple[type[Peer], ...] = (Ours, LangChainAws, StrandsTools, DeepAgents)


def langchain_characters(tools: Any) -> int:
    """Characters of tools as LangChain gives them to a model."""
    from langchain_core.utils.function_calling import convert_to_openai_tool  # noqa: PLC0415

    return sum(len(json.dumps(convert_to_openai_tool(tool))) for tool in tools)


def langchain_reply(message: Any) -> Reply:
    """What is in a `ToolMessage`."""
    return Reply(
        failed=message.status == "error",
        text=str(message.text),
        pictures=sum(block["type"] == "image" for block in message.content_blocks),
    )


def picture(peer: Peer) -> str:
    """What a model gets that asks for a chart of 28 KB."""
    reply = peer.see()
    if reply is None:
        return "-"
    return "a picture" if reply.pictures else f"{len(reply.text):,} characters"


def expiry(peer: Peer, emulator: AgentCoreEmulator) -> str:
    """What the two calls after the end of a session come to."""
    emulator.expire(session(emulator))
    return ", then ".join(_after(peer) for _ in range(2))


def _after(peer: Peer) -> str:
    try:
        reply = peer.work()
    except Exception:  # noqa: BLE001 - that it raises is the result
        return "raised"
    told = " and told of the loss" if "lost" in reply.text else ""
    return f"{'error' if reply.failed else 'answered'}{told}"


def late(peer: Peer, emulator: AgentCoreEmulator) -> int:
    """How often something ran whose answer came later than the client waits."""
    ready(peer)
    which = session(emulator)
    for _ in range(6):
        emulator.fault(Fault(kind="slow_headers", seconds=1.5 * READ_TIMEOUT))
    with suppress(Exception):  # the answer is late: only what ran is counted
        peer.append()
    emulator.clear_faults()
    client = boto3.client("bedrock-agentcore")
    answer = client.invoke_code_interpreter(
        codeInterpreterIdentifier="aws.codeinterpreter.v1",
        sessionId=which,
        name="readFiles",
        arguments={"paths": ["runs"]},
    )
    (event,) = answer["stream"]
    return str(event["result"]["content"][0]["resource"]["text"]).count("ran")


def ready(peer: Peer) -> None:
    """Works until it is answered in time, which a session that just begins may not do."""
    for _ in range(10):
        with suppress(Exception):
            if not peer.work().failed:
                return
    raise RuntimeError(f"{peer.package} does not work.")


def session(emulator: AgentCoreEmulator) -> str:
    """The session that was used last."""
    return next(record.session for record in reversed(emulator.requests) if record.session)


@contextmanager
def impatient() -> Iterator[None]:
    """Clients that boto3 makes meanwhile wait for two seconds."""
    make = boto3.Session.client

    def client(self: boto3.Session, name: str, **settings: Any) -> Any:
        config = (settings.pop("config", None) or Config()).merge(Config(read_timeout=READ_TIMEOUT))
        return make(self, name, config=config, **settings)  # type: ignore[call-overload]

    with patch.object(boto3.Session, "client", client):
        yield


def column(kind: type[Peer], emulator: AgentCoreEmulator) -> list[str]:
    """All that is found out about one toolkit."""
    peer = kind()
    specifications = peer.specifications()
    found = [
        f"{kind.package} {version(kind.package)}",
        "error" if peer.fail().failed else "success",
        picture(peer),
        f"{len(peer.flood().text):,}",
        "-" if specifications is None else f"{specifications:,}",
        expiry(peer, emulator),
    ]
    with impatient():
        return [*found, str(late(kind(), emulator))]


QUESTIONS = [
    "",
    "failing code is told as",
    "a picture of 28 KB comes as",
    f"characters of an output of {CHARACTERS:,}",
    "characters of tool specifications",
    "two calls after the session's end",
    "runs when the answer is late",
]


def measure() -> list[list[str]]:
    """A list of findings for each toolkit."""
    backend = LocalBackend(warm=2)
    emulator = AgentCoreEmulator(backend)
    try:
        with emulator as url, patch.dict(os.environ, endpoint_variables(url)):
            return [column(kind, emulator) for kind in PEERS]
    finally:
        backend.close()


def main() -> None:
    """Prints the table as Markdown."""
    warnings.simplefilter("ignore")
    logging.disable()
    head, *rows = zip(QUESTIONS, *measure(), strict=True)
    for cells in [head, ["---"] * len(head), *rows]:
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
