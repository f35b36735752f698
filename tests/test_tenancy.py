"""Which sandbox a conversation is in: found again elsewhere, and replaced before its end."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ci_toolkit import CodeInterpreter, Limits, Outcome, Scope
from ci_toolkit.backends.base import Abilities, Sandbox
from ci_toolkit.backends.memory import InMemoryBackend, InMemorySandbox
from ci_toolkit.errors import (
    AccessDeniedError,
    CancelledCallError,
    OutcomeUnknownError,
    QuotaExceededError,
    SandboxLostError,
    WorkspaceError,
)
from ci_toolkit.workspaces import InMemoryWorkspace
from ci_toolkit.workspaces.base import StoredFile

SCOPE = Scope(user_id="ada", session_id="thread-1")
RECORD = "ada/thread-1/sandboxes/main/record.json"
LOST = "Note: The earlier sandbox is gone"
REPLACED = "Note: The sandbox came to the end of its time and was replaced before this call. "

New = Callable[[], CodeInterpreter]


@pytest.fixture
def new(backend: InMemoryBackend, workspace: InMemoryWorkspace) -> New:
    """Another process's interpreter, over the same service and the same workspace."""
    kept = []  # Whoever drops an interpreter ends its sandboxes.

    def new() -> CodeInterpreter:
        kept.append(CodeInterpreter(backend, workspace))
        return kept[-1]

    return new


def run(interpreter: CodeInterpreter, code: str, scope: Scope = SCOPE, **more: str) -> str:
    outcome: Outcome = interpreter.call("execute_code", {"code": code, **more}, scope=scope)
    return outcome.text


def verbs(backend: InMemoryBackend) -> list[str]:
    return [call.verb for call in backend.calls]


