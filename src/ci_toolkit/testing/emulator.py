"""A pytest fixture: AgentCore emulators, and the settings that lead unmodified clients to them.

```python
from ci_toolkit.testing.emulator import agentcore_emulator  # noqa: F401 - in conftest.py

def test_my_agent(agentcore_emulator):
    backend = InMemoryBackend(run_python=True)
    emulator = agentcore_emulator(backend, latency=0.1)
    emulator.fault(Fault(kind="throttle", times=2))
    client = boto3.client("bedrock-agentcore")         # finds the emulator by the environment
```
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from ci_toolkit.backends.base import Backend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator

__all__ = ["StartEmulator", "agentcore_emulator", "endpoint_variables"]


class StartEmulator(Protocol):
    """Starts an emulator that ends with the test."""

    def __call__(self, backend: Backend | None = None, **settings: Any) -> AgentCoreEmulator:
        """Starts it and points the environment at it.

        Args:
            backend: Runs the code; by default trusted Python in this process. Left open.
            settings: Arguments of `AgentCoreEmulator`.
        """
        ...


@pytest.fixture
def agentcore_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartEmulator]:
    """Starts emulators, and sets the environment so that clients made afterwards find the last."""
    with ExitStack() as running:

        def start(backend: Backend | None = None, **settings: Any) -> AgentCoreEmulator:
            emulator = AgentCoreEmulator(backend or InMemoryBackend(run_python=True), **settings)
            url = running.enter_context(emulator)
            for name, value in endpoint_variables(url).items():
                monkeypatch.setenv(name, value)
            return emulator

        yield start


def endpoint_variables(url: str) -> dict[str, str]:
    """Environment variables that lead the AWS SDKs, and all that is built on them, to an emulator.

    The bedrock-agentcore SDK reads its own two when it is imported.
    """
    return {
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": url,
        "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL": url,
        "BEDROCK_AGENTCORE_DP_ENDPOINT": url,
        "BEDROCK_AGENTCORE_CP_ENDPOINT": url,
    }
