"""How often code runs when its answer comes later than the client waits: here, and with the SDK.

The same code appends a line to a file; the same emulator answers too late; the same read timeout
is forced on both clients. What counts is the number of lines.

    python benchmarks/at_most_once.py [--read-timeout 1.0]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from bedrock_agentcore.tools.code_interpreter_client import CodeInterpreter
from botocore.config import Config

from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator, Fault

REGION = "us-east-1"


class Impatient(boto3.Session):
    """A session whose clients go to the emulator and wait so long and no longer."""

    def __init__(self, url: str, read_timeout: float) -> None:
        super().__init__(aws_access_key_id="none", aws_secret_access_key="none")
        self._url = url
        self._read_timeout = read_timeout

    def client(self, name: str, **settings: Any) -> Any:  # type: ignore[override]
        """Makes a client as asked for, but for its address and its read timeout."""
        config = settings.pop("config").merge(Config(read_timeout=self._read_timeout))
        settings["endpoint_url"] = self._url
        return super().client(name, config=config, **settings)  # type: ignore[call-overload]


def with_toolkit(session: Impatient, code: str) -> str:
    """Runs code through `AgentCoreBackend`; gives what the caller is told."""
    backend = AgentCoreBackend(REGION, boto_session=session)
    sandbox = backend.start(name="benchmark")
    try:
        return sandbox.execute_code(code, timeout=60).stdout
    except Exception as error:  # noqa: BLE001 - what it is, is the result
        return f"{type(error).__name__}: {error}"
    finally:
        backend.close()


def with_sdk(session: Impatient, code: str) -> str:
    """Runs code through the SDK's client, with its own settings but the read timeout."""
    client = CodeInterpreter(REGION, session=session)
    client.start()
    try:
        answer = client.invoke("executeCode", {"code": code, "language": "python"})
        return str(list(answer["stream"]))
    except Exception as error:  # noqa: BLE001 - what it is, is the result
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Prints one row for each client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read-timeout", type=float, default=1.0)
    read_timeout = parser.parse_args().read_timeout
    clients: dict[str, Callable[[Impatient, str], str]] = {
        "ci_toolkit AgentCoreBackend": with_toolkit,
        "bedrock-agentcore SDK": with_sdk,
    }
    print(f"{'client':30}{'times run':>10}{'seconds':>9}  told to the caller")
    for name, run in clients.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "runs")
            code = f"with open({str(file)!r}, 'a') as f:\n    _ = f.write('ran\\n')"
            emulator = AgentCoreEmulator(InMemoryBackend(run_python=True))
            with emulator as url:
                late = Fault(kind="slow_headers", tool="executeCode", seconds=2 * read_timeout)
                for _ in range(10):
                    emulator.fault(late)
                began = time.monotonic()
                told = run(Impatient(url, read_timeout), code)
                seconds = time.monotonic() - began
            lines = len(file.read_text().split())
        print(f"{name:30}{lines:>10}{seconds:>9.1f}  {told[:110]}")


if __name__ == "__main__":
    main()
