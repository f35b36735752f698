"""What a call through the toolkit costs, beside a bare jupyter_client execution of the same cell.

Both run in one process, one after the other in turns, so that a busy machine slows both. The
numbers that count are the ratios.

    python benchmarks/call_overhead.py [--rounds 300]
"""

import argparse
import statistics
import subprocess
import time
from collections.abc import Callable

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.langchain import CodeInterpreterToolkit

CELL = "total = sum(range(100))\nprint(total)"
SCOPE = Scope(user_id="benchmark", session_id="calls")


def bare(client: BlockingKernelClient) -> None:
    """Runs the cell and reads its output, as the library's own interactive call does."""
    seen: list[str] = []
    client.execute_interactive(
        CELL,
        output_hook=lambda message: seen.append(message["content"].get("text", "")),
        timeout=60,
    )
    assert "4950" in "".join(seen)


def main() -> None:
    """Prints one line for each way to run the cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    manager = KernelManager(transport="ipc")
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    backend = LocalBackend()
    with CodeInterpreter(backend) as interpreter:
        langchain = CodeInterpreterToolkit(interpreter, scope=SCOPE).get_tools()[0]
        sandbox = backend.start(name="benchmark")
        ways: dict[str, Callable[[], object]] = {
            "jupyter_client, bare": lambda: bare(client),
            "sandbox.execute_code": lambda: sandbox.execute_code(CELL, timeout=60),
            "interpreter.call": lambda: interpreter.call(
                "execute_code", {"code": CELL}, scope=SCOPE
            ),
            "LangChain tool.invoke": lambda: langchain.invoke({"code": CELL}),
        }
        seconds = measure(ways, rounds)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    first = statistics.median(seconds["jupyter_client, bare"])
    print(f"{'median of ' + str(rounds) + ' calls':28}{'ms':>8}{'ratio':>8}")
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"{name:28}{middle * 1000:8.2f}{middle / first:8.2f}")


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call; the ways take turns, and the first calls do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 5):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if number >= 5:
                seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
