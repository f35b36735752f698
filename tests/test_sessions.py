"""One conversation: its uploads, its losses, who shares what with whom."""

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ci_toolkit import Cancellation, CodeInterpreter, ConfigurationError, Limits, Outcome, Scope
from ci_toolkit.backends.base import Sandbox
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    CancelledCallError,
    QuotaExceededError,
    SandboxLostError,
    ThrottledError,
)
from ci_toolkit.scope import encode_part
from ci_toolkit.turns import Order, Turns
from ci_toolkit.workspaces import InMemoryWorkspace

Call = Callable[..., Outcome]

LOST = (
    "Note: The earlier sandbox is gone and this is a new one: variables, imports, installed "
    "packages and files that were not saved to the workspace were lost. "
)


def lose(backend: InMemoryBackend) -> None:
    (sandbox,) = backend.sandboxes
    backend.lose(sandbox)


def test_a_sandbox_starts_with_the_first_call_and_serves_the_later_ones(
    call: Call, backend: InMemoryBackend
) -> None:
    assert backend.started == 0

    call("execute_code", code="1")
    call("execute_code", code="1")

    assert backend.started == 1


def test_wrong_arguments_start_no_sandbox(call: Call, backend: InMemoryBackend) -> None:
    call("execute_code", cod="1")

    assert backend.started == 0


def test_uploads_are_there_when_code_runs(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    stored = interpreter.upload("sales.csv", b"revenue\n7\n", scope=scope)

    assert stored.key == "uploads/sales.csv"
    assert interpreter.download(stored.key, scope=scope) == b"revenue\n7\n"
    assert call("execute_code", code="print(open('sales.csv').read())").text == "revenue\n7"


def test_a_later_upload_appears_without_losing_variables_and_a_newer_version_is_told(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    call("execute_code", code="x = 1")
    interpreter.upload("a.txt", b"one", scope=scope)
    first = call("execute_code", code="print(x, open('a.txt').read())")
    interpreter.upload("a.txt", b"two", scope=scope)
    second = call("execute_code", code="print(x, open('a.txt').read())")
    third = call("execute_code", code="print(x)")

    assert first.text == "1 one"
    assert second.text == (
        "Note: A newer version of 'a.txt' was uploaded and has replaced the file.\n1 two"
    )
    assert third.text == "1"


def test_after_a_loss_the_next_call_works_and_says_once_what_was_lost_and_what_is_back(
    call: Call, interpreter: CodeInterpreter, scope: Scope, backend: InMemoryBackend
) -> None:
    interpreter.upload("in.csv", b"1", scope=scope)
    call("execute_code", code="open('saved.txt', 'w').write('s')", output_filename="saved.txt")
    call("execute_code", code="open('unsaved.txt', 'w').write('u')")
    lose(backend)

    listed = call("file_operations", operation="list")
    after = call("execute_code", code="print(open('saved.txt').read())")

    assert listed.text == (
        f"{LOST}Restored: in.csv, saved.txt.\nin.csv  1 bytes\nsaved.txt  1 bytes"
    )
    assert after.text == "s"


def test_a_loss_in_the_middle_of_a_run_is_told_and_nothing_is_run_twice(
    call: Call, backend: InMemoryBackend
) -> None:
    call("execute_code", code="1")
    backend.fail("execute_code", SandboxLostError("connection reset", may_have_run=True))

    during = call("execute_code", code="print('once')")
    after = call("execute_code", code="print('after')")

    assert during.is_error
    assert during.text == (
        "Error: The sandbox ended during this call. The code may have run in part or in whole, "
        "and was not run again. The next call starts a new sandbox with the saved files."
    )
    assert after.text == f"{LOST}There were no saved files to restore.\nafter"
    runs = [each for each in backend.calls if each.verb == "execute_code"]
    assert [run.arguments["code"] for run in runs] == ["1", "print('once')", "print('after')"]


def test_a_loss_before_the_run_costs_nothing_but_the_variables(
    call: Call, backend: InMemoryBackend
) -> None:
    call("execute_code", code="x = 1")
    backend.fail("execute_code", SandboxLostError("gone", may_have_run=False))

    outcome = call("execute_code", code="print('here')")

    assert outcome.text == f"{LOST}There were no saved files to restore.\nhere"
    assert backend.started == 2


def test_a_sandbox_that_is_lost_again_at_once_is_reported_and_not_tried_for_ever(
    call: Call, backend: InMemoryBackend
) -> None:
    backend.fail("execute_code", SandboxLostError("gone", may_have_run=False), times=2)

    outcome = call("execute_code", code="1")

    assert outcome.text == (
        "Error: The sandbox ended before this call, and so did a new one; nothing was run. The "
        "next call starts another one with the saved files."
    )
    assert outcome.is_error
    assert backend.started == 2


def test_a_saved_file_wins_over_an_older_upload_of_its_path_and_not_over_a_newer_one(
    call: Call, interpreter: CodeInterpreter, scope: Scope, backend: InMemoryBackend
) -> None:
    interpreter.upload("a.txt", b"upload", scope=scope)
    call("execute_code", code="open('a.txt', 'w').write('saved')", output_filename="a.txt")
    lose(backend)
    assert call("file_operations", operation="read", paths=["a.txt"]).text.endswith("\nsaved")

    interpreter.upload("a.txt", b"newer", scope=scope)
    lose(backend)
    assert call("file_operations", operation="read", paths=["a.txt"]).text.endswith("\nnewer")


def test_another_process_finds_the_saved_files_again(
    workspace: InMemoryWorkspace, scope: Scope
) -> None:
    first = CodeInterpreter(InMemoryBackend(run_python=True), workspace)
    code = "open('a.txt', 'w').write('kept')"
    first.call("execute_code", {"code": code, "output_filename": "a.txt"}, scope=scope)
    first.close()

    second = CodeInterpreter(InMemoryBackend(run_python=True), workspace)
    outcome = second.call("execute_code", {"code": "print(open('a.txt').read())"}, scope=scope)

    assert outcome.text == f"{LOST}Restored: a.txt.\nkept"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ThrottledError("429 of 10.0.0.7"), "is busy; nothing was run"),
        (QuotaExceededError("account 123"), "has no capacity left"),
        (AccessDeniedError("arn:aws:iam::123:role/x"), "is not permitted to do this"),
        (BackendUnavailableError("host 10.0.0.7"), "is not available at present"),
        (ConfigurationError("/root/secret"), "is not set up correctly"),
        (RuntimeError("token=abc"), "failed inside (reference "),
    ],
)
def test_an_operator_s_error_is_a_fixed_sentence_for_the_model_and_whole_in_the_log(
    call: Call,
    backend: InMemoryBackend,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    said: str,
) -> None:
    backend.fail("start", error)

    outcome = call("execute_code", code="1")

    assert outcome.is_error
    assert said in outcome.text
    assert str(error) not in outcome.text
    assert str(error) in caplog.text
    assert not call("execute_code", code="1").is_error


