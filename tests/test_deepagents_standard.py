"""LangChain's standard suite for deepagents' sandboxes, on every backend that runs commands."""

from collections.abc import Iterator
from typing import ClassVar

import boto3
import pytest
from langchain_tests.integration_tests import SandboxIntegrationTests

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.deepagents import CodeInterpreterBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.testing import Contract

pytestmark = [
    pytest.mark.local,
    # The suite's own fixtures are written in this way.
    pytest.mark.filterwarnings("ignore:Class-scoped fixtures defined as instance methods"),
]

OVERWRITES = (
    "the suite wants write() to refuse a file that exists; deepagents' BackendProtocol.write says "
    "'creating it or overwriting it if it already exists'"
)
ABSOLUTE = (
    "the suite wants glob() to give relative paths; deepagents' BackendProtocol.glob says "
    "'FileInfo.path is always absolute', since its permissions would otherwise be bypassed"
)


class OnOneSandbox(Contract, SandboxIntegrationTests):
    known_differences: ClassVar[dict[str, str]] = {
        "test_write_existing_file_fails": OVERWRITES,
        "test_glob": ABSOLUTE,
        "test_glob_basic_pattern": ABSOLUTE,
        "test_glob_with_directories": ABSOLUTE,
        "test_glob_hidden_files_explicitly": ABSOLUTE,
        "test_glob_with_character_class": ABSOLUTE,
        "test_glob_with_question_mark": ABSOLUTE,
    }


def sandbox_of(interpreter: CodeInterpreter) -> CodeInterpreterBackend:
    return CodeInterpreterBackend(interpreter, scope=Scope(user_id="ada", session_id="thread-1"))


class TestLocal(OnOneSandbox):
    @pytest.fixture(scope="class")
    def sandbox(self) -> Iterator[CodeInterpreterBackend]:
        with CodeInterpreter(LocalBackend()) as interpreter:
            yield sandbox_of(interpreter)


class TestAgentCore(OnOneSandbox):
    @pytest.fixture(scope="class")
    def sandbox(self) -> Iterator[CodeInterpreterBackend]:
        keys = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none")
        local = LocalBackend()
        with AgentCoreEmulator(local) as url:
            backend = AgentCoreBackend("us-east-1", endpoint_url=url, boto_session=keys)
            with CodeInterpreter(backend) as interpreter:
                yield sandbox_of(interpreter)
        local.close()