class TestAnotherProcess:
    def test_finds_the_same_sandbox_and_its_variables_without_a_note(
        self, new: New, backend: InMemoryBackend
    ) -> None:
        first, second = new(), new()
        run(first, "x = 1")

        assert run(second, "x += 1; print(x)") == "2"
        assert run(first, "print(x)") == "2"
        assert backend.started == 1

    def test_is_told_once_where_the_recorded_sandbox_is_gone(
        self, new: New, backend: InMemoryBackend
    ) -> None:
        run(new(), "x = 1")
        backend.lose(backend.sandboxes[0])
        second = new()

        assert run(second, "print('on')").startswith(LOST)
        assert run(second, "print('on')") == "on"

    def test_that_replaced_a_lost_sandbox_has_told_of_it_for_all(
        self, new: New, backend: InMemoryBackend
    ) -> None:
        first, second = new(), new()
        run(first, "x = 1")
        run(second, "x = 1")
        backend.lose(backend.sandboxes[0])

        assert run(second, "y = 2; print('there')").startswith(LOST)
        assert run(first, "print(y)") == "2"
        assert backend.started == 2

    def test_that_starts_at_the_same_moment_shares_the_one_sandbox_that_is_left(
        self, workspace: InMemoryWorkspace
    ) -> None:
        both = threading.Barrier(2, timeout=20)

        class Meeting(InMemoryBackend):
            def start(self, *, name: str) -> InMemorySandbox:
                sandbox = super().start(name=name)
                if self.started <= 2:
                    both.wait()
                return sandbox

        backend = Meeting(run_python=True)
        interpreters = [CodeInterpreter(backend, workspace) for _ in range(2)]
        said: list[str] = []
        threads = [
            threading.Thread(target=lambda i=i: said.append(run(i, "print('ready')")))
            for i in interpreters
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run(interpreters[0], "x = 7")

        assert said == ["ready", "ready"]
        assert run(interpreters[1], "print(x)") == "7"
        assert len(backend.sandboxes) == 1

    def test_that_loses_the_sandbox_at_the_same_moment_is_not_told_what_the_other_one_is(
        self, workspace: InMemoryWorkspace
    ) -> None:
        both = threading.Barrier(2, timeout=20)

        class Meeting(InMemoryBackend):
            def start(self, *, name: str) -> InMemorySandbox:
                sandbox = super().start(name=name)
                if self.started in (2, 3):
                    both.wait()
                return sandbox

        backend = Meeting(run_python=True)
        interpreters = [CodeInterpreter(backend, workspace) for _ in range(2)]
        for interpreter in interpreters:
            run(interpreter, "x = 1")
        backend.lose(backend.sandboxes[0])
        said: list[str] = []
        threads = [
            threading.Thread(target=lambda i=i: said.append(run(i, "print('on')")))
            for i in interpreters
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(text.startswith(LOST) for text in said) == [False, True]
        assert len(backend.sandboxes) == 1

    def test_attaches_to_the_one_that_came_in_place_of_what_it_found(
        self, new: New, backend: InMemoryBackend, workspace: InMemoryWorkspace
    ) -> None:
        run(new(), "x = 1")
        attach = backend.attach

        def replaced_meanwhile(sandbox_id: str) -> InMemorySandbox:
            found = attach(sandbox_id)
            if backend.started == 1:
                backend.start(name="another process's").execute_code("x = 2", timeout=10)
                before = b"".join(workspace.open(RECORD))
                after = before.replace(sandbox_id.encode(), backend.sandboxes[1].id.encode())
                workspace.put(RECORD, [after])
            return found

        backend.attach = replaced_meanwhile  # type: ignore[method-assign]

        assert run(new(), "print(x)") == "2"
        assert backend.started == 2

    def test_goes_on_in_a_new_sandbox_where_it_may_not_ask_for_the_recorded_one(
        self, new: New, backend: InMemoryBackend
    ) -> None:
        run(new(), "x = 1")
        backend.fail("attach", AccessDeniedError("no GetCodeInterpreterSession"), times=None)
        second = new()

        assert run(second, "print('on')").startswith(LOST)
        assert run(second, "print('on')") == "on"

    def test_does_not_bring_an_upload_that_is_there_already(
        self, new: New, backend: InMemoryBackend
    ) -> None:
        first, second = new(), new()
        run(first, "1")
        run(second, "1")
        first.upload("a.txt", b"one", scope=SCOPE)
        run(first, "open('a.txt', 'a').write(' and more')")

        assert run(second, "print(open('a.txt').read())") == "one and more"

    def test_never_takes_a_record_that_is_another_scope_s(
        self, new: New, backend: InMemoryBackend, workspace: InMemoryWorkspace
    ) -> None:
        run(new(), "secret = 1")
        copied = RECORD.replace("ada", "bob")
        workspace.put(copied, workspace.open(RECORD))

        bob = Scope(user_id="bob", session_id="thread-1")
        assert "NameError" in run(new(), "print(secret)", bob)
        assert backend.started == 2

    @pytest.mark.parametrize("content", [b"", b"{", b'{"version": 1}', b"[]", b"\xff\xfe"])
    def test_goes_on_where_the_record_is_damaged(
        self, new: New, workspace: InMemoryWorkspace, content: bytes
    ) -> None:
        run(new(), "x = 1")
        workspace.put(RECORD, [content])
        second = new()

        assert run(second, "print('on')").startswith(LOST)
        assert run(second, "print('on')") == "on"
        assert run(new(), "print('on')") == "on"

    def test_cannot_attach_where_the_backend_cannot_and_is_told_of_the_loss(
        self, workspace: InMemoryWorkspace
    ) -> None:
        abilities = Abilities(network="none", stateful=frozenset({"python"}), attach=False)
        backend = InMemoryBackend(run_python=True, abilities=abilities)
        run(CodeInterpreter(backend, workspace), "x = 1")

        assert run(CodeInterpreter(backend, workspace), "print('on')").startswith(LOST)

    def test_that_attached_last_ends_the_sandbox(self, new: New, backend: InMemoryBackend) -> None:
        first, second = new(), new()
        run(first, "x = 1")
        run(second, "x = 1")

        first._sessions.close()
        assert len(backend.sandboxes) == 1
        second._sessions.close()
        assert not backend.sandboxes

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_keeps_what_it_takes_over_while_another_session_of_the_interpreter_ends(
        self, new: New, backend: InMemoryBackend, workspace: InMemoryWorkspace, when: str
    ) -> None:
        # As where a call comes while its session is ended for being idle.
        interpreter = new()
        run(interpreter, "x = 1")
        (idle,) = interpreter._sessions._take(lambda _: True)
        if when == "before":
            assert run(interpreter, "print(x)") == "1"
            idle.close_if_owned()
            assert run(interpreter, "print(x)") == "1"
        else:
            idle.close_if_owned()
            assert run(interpreter, "print('on')").startswith(LOST)
            assert "attach" not in verbs(backend)

    def test_goes_on_with_what_was_detached(self, new: New, backend: InMemoryBackend) -> None:
        first = new()
        run(first, "x = 1")
        first.detach()
        first._sessions.close()

        assert run(new(), "print(x)") == "1"
        assert run(first, "print(x)") == "1"
        assert backend.started == 1
        assert verbs(backend).count("detach") == 1

    def test_closes_a_conversation_for_all(self, new: New, backend: InMemoryBackend) -> None:
        first, second = new(), new()
        run(first, "x = 1")
        run(second, "x = 1")
        first.close(SCOPE)

        assert not backend.sandboxes
        assert run(second, "print('on')").startswith(LOST)


def test_a_closed_session_leaves_the_sandbox_of_the_next_one_alone(
    new: New, backend: InMemoryBackend
) -> None:
    interpreter = new()
    run(interpreter, "x = 1")

    def closed_meanwhile(sandbox: Sandbox) -> None:
        interpreter.close(SCOPE)
        run(interpreter, "y = 2")
        sandbox.execute_code("print(y)", timeout=10)

    with pytest.raises(CancelledCallError):
        interpreter.with_sandbox(closed_meanwhile, scope=SCOPE)

    assert run(interpreter, "print(y)") == "2"
    assert backend.started == 2


def test_a_conversation_goes_on_where_nothing_can_be_written(backend: InMemoryBackend) -> None:
    class ReadOnly(InMemoryWorkspace):
        def put(self, key: str, *_: object, **__: object) -> StoredFile:
            raise WorkspaceError(f"{key}: read-only file system")

    with CodeInterpreter(backend, ReadOnly()) as interpreter:
        assert run(interpreter, "x = 1; print(x)") == "1"
        near_its_end(interpreter)
        assert run(interpreter, "print(x)").startswith(REPLACED)
        backend.lose(backend.sandboxes[0])
        assert run(interpreter, "print('on')").startswith(LOST)
    assert not backend.sandboxes


@pytest.mark.parametrize("error", [WorkspaceError("gone"), RuntimeError("a defect")])
def test_a_sandbox_is_ended_whatever_its_workspace_does(
    new: New,
    backend: InMemoryBackend,
    workspace: InMemoryWorkspace,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    interpreter = new()
    run(interpreter, "1")

    def fail(*_: object, **__: object) -> StoredFile:
        raise error

    monkeypatch.setattr(workspace, "put", fail)
    interpreter._sessions.close()

    assert not backend.sandboxes


def test_a_conversation_goes_on_where_a_saved_file_was_removed_from_the_workspace(
    interpreter: CodeInterpreter, backend: InMemoryBackend, workspace: InMemoryWorkspace
) -> None:
    for name in ("gone.txt", "there.txt"):
        run(interpreter, f"open({name!r}, 'w').write('x')", output_filename=name)
    workspace.delete("ada/thread-1/code-interpreter/gone.txt")
    backend.lose(backend.sandboxes[0])

    text = run(interpreter, "import os; print(os.listdir())")

    assert text.startswith(LOST)
    assert text.endswith("Restored: there.txt. Could not be restored: gone.txt.\n['there.txt']")
    assert run(interpreter, "print('on')") == "on"


def test_a_conversation_goes_on_where_nobody_knows_any_more_what_was_saved(
    interpreter: CodeInterpreter, backend: InMemoryBackend, workspace: InMemoryWorkspace
) -> None:
    run(interpreter, "open('a.txt', 'w').write('x')", output_filename="a.txt")
    (manifest,) = (each.key for each in workspace.list("") if each.key.endswith("manifest.json"))
    workspace.put(manifest, [b"{"])
    backend.lose(backend.sandboxes[0])

    text = run(interpreter, "print('on')")

    assert text.startswith(LOST)
    assert text.endswith("\nNote: Which files were saved cannot be read; none of them is here.\non")
    assert run(interpreter, "print('on')") == "on"


def test_an_upload_that_is_removed_while_it_is_brought_costs_itself_alone(
    interpreter: CodeInterpreter, workspace: InMemoryWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        interpreter.upload(name, b"x", scope=SCOPE)
    listed = list(workspace.list("ada/thread-1/uploads/"))
    workspace.delete("ada/thread-1/uploads/a")
    real = workspace.list

    def as_before(prefix: str) -> Iterator[StoredFile]:
        return iter(listed) if prefix.endswith("uploads/") else real(prefix)

    monkeypatch.setattr(workspace, "list", as_before)

    assert run(interpreter, "import os; print(os.listdir())") == (
        "Note: The upload 'a' is not there: It was removed from the workspace.\n['b']"
    )


def test_an_upload_that_did_not_arrive_is_not_said_to_be_back() -> None:
    class Taken(InMemoryBackend):
        def start(self, *, name: str) -> InMemorySandbox:
            sandbox = super().start(name=name)
            sandbox.files.write("taken/by", b"a directory")
            return sandbox

    backend = Taken(run_python=True)
    with CodeInterpreter(backend) as interpreter:
        for name in ("taken", "free"):
            interpreter.upload(name, b"1", scope=SCOPE)
        run(interpreter, "1")
        backend.lose(backend.sandboxes[0])

        text = run(interpreter, "print('on')")

    assert "Restored: free." in text
    assert "The upload 'taken' is not there: " in text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SandboxLostError("gone", may_have_run=True), LOST),
        (OutcomeUnknownError("it may have been done"), "Error: The code interpreter is not avail"),
    ],
)
def test_what_fails_before_the_run_is_never_said_to_have_run(
    interpreter: CodeInterpreter, backend: InMemoryBackend, error: Exception, said: str
) -> None:
    run(interpreter, "x = 1")
    interpreter.upload("a.txt", b"a", scope=SCOPE)
    backend.fail("write_files", error)

    assert run(interpreter, "print('on')").startswith(said)
    assert run(interpreter, "print(open('a.txt').read())").endswith("a")


def test_the_records_of_branches_do_not_pile_up(
    interpreter: CodeInterpreter, workspace: InMemoryWorkspace
) -> None:
    for number in range(3):
        branch = Scope(user_id="ada", session_id="thread-1", branch=f"tools:{number}")
        run(interpreter, "1", branch)
        interpreter.close(branch)

    assert [file.key for file in workspace.list("ada/thread-1/sandboxes/")] == []


def test_a_call_in_the_steady_state_is_one_call_of_the_backend(
    interpreter: CodeInterpreter, backend: InMemoryBackend
) -> None:
    interpreter.upload("a.txt", b"a", scope=SCOPE)
    run(interpreter, "1")
    before = len(backend.calls)

    for number in range(5):
        run(interpreter, f"print({number})")

    assert verbs(backend)[before:] == ["execute_code"] * 5


SOME = """
import math, threading
from collections import Counter
shared = [1, 2]
one = shared
pair = {"s": shared}
lock = threading.Lock()
numbers = (n for n in range(3))

class Point:
    def __init__(self, x): self.x = x
    def twice(self): return twice(self.x)

def twice(n): return 2 * n

point = Point(math.floor(3.9))
_hidden = 5
with open("kept.txt", "w") as file:
    _ = file.write("kept")
"""
AFTER = """
one.append(3)
print(shared, pair, point.twice(), twice(4), Counter("aab")["a"], math.pi > 3)
print(open("kept.txt").read(), sorted(name for name in globals() if "carr" in name))
"""


def near_its_end(interpreter: CodeInterpreter, seconds: float = 60) -> None:
    """Makes the sandbox one that has lived for an hour and has a minute left."""
    tenancy = interpreter._sessions.get(SCOPE)._tenancy
    sandbox: Any = tenancy._sandbox
    sandbox._expires_at = time.time() + seconds
    tenancy._began = time.time() - 3600


class TestBeforeItsEnd:
    def test_a_sandbox_is_replaced_with_its_files_and_variables_and_the_model_is_told(
        self, interpreter: CodeInterpreter, backend: InMemoryBackend
    ) -> None:
        run(interpreter, SOME)
        near_its_end(interpreter)

        text = run(interpreter, AFTER)

        note, *rest = text.split("\n")
        assert rest == [
            "[1, 2, 3] {'s': [1, 2, 3]} 6 8 2 True",
            "kept []",
        ]
        assert note == (
            f"{REPLACED}Carried over: the files kept.txt and the Python variables Counter, Point, "
            "_hidden, math, one, pair, point, shared, threading, twice. Lost: "
            "the Python variable file (PicklingError: Cannot pickle files that do not map to an "
            "actual file); "
            "the Python variable lock (TypeError: cannot pickle '_thread.lock' object); "
            "the Python variable numbers (TypeError: cannot pickle 'generator' object); "
            "installed packages; running processes; variables of other languages."
        )
        assert len(backend.sandboxes) == 1
        assert backend.started == 2
        assert run(interpreter, "print(1)") == "1"

    def test_uploads_and_saved_files_are_what_they_were(self, interpreter: CodeInterpreter) -> None:
        interpreter.upload("in.txt", b"in", scope=SCOPE)
        run(interpreter, "open('out.txt', 'w').write('1')", output_filename="out.txt")
        run(interpreter, "open('out.txt', 'w').write('2'); open('in.txt', 'a').write('+')")
        near_its_end(interpreter)

        assert run(interpreter, "print(open('out.txt').read(), open('in.txt').read())").endswith(
            "\n2 in+"
        )
        interpreter.upload("in.txt", b"new", scope=SCOPE)
        assert run(interpreter, "print(open('in.txt').read())").endswith("\nnew")

    def test_a_sandbox_with_time_left_for_a_call_stays(
        self, interpreter: CodeInterpreter, backend: InMemoryBackend
    ) -> None:
        run(interpreter, "x = 1")
        near_its_end(interpreter, seconds=Limits().timeout + 60)

        assert run(interpreter, "print(x)") == "1"
        assert backend.started == 1

    def test_the_old_one_serves_on_where_there_is_no_new_one(
        self, interpreter: CodeInterpreter, backend: InMemoryBackend
    ) -> None:
        run(interpreter, "x = 1")
        near_its_end(interpreter)
        backend.fail("start", QuotaExceededError("full"), times=None)

        assert [run(interpreter, "print(x)") for _ in range(5)] == ["1"] * 5
        assert verbs(backend).count("start") == 4

    def test_the_old_one_serves_on_where_the_move_fails(
        self, interpreter: CodeInterpreter, backend: InMemoryBackend
    ) -> None:
        run(interpreter, "x = 1")
        near_its_end(interpreter)
        backend.fail("write_files", QuotaExceededError("disk full"))

        assert run(interpreter, "print(x)") == "1"
        assert len(backend.sandboxes) == 1
        assert run(interpreter, "print(x)").startswith(REPLACED)

    def test_a_sandbox_that_ends_during_the_move_is_lost_as_any_other(
        self, interpreter: CodeInterpreter, backend: InMemoryBackend
    ) -> None:
        run(interpreter, "open('a', 'w').write('a')", output_filename="a")
        near_its_end(interpreter)
        backend.fail("execute_code", SandboxLostError("its time is up", may_have_run=True))

        text = run(interpreter, "print(open('a').read())")

        assert text.startswith(LOST)
        assert text.endswith("\na")
        assert len(backend.sandboxes) == 1

    def test_another_process_finds_the_new_one(self, new: New, backend: InMemoryBackend) -> None:
        first, second = new(), new()
        run(first, "x = 1")
        run(second, "x += 1")
        near_its_end(first)

        assert run(first, "print(x)").endswith("\n2")
        assert run(second, "print(x)") == "2"
        assert len(backend.sandboxes) == 1

    def test_files_beyond_the_bound_are_left_and_named(
        self, backend: InMemoryBackend, workspace: InMemoryWorkspace
    ) -> None:
        interpreter = CodeInterpreter(backend, workspace, limits=Limits(carry_bytes=100))
        run(interpreter, "open('small', 'w').write('s')\nopen('big', 'w').write('b' * 200)")
        near_its_end(interpreter)

        text = run(interpreter, "import os; print([f for f in os.listdir() if f != '.ci'])")

        assert "Carried over: the files small" in text
        assert "Lost: the file big;" in text
        assert text.endswith("\n['small']")


class TestAnOperator:
    def test_sees_the_state_of_sessions_as_json(
        self, interpreter: CodeInterpreter, backend: InMemoryBackend
    ) -> None:
        interpreter.upload("a.txt", b"secret", scope=SCOPE)
        run(interpreter, "password = 'secret'")
        run(interpreter, "1", Scope(user_id="bob", session_id="t"))

        (state,) = interpreter.describe(SCOPE)

        assert json.loads(json.dumps(state)) == state
        assert "secret" not in json.dumps(state)
        assert {key: state[key] for key in state if key not in {"idle_seconds", "began"}} == {
            "user_id": "ada",
            "session_id": "thread-1",
            "branch": "",
            "calls": 1,
            "calls_in_line": 0,
            "sandbox": backend.sandboxes[0].id,
            "expires_at": None,
            "losses": 0,
            "loss_to_be_told": False,
            "notes_to_be_told": [],
            "uploads": ["a.txt"],
        }
        assert len(interpreter.describe()) == 2
