"""The standard suite for deepagents' sandboxes, on the local sandbox."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_tests.integration_tests import SandboxIntegrationTests

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.deepagents import CodeInterpreterBackend

pytestmark = [
    pytest.mark.local,
    # The suite's own fixtures are written in this way.
    pytest.mark.filterwarnings("ignore:Class-scoped fixtures defined as instance methods"),
]


class TestLocal(SandboxIntegrationTests):
    @pytest.fixture(scope="class")
    def sandbox(self) -> Iterator[CodeInterpreterBackend]:
        with CodeInterpreter(LocalBackend()) as interpreter:
            scope = Scope(user_id="ada", session_id="thread-1")
            yield CodeInterpreterBackend(interpreter, scope=scope)