def test_two_users_two_conversations_and_two_branches_share_no_variable_and_no_file(
    call: Call,
) -> None:
    scopes = [
        Scope(user_id="ada", session_id="t"),
        Scope(user_id="bob", session_id="t"),
        Scope(user_id="ada", session_id="u"),
        Scope(user_id="ada", session_id="t", branch="tools:1"),
    ]
    for number, scope in enumerate(scopes):
        call("execute_code", scope=scope, code=f"secret = {number}\nopen('f{number}', 'w').close()")

    for number, scope in enumerate(scopes):
        outcome = call("execute_code", scope=scope, code="import os; print(secret, os.listdir())")
        assert outcome.text == f"{number} ['f{number}']"


def test_a_branch_has_its_own_sandbox_and_the_conversation_s_files(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    branch = Scope(user_id=scope.user_id, session_id=scope.session_id, branch="tools:1")
    interpreter.upload("in.csv", b"1", scope=scope)
    write = "open('out.txt', 'w').write('{}')"
    call("execute_code", code=write.format("main"), output_filename="out.txt")
    theirs = call(
        "execute_code", scope=branch, code=write.format("branch"), output_filename="out.txt"
    )

    assert "as code-interpreter/out-2.txt" in theirs.text
    assert call("execute_code", scope=branch, code="print(open('in.csv').read())").text == "1"
    assert call("workspace_read", path="code-interpreter/out.txt").text == "main"
    assert call("workspace_read", path="code-interpreter/out-2.txt").text == "branch"


@pytest.mark.parametrize(
    "hostile",
    ["../../x", "..", ".", "/etc", "a/b", "a\\b", "x" * 500, "a\0b", "Ünïcödé", "CON", " "],
)
def test_a_hostile_id_stays_one_harmless_part_of_the_path(
    interpreter: CodeInterpreter, workspace: InMemoryWorkspace, hostile: str
) -> None:
    scope = Scope(user_id=hostile, session_id=hostile)
    interpreter.upload("a.txt", b"x", scope=scope)

    (stored,) = workspace.list("")

    user, session, *rest = stored.key.split("/")
    assert user == session == encode_part(hostile)
    assert rest == ["uploads", "a.txt"]
    assert set(user) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_%")
    assert len(user) <= 120


def test_distinct_ids_stay_distinct_also_where_names_ignore_case() -> None:
    ids = ["a", "A", "%41", "a%", "a/", "a.", "ä", "Ä", "x" * 200, "x" * 201, "X" * 200]

    assert len({encode_part(each).lower() for each in ids}) == len(ids)


@pytest.mark.parametrize("bad", ["", None, 7, "\ud800"])
def test_an_id_that_is_none_is_refused_when_the_scope_is_made(bad: object) -> None:
    with pytest.raises(ConfigurationError):
        Scope(user_id=bad, session_id="s")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\0b", "x" * 300])
def test_an_upload_needs_a_plain_name(
    interpreter: CodeInterpreter, workspace: InMemoryWorkspace, scope: Scope, name: str
) -> None:
    with pytest.raises(Exception, match="plain file name"):
        interpreter.upload(name, b"x", scope=scope)

    assert list(workspace.list("")) == []


def test_an_upload_over_the_limit_is_refused_whole(
    backend: InMemoryBackend, workspace: InMemoryWorkspace, scope: Scope
) -> None:
    interpreter = CodeInterpreter(backend, workspace, limits=Limits(file_bytes=10))

    with pytest.raises(Exception, match="larger than 10 bytes"):
        interpreter.upload("a.bin", b"x" * 11, scope=scope)

    assert list(workspace.list("")) == []


@pytest.mark.parametrize("data", ["a,b", io.StringIO("a,b")])
def test_an_upload_of_text_is_refused_whole(
    interpreter: CodeInterpreter, workspace: InMemoryWorkspace, scope: Scope, data: Any
) -> None:
    with pytest.raises(TypeError, match="bytes, or a file that was opened in binary mode"):
        interpreter.upload("a.csv", data, scope=scope)

    assert list(workspace.list("")) == []


@pytest.mark.parametrize("given", [(InMemoryBackend,), (InMemoryBackend(), InMemoryWorkspace)])
def test_a_class_is_no_backend_and_no_workspace(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="give one such as"):
        CodeInterpreter(*given)


def test_closing_a_session_ends_its_sandbox_and_keeps_its_files(
    call: Call, interpreter: CodeInterpreter, scope: Scope, backend: InMemoryBackend
) -> None:
    call("execute_code", code="open('a', 'w').close()", output_filename="a")
    other = Scope(user_id="bob", session_id="t")
    call("execute_code", scope=other, code="1")

    interpreter.close(scope)

    assert len(backend.sandboxes) == 1
    assert [file.key for file in interpreter.files(scope)] == ["code-interpreter/a"]


def test_a_call_that_is_cancelled_while_it_waits_never_runs(
    call: Call, interpreter: CodeInterpreter, scope: Scope, backend: InMemoryBackend
) -> None:
    cancellation = Cancellation()
    cancellation.cancel()

    outcome = interpreter.call(
        "execute_code", {"code": "print(1)"}, scope=scope, cancellation=cancellation
    )

    assert outcome.is_error
    assert outcome.text == "Error: The call was cancelled before it began; nothing was run."
    assert "execute_code" not in {each.verb for each in backend.calls}


def test_a_loss_is_told_with_the_first_call_that_is_not_cancelled(
    call: Call, interpreter: CodeInterpreter, scope: Scope, backend: InMemoryBackend
) -> None:
    cancellation = Cancellation()

    def cancelled(_: Request) -> str:
        cancellation.cancel()
        return "never heard"

    backend.reply("wait()", cancelled)
    call("execute_code", code="x = 1")
    lose(backend)
    interpreter.call("execute_code", {"code": "wait()"}, scope=scope, cancellation=cancellation)

    assert call("execute_code", code="print('on')").text.startswith(LOST)
    assert call("execute_code", code="print('on')").text == "on"


def test_calls_of_one_session_run_one_at_a_time_and_of_two_sessions_side_by_side(
    interpreter: CodeInterpreter, backend: InMemoryBackend, scope: Scope
) -> None:
    other = Scope(user_id="bob", session_id="t")
    both_inside = threading.Barrier(2, timeout=20)
    inside: list[str] = []

    def meet(request: Request) -> str:
        both_inside.wait()
        return "met"

    def alone(request: Request) -> str:
        inside.append("in")
        assert len(inside) == 1
        threading.Event().wait(0.05)
        inside.pop()
        return "alone"

    backend.reply("meet()", meet)
    backend.reply("alone()", alone)
    texts: list[str] = []

    def run(code: str, scope: Scope) -> None:
        texts.append(interpreter.call("execute_code", {"code": code}, scope=scope).text)

    def together(*calls: tuple[str, Scope]) -> None:
        threads = [threading.Thread(target=run, args=each) for each in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together(("meet()", scope), ("meet()", other))
    together(("alone()", scope), ("alone()", scope), ("alone()", scope))

    assert texts == ["met", "met", "alone", "alone", "alone"]


def test_waiting_calls_run_in_the_order_in_which_they_came_and_a_cancelled_one_steps_out(
    interpreter: CodeInterpreter, backend: InMemoryBackend, scope: Scope
) -> None:
    inside, go = threading.Event(), threading.Event()

    def hold(request: Request) -> str:
        inside.set()
        assert go.wait(20)
        return "held"

    backend.reply("hold()", hold)
    answers: list[Outcome] = []
    cancellation = Cancellation()

    def run(code: str, cancellation: Cancellation | None = None) -> None:
        answers.append(
            interpreter.call("execute_code", {"code": code}, scope=scope, cancellation=cancellation)
        )

    threads = [threading.Thread(target=run, args=("hold()",))]
    threads[0].start()
    assert inside.wait(20)
    for number in range(1, 6):
        given = cancellation if number == 3 else None
        threads.append(threading.Thread(target=run, args=(f"print({number})", given)))
        threads[-1].start()
        while not _waiting(interpreter, scope, number + 1):
            threading.Event().wait(0.005)
    cancellation.cancel()
    threads[3].join(20)
    go.set()
    for thread in threads:
        thread.join(20)

    assert [answer.text for answer in answers] == [
        "Error: The call was cancelled; nothing was run.",
        "held",
        "1",
        "2",
        "4",
        "5",
    ]


def _waiting(interpreter: CodeInterpreter, scope: Scope, count: int) -> bool:
    return len(interpreter._sessions.get(scope)._turns._queue) == count


def test_a_loss_after_the_run_keeps_its_output_and_runs_nothing_twice(
    call: Call, backend: InMemoryBackend
) -> None:
    backend.fail("list_files", SandboxLostError("gone", may_have_run=False))

    outcome = call("execute_code", code="print('once')", output_filename="a.txt")
    after = call("execute_code", code="print('after')")

    assert outcome.is_error
    assert outcome.text == (
        "Error: The run ended, and then its sandbox did, before its files could be saved.\nonce"
    )
    assert after.text == f"{LOST}There were no saved files to restore.\nafter"
    runs = [each for each in backend.calls if each.verb == "execute_code"]
    assert len([run for run in runs if run.arguments["code"] == "print('once')"]) == 1


def test_a_session_that_was_ended_for_being_idle_says_so_when_it_goes_on(
    backend: InMemoryBackend, scope: Scope
) -> None:
    interpreter = CodeInterpreter(backend)
    interpreter.call("execute_code", {"code": "x = 1"}, scope=scope)
    interpreter._sessions.get(scope).used -= 2 * Limits().idle_seconds
    interpreter._sessions._end_idle()
    assert not backend.sandboxes

    outcome = interpreter.call("execute_code", {"code": "print('on')"}, scope=scope)
    later = interpreter.call("execute_code", {"code": "print('on')"}, scope=scope)

    assert outcome.text == f"{LOST}There were no saved files to restore.\non"
    assert later.text == "on"


def test_whoever_is_torn_out_of_the_queue_leaves_it_free_for_the_others() -> None:
    turns, cancellation = Turns(), Cancellation()

    def torn_out() -> None:
        with pytest.raises(KeyboardInterrupt), turns.turn(cancellation):
            raise KeyboardInterrupt

    with turns.turn(cancellation):
        waiting = threading.Thread(target=_enter, args=(turns, cancellation))
        waiting.start()
        while len(turns._queue) < 2:
            threading.Event().wait(0.005)
        cancellation.cancel()
        waiting.join(20)
    torn_out()

    assert not turns.taken


def _enter(turns: Turns, cancellation: Cancellation) -> None:
    with pytest.raises(CancelledCallError), turns.turn(cancellation):
        raise AssertionError("it was never its turn")


def test_calls_of_one_model_turn_are_let_in_in_the_model_s_order_however_they_come() -> None:
    turns, said = Turns(), list[str]()
    calls = ("a", "b", "c", "d")
    first = threading.Event()

    def come(own: str) -> None:
        with turns.turn(Cancellation(), Order(calls=calls, own=own)):
            first.wait(20)
            said.append(own)

    threads = [threading.Thread(target=come, args=(own,)) for own in reversed(calls)]
    for thread in threads:
        thread.start()
    first.set()
    for thread in threads:
        thread.join(20)

    assert said == ["a", "b", "c", "d"]


def test_a_call_that_never_comes_holds_up_those_behind_it_for_a_moment_only() -> None:
    turns, said = Turns(), list[str]()

    def come(own: str) -> None:
        with turns.turn(Cancellation(), Order(calls=("refused", "b", "c"), own=own)):
            said.append(own)

    threads = [threading.Thread(target=come, args=(own,)) for own in ("c", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert said == ["b", "c"]
    assert not turns.taken


def test_a_call_that_waits_for_an_earlier_one_can_be_cancelled() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    turns = Turns()

    with (
        pytest.raises(CancelledCallError),
        turns.turn(cancellation, Order(calls=("a", "b"), own="b")),
    ):
        pytest.fail("it was let in")

    assert not turns.taken


def test_a_host_works_in_the_sandbox_itself_in_turn_with_the_model(
    interpreter: CodeInterpreter, call: Call, scope: Scope, backend: InMemoryBackend
) -> None:
    interpreter.upload("a.txt", b"a", scope=scope)

    def work(sandbox: Sandbox) -> str:
        return sandbox.execute_code("x = open('a.txt').read(); print(x)", timeout=10).stdout

    assert interpreter.with_sandbox(work, scope=scope) == ("a\n", ())
    assert call("execute_code", code="print(x)").text == "a"
    lose(backend)
    said, notes = interpreter.with_sandbox(work, scope=scope)
    assert said == "a\n"
    assert notes == (f"{LOST}Restored: a.txt.".removeprefix("Note: "),)


def test_work_of_a_host_that_fails_leaves_the_session_as_it_is(
    interpreter: CodeInterpreter, call: Call, scope: Scope
) -> None:
    call("execute_code", code="x = 1")

    with pytest.raises(ZeroDivisionError):
        interpreter.with_sandbox(lambda _: 1 / 0, scope=scope)

    assert call("execute_code", code="print(x)").text == "1"


def test_a_scope_that_is_none_is_the_host_s_mistake_and_told_at_once(
    interpreter: CodeInterpreter,
) -> None:
    wrong: Scope = "ada"  # type: ignore[assignment]
    for use in (
        lambda: interpreter.call("execute_code", {"code": "1"}, scope=wrong),
        lambda: interpreter.with_sandbox(lambda _: None, scope=wrong),
        lambda: interpreter.upload("a.txt", b"a", scope=wrong),
        lambda: interpreter.files(wrong),
        lambda: interpreter.download("uploads/a.txt", scope=wrong),
    ):
        with pytest.raises(TypeError, match="scope is a Scope"):
            use()
