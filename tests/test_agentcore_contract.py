"""The AgentCore backend keeps the promises of the seam, over the wire, on confined sandboxes."""

from collections.abc import Iterator
from typing import ClassVar

import boto3
import pytest

from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.testing import BackendContract

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    backend = LocalBackend()
    with AgentCoreEmulator(backend) as url:
        yield url
    backend.close()


class TestAgentCore(BackendContract):
    known_differences: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def backend(self, url: str) -> Iterator[AgentCoreBackend]:
        keys = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none")
        backend = AgentCoreBackend("us-east-1", endpoint_url=url, boto_session=keys)
        yield backend
        backend.close()
