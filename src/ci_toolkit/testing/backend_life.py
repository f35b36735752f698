"""The part of the backend's contract about beginning, end, and what all parts share."""

from collections.abc import Iterator
from typing import ClassVar

import pytest

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.backends.detaching import Detaching
from ci_toolkit.errors import SandboxLostError, ToolError, UnsupportedError
from ci_toolkit.results import Execution, FileWrite, OnOutput
from ci_toolkit.testing.contract import Contract

__all__ = ["LifeContract", "SandboxContract"]


class SandboxContract(Contract):
    """What the parts of the backend's contract share."""

    patience: ClassVar[float]
    large_file: ClassVar[int]
    special_files: ClassVar[bool]

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        """The backend to check; a subclass gives it, and closes it after the test."""
        raise NotImplementedError(
            f"{type(self).__name__} must override the fixture `backend` with one that yields "
            "a Backend."
        )

    @pytest.fixture
    def sandbox(self, backend: Backend) -> Iterator[Sandbox]:
        """A new sandbox of the backend."""
        sandbox = backend.start(name="contract")
        yield sandbox
        sandbox.close()

    def python(
        self,
        sandbox: Sandbox,
        code: str,
        *,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> Execution:
        """Runs Python with the suite's patience."""
        limit = self.patience if timeout is None else timeout
        return sandbox.execute_code(code, timeout=limit, on_output=on_output)

    def write(self, sandbox: Sandbox, path: str, data: bytes) -> ToolError | None:
        """Writes one file and gives the error of its outcome."""
        (outcome,) = sandbox.write_files([FileWrite(path=path, chunks=[data])])
        assert outcome.path == path
        return outcome.error

    def read(self, sandbox: Sandbox, path: str) -> bytes | ToolError:
        """Reads one file whole, or gives the error of its outcome."""
        (found,) = [
            (content.path, content.error or b"".join(content.chunks))
            for content in sandbox.read_files([path])
        ]
        assert found[0] == path
        return found[1]

    def names(self, sandbox: Sandbox, path: str = "", *, recursive: bool = False) -> list[str]:
        """The paths of a listing, as given, without the dotfiles of the sandbox itself."""
        (listing,) = sandbox.list_files([path], recursive=recursive)
        assert listing.error is None
        return [entry.path for entry in listing.entries]


class LifeContract(SandboxContract):
    """Beginning and end."""

    def test_backend_and_sandbox_have_all_verbs(self, backend: Backend, sandbox: Sandbox) -> None:
        assert isinstance(backend, Backend)
        assert isinstance(sandbox, Sandbox)

    def test_python_is_the_first_language(self, backend: Backend) -> None:
        assert backend.name
        assert backend.languages[0] == "python"
        assert backend.abilities.stateful <= set(backend.languages)

    def test_working_directory_is_absolute(self, sandbox: Sandbox) -> None:
        assert sandbox.working_directory.startswith("/")

    def test_two_sandboxes_share_nothing(self, backend: Backend, sandbox: Sandbox) -> None:
        other = backend.start(name="contract")
        self.python(sandbox, "mine = 1")
        assert self.write(sandbox, "mine.txt", b"mine") is None
        assert other.id != sandbox.id
        assert self.python(other, "mine").exit_code == 1
        assert self.read(other, "mine.txt") != b"mine"
        other.close()

    def test_closing_twice_is_harmless(self, sandbox: Sandbox) -> None:
        sandbox.close()
        sandbox.close()

    @pytest.mark.parametrize("verb", ["code", "command", "write", "read", "list", "remove"])
    def test_every_verb_of_a_closed_sandbox_says_that_it_is_lost(
        self, sandbox: Sandbox, verb: str
    ) -> None:
        sandbox.close()
        with pytest.raises(SandboxLostError) as caught:
            _use(sandbox, verb)
        assert caught.value.may_have_run is False

    def test_interrupting_a_closed_sandbox_does_nothing(self, sandbox: Sandbox) -> None:
        sandbox.close()
        sandbox.interrupt()

    def test_closing_the_backend_ends_its_sandboxes(
        self, backend: Backend, sandbox: Sandbox
    ) -> None:
        backend.close()
        backend.close()
        with pytest.raises(SandboxLostError):
            sandbox.list_files([""])

    def test_a_running_sandbox_is_found_again_or_the_backend_says_that_it_cannot(
        self, backend: Backend, sandbox: Sandbox
    ) -> None:
        if not backend.abilities.attach:
            with pytest.raises(UnsupportedError):
                backend.attach(sandbox.id)
            return
        assert self.write(sandbox, "kept.txt", b"kept") is None
        again = backend.attach(sandbox.id)
        assert again.id == sandbox.id
        assert self.read(again, "kept.txt") == b"kept"

    def test_a_sandbox_that_was_let_go_of_goes_on(self, backend: Backend, sandbox: Sandbox) -> None:
        if not backend.abilities.attach:
            pytest.skip("the backend cannot attach")
        assert isinstance(sandbox, Detaching)
        assert self.write(sandbox, "kept.txt", b"kept") is None
        sandbox.detach()
        sandbox.detach()
        again = backend.attach(sandbox.id)
        assert self.read(again, "kept.txt") == b"kept"
        again.close()

    def test_a_sandbox_that_has_ended_is_not_found_again(
        self, backend: Backend, sandbox: Sandbox
    ) -> None:
        if not backend.abilities.attach:
            pytest.skip("the backend cannot attach")
        sandbox.close()
        with pytest.raises(SandboxLostError):
            backend.attach(sandbox.id)


def _use(sandbox: Sandbox, verb: str) -> None:
    match verb:
        case "code":
            sandbox.execute_code("1", timeout=10)
        case "command":
            sandbox.execute_command("true", timeout=10)
        case "write":
            sandbox.write_files([FileWrite(path="a", chunks=[b"a"])])
        case "read":
            list(sandbox.read_files(["a"]))
        case "list":
            sandbox.list_files([""])
        case _:
            sandbox.remove_files(["a"])
