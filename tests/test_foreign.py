"""Sandboxes of Strands and deepagents as backends: the promises of the seam, and what is their own.

They run on the host, in a temporary folder each: what is checked is the way in, not their walls.
"""

import gc
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, ClassVar

import deno  # type: ignore[import-untyped]
import pytest
from deepagents.backends import LocalShellBackend
from deepagents.backends.protocol import ExecuteResponse, SandboxBackendProtocol
from strands.sandbox import ExecutionResult, PosixShellSandbox, StreamChunk
from strands.sandbox.not_a_sandbox_local_environment import NotASandboxLocalEnvironment

from ci_toolkit import CodeInterpreter, ConfigurationError, Limits, Scope
from ci_toolkit.backends.base import Backend
from ci_toolkit.backends.deepagents_sandbox import DeepagentsSandboxBackend
from ci_toolkit.backends.foreign.hearing import Heard
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.strands_sandbox import StrandsSandboxBackend
from ci_toolkit.errors import (
    BackendUnavailableError,
    QuotaExceededError,
    SandboxLostError,
    UnsupportedError,
)
from ci_toolkit.results import FileWrite
from ci_toolkit.skill import skill_prompt
from ci_toolkit.strands import CodeInterpreterSandbox
from ci_toolkit.testing import BackendContract

ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


