"""What all tests share: an interpreter over the fakes, and a way to speak to it as a model does."""

from collections.abc import Callable, Iterator

import pytest

from ci_toolkit import CodeInterpreter, Outcome, Scope
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.workspaces import InMemoryWorkspace

Call = Callable[..., Outcome]


@pytest.fixture
def scope() -> Scope:
    return Scope(user_id="ada", session_id="thread-1")


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture
def workspace() -> InMemoryWorkspace:
    return InMemoryWorkspace()


@pytest.fixture
def interpreter(
    backend: InMemoryBackend, workspace: InMemoryWorkspace
) -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend, workspace) as interpreter:
        yield interpreter


@pytest.fixture
def call(interpreter: CodeInterpreter, scope: Scope) -> Call:
    """Calls a tool by name with keyword arguments, for the default scope or the one given."""

    def call(name: str, /, *, scope: Scope = scope, **arguments: object) -> Outcome:
        return interpreter.call(name, arguments, scope=scope)

    return call
