"""How long it takes until many conversations, which begin at once, each have their first answer.

The emulator runs in a process of its own, with the start-up time of the service and nothing behind
it. Both toolkits are asked through LangChain's tools, each conversation by its own thread id.

    python benchmarks/session_starts.py [--scopes 100] [--start-latency 0.8]
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ci_toolkit import CodeInterpreter
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.langchain import CodeInterpreterToolkit
from ci_toolkit.testing.emulator import endpoint_variables

Call = Callable[[str], Awaitable[object]]


async def ready(call: Call, scopes: int) -> float:
    """Seconds until all have been answered."""
    started = time.perf_counter()
    await asyncio.gather(*(call(f"thread-{number}") for number in range(scopes)))
    return time.perf_counter() - started


def config(thread: str) -> Any:
    """The configuration of one conversation."""
    return {"configurable": {"thread_id": thread, "user_id": "ada"}}


async def ours(scopes: int) -> float:
    """With this toolkit."""
    with CodeInterpreter(AgentCoreBackend(concurrency=scopes)) as interpreter:
        tool = CodeInterpreterToolkit(interpreter).get_tools()[0]
        arguments = {"code": "print(1)"}
        await tool.ainvoke(arguments, config("warm-up"))
        return await ready(lambda thread: tool.ainvoke(arguments, config(thread)), scopes)


async def theirs(scopes: int) -> float:
    """With langchain-aws' toolkit."""
    # It reads the environment when it is imported.
    from langchain_aws.tools import create_code_interpreter_toolkit  # noqa: PLC0415

    toolkit, tools = await create_code_interpreter_toolkit(region="us-east-1")
    tool: Any = next(tool for tool in tools if tool.name == "execute_code")
    arguments = {"code": "print(1)", "language": "python"}
    await tool.ainvoke(arguments, config=config("warm-up"))
    seconds = await ready(lambda thread: tool.ainvoke(arguments, config=config(thread)), scopes)
    await toolkit.cleanup()
    return seconds


def main() -> None:
    """Prints both figures and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scopes", type=int, default=100)
    parser.add_argument("--start-latency", type=float, default=0.8)
    options = parser.parse_args()
    command = [sys.executable, "-c", "from ci_toolkit.cli import main; main()", "emulate"]
    command += ["--backend", "memory", "--port", "0"]
    command += ["--start-latency", str(options.start_latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        url = emulator.stdout.readline().split()[-1]
        os.environ.update(endpoint_variables(url))
        here = asyncio.run(ours(options.scopes))
        print(f"ci_toolkit     {options.scopes} scopes ready in {here:6.2f} s")
        there = asyncio.run(theirs(options.scopes))
        print(f"langchain-aws  {options.scopes} scopes ready in {there:6.2f} s")
        print(f"ratio          {there / here:.1f}")
        emulator.terminate()


if __name__ == "__main__":
    main()