class FolderSandbox(PosixShellSandbox):
    """As Strands' Docker and SSH sandboxes are: one verb of its own, the others by commands."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.host = NotASandboxLocalEnvironment()

    async def execute_streaming(
        self,
        command: str,
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[StreamChunk | ExecutionResult, None]:
        where = self.folder if cwd is None else cwd
        async for piece in self.host.execute_streaming(
            command, timeout=timeout, cwd=where, env={**ENVIRONMENT, **(env or {})}
        ):
            yield piece


@contextmanager
def folder_sandbox() -> Iterator[FolderSandbox]:
    with TemporaryDirectory() as folder:
        yield FolderSandbox(folder)


@contextmanager
def local_shell(*, virtual_mode: bool = True) -> Iterator[LocalShellBackend]:
    with TemporaryDirectory() as folder:
        yield LocalShellBackend(root_dir=folder, virtual_mode=virtual_mode, env=ENVIRONMENT)


ADA, EVE = (Scope(user_id=user, session_id="1") for user in ("ada", "eve"))


@pytest.mark.local  # for its length, and for Deno
class TestStrands(BackendContract):
    large_file: ClassVar[int] = 4 * 1024 * 1024  # in pieces of 90,000 bytes, each by a command

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        scripts = [deno.find_deno_bin(), "run", "--quiet"]
        languages = {"javascript": scripts, "typescript": scripts}
        backend = StrandsSandboxBackend(folder_sandbox, languages=languages)
        yield backend
        backend.close()


@pytest.mark.local  # for its length
class TestDeepagents(BackendContract):
    large_file: ClassVar[int] = 16 * 1024 * 1024

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        backend = DeepagentsSandboxBackend(local_shell)
        yield backend
        backend.close()


@pytest.fixture(params=["strands", "deepagents"])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    backend: Any = (
        StrandsSandboxBackend(folder_sandbox)
        if request.param == "strands"
        else DeepagentsSandboxBackend(local_shell)
    )
    yield backend
    backend.close()


@pytest.mark.parametrize("source", [None, "docker", 3])
def test_what_is_no_sandbox_is_refused_while_building(source: Any) -> None:
    with pytest.raises(ConfigurationError, match="no Sandbox"):
        StrandsSandboxBackend(source)
    with pytest.raises(ConfigurationError, match="no SandboxBackendProtocol"):
        DeepagentsSandboxBackend(source)
    with pytest.raises(ConfigurationError, match="lists of words"):
        StrandsSandboxBackend(folder_sandbox, languages={"javascript": "node"})
    with pytest.raises(ConfigurationError, match="network"):
        StrandsSandboxBackend(folder_sandbox, network="all")  # type: ignore[arg-type]


def test_a_maker_that_fails_or_makes_something_else_is_told() -> None:
    def fails() -> Any:
        raise OSError("no daemon")

    with pytest.raises(BackendUnavailableError, match="no daemon"):
        StrandsSandboxBackend(fails).start(name="test")
    with pytest.raises(ConfigurationError, match="is no Sandbox"):
        StrandsSandboxBackend(lambda: "a sandbox").start(name="test")  # type: ignore[arg-type]


def test_a_sandbox_without_a_python_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "python3").chmod(0o755)
    bare = LocalShellBackend(root_dir=str(tmp_path), env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    with pytest.raises(ConfigurationError, match=r"python3 of 3\.9"):
        DeepagentsSandboxBackend(bare).start(name="test")


def test_a_sandbox_whose_files_are_elsewhere_is_refused(tmp_path: Path) -> None:
    class Apart(LocalShellBackend):
        def download_files(self, paths: list[str]) -> Any:
            return super().download_files([f"elsewhere/{path}" for path in paths])

    apart = Apart(root_dir=str(tmp_path), env=ENVIRONMENT)

    with pytest.raises(ConfigurationError, match="does not find what its commands wrote"):
        DeepagentsSandboxBackend(apart).start(name="test")
    assert [*tmp_path.iterdir()] == []


def test_a_sandbox_given_as_an_object_serves_one_conversation(tmp_path: Path) -> None:
    backend = StrandsSandboxBackend(FolderSandbox(str(tmp_path)))

    first = backend.start(name="ada")
    with pytest.raises(QuotaExceededError, match="one conversation"):
        backend.start(name="ada")
    first.close()
    with pytest.raises(QuotaExceededError, match="one conversation"):
        backend.start(name="eve")
    backend.start(name="ada").close()

    with CodeInterpreter(backend) as interpreter:
        outcome = interpreter.call("execute_command", {"command": "ls"}, scope=EVE)
    assert outcome.text.startswith("Error: The code interpreter has no capacity left")


def test_every_conversation_has_a_sandbox_that_its_maker_ends(backend: Any) -> None:
    write = {"operation": "write", "content": [{"path": "mine.txt", "text": "ada's"}]}
    look = {"operation": "list", "paths": ["."]}
    with CodeInterpreter(backend) as interpreter:
        assert not interpreter.call("file_operations", write, scope=ADA).is_error
        seen = interpreter.call("file_operations", look, scope=EVE)
        place = interpreter.call("execute_command", {"command": "pwd"}, scope=ADA).text

        assert seen.text == "(empty)"
        assert Path(place).exists()
    assert not Path(place).exists()


def test_a_model_is_told_that_variables_do_not_stay(backend: Any) -> None:
    prompt = skill_prompt(backend=backend)

    assert "Variables of Python are lost after a call" in prompt


def test_saved_files_come_back_where_a_sandbox_was_lost(backend: Any) -> None:
    code = {"code": "open('a.txt', 'w').write('kept')", "output_filename": "a.txt"}
    with CodeInterpreter(backend) as interpreter:
        saved = interpreter.call("execute_code", code, scope=ADA)
        place = interpreter.call("execute_command", {"command": "pwd"}, scope=ADA).text
        rmtree(place)

        lost = interpreter.call("execute_command", {"command": "cat a.txt"}, scope=ADA)
        again = interpreter.call("execute_command", {"command": "cat a.txt"}, scope=ADA)

    assert "code-interpreter/a.txt" in saved.text
    assert lost.is_error
    assert again.text.startswith("Note: The earlier sandbox is gone")
    assert again.text.endswith("kept")


def test_a_flood_of_output_is_bounded_and_kept_in_a_file(backend: Any) -> None:
    sandbox = backend.start(name="test")
    heard: list[str] = []

    execution = sandbox.execute_command(
        "yes flood | head -c 20000000", timeout=60, on_output=lambda _, text: heard.append(text)
    )

    assert (execution.exit_code, execution.output_bytes) == (0, 20_000_000)
    assert len(execution.stdout) < 140_000
    assert sum(map(len, heard)) <= 1024 * 1024
    (listing,) = sandbox.list_files([execution.output_file])
    assert listing.entries[0].size == 20_000_000


def test_sources_longer_than_a_command_line_run(backend: Any) -> None:
    sandbox = backend.start(name="test")
    text = "ä" * 400_000

    code = sandbox.execute_code(f"print(len('{text}'))", timeout=60)
    command = sandbox.execute_command(f"x='{text}'; echo ${{#x}} | wc -l", timeout=60)

    assert (code.stdout, command.stdout.strip()) == ("400000\n", "1")
    assert sandbox.list_files([""])[0].entries == ()


def test_a_script_is_the_main_module_and_sees_nothing_of_ours(backend: Any) -> None:
    sandbox = backend.start(name="test")
    code = (
        "import pickle, sys\n"
        "class Point: pass\n"
        "assert type(pickle.loads(pickle.dumps(Point()))) is Point\n"
        "print(__name__, sys.argv, sorted(n for n in globals() if not n.startswith('__')))"
    )

    assert sandbox.execute_code(code, timeout=60).stdout == (
        "__main__ [''] ['Point', 'pickle', 'sys']\n"
    )


def test_a_run_that_cannot_be_signalled_costs_the_sandbox_and_nothing_more() -> None:
    class OneAtATime(LocalShellBackend):
        turn = threading.Lock()

        def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
            with self.turn:
                return super().execute(command, timeout=timeout)

    @contextmanager
    def one_at_a_time() -> Iterator[SandboxBackendProtocol]:
        yield OneAtATime(root_dir=mkdtemp(), env=ENVIRONMENT)

    backend = DeepagentsSandboxBackend(one_at_a_time)
    sandbox = backend.start(name="test")
    thread = once_it_runs(sandbox, sandbox.interrupt)

    execution = sandbox.execute_command("touch begun; sleep 30", timeout=60)

    assert (execution.ended, execution.exit_code) == ("interrupted", 1)
    with pytest.raises(SandboxLostError, match="could not be ended"):
        sandbox.execute_command("true", timeout=10)
    thread.join()


def test_closing_ends_a_run_that_goes_on(backend: Any) -> None:
    sandbox = backend.start(name="test")
    thread = once_it_runs(sandbox, sandbox.close)

    with pytest.raises(SandboxLostError) as caught:
        sandbox.execute_command("touch begun; sleep 30", timeout=60)

    assert caught.value.may_have_run
    thread.join()


def once_it_runs(sandbox: Any, act: Callable[[], None]) -> threading.Thread:
    """Acts as soon as a run has made the file `begun`."""
    begun = Path(sandbox.working_directory, "begun")

    def wait() -> None:
        while not begun.exists():
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_what_code_left_behind_ends_with_the_session(backend: Any) -> None:
    sandbox = backend.start(name="test")
    started = "setsid sleep 300 >/dev/null 2>&1 & echo $!"

    pid = int(sandbox.execute_command(started, timeout=10).stdout)
    assert _runs(pid)
    sandbox.close()

    # On a busy machine the end may come a moment after `close`, which does not wait for ever.
    until = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # that of a zombie is empty
    except OSError:
        return False


@pytest.mark.parametrize(
    ("kind", "maker"),
    [(StrandsSandboxBackend, folder_sandbox), (DeepagentsSandboxBackend, local_shell)],
)
def test_a_backend_that_is_forgotten_gives_its_sandboxes_back(kind: Any, maker: Any) -> None:
    backend = kind(maker)
    place = Path(backend.start(name="test").working_directory)
    assert place.exists()

    del backend
    gc.collect()

    assert not place.exists()


def test_further_languages_are_those_that_the_host_names() -> None:
    shell = {"shell": ["sh"]}
    sandbox = StrandsSandboxBackend(folder_sandbox, languages=shell).start(name="test")

    assert sandbox.execute_code("echo $((6 * 7))", language="shell", timeout=10).stdout == "42\n"
    with pytest.raises(UnsupportedError, match="python, shell"):
        sandbox.execute_code("1", language="javascript", timeout=10)
    sandbox.close()


@pytest.mark.parametrize("cut", range(1, 12))
def test_live_output_ends_where_the_answer_begins_wherever_it_is_cut(cut: int) -> None:
    heard: list[tuple[str, str]] = []
    listener = Heard(lambda *piece: heard.append(piece), "f00")
    text = "a\n<f0\n\n<f00:answer:f00>\n"

    for start in range(0, len(text), cut):
        listener("stdout", text[start : start + cut])
    listener("stderr", "late")
    listener.close()
    listener("stderr", "too late")

    assert "".join(text for stream, text in heard if stream == "stdout") == "a\n<f0\n"
    assert [text for stream, text in heard if stream == "stderr"] == ["late"]


@pytest.mark.local
def test_our_own_sandbox_goes_out_by_one_door_and_in_by_the_other() -> None:
    with CodeInterpreter(LocalBackend()) as inner:
        backend = StrandsSandboxBackend(CodeInterpreterSandbox(inner, scope=ADA), network="none")
        with CodeInterpreter(backend, limits=Limits(timeout=30)) as outer:
            code = {"code": "print(6 * 7)\nopen('a.bin', 'wb').write(bytes(2_000_000))"}
            run = outer.call("execute_code", code, scope=ADA)
            saved = outer.call("ci_push_to_workspace", {"paths": ["a.bin"]}, scope=ADA)
            content = outer.download("code-interpreter/a.bin", scope=ADA)

    assert run.text == "42\n2000000"
    assert not saved.is_error
    assert content == bytes(2_000_000)


def test_a_content_that_comes_in_pieces_is_written_whole(backend: Any) -> None:
    sandbox = backend.start(name="test")
    data = os.urandom(300_000)

    (written,) = sandbox.write_files([FileWrite(path="a/b.bin", chunks=[data[:7], data[7:]])])

    assert written.error is None
    (content,) = [b"".join(found.chunks) for found in sandbox.read_files(["a/b.bin"])]
    assert content == data
    assert [entry.path for entry in sandbox.list_files([""], recursive=True)[0].entries] == [
        "a",
        "a/b.bin",
    ]
