"""The in-memory backend does what it was told, and notes down what was asked."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from ci_toolkit.backends.memory import Call, InMemoryBackend, Request
from ci_toolkit.errors import (
    OutcomeUnknownError,
    SandboxLostError,
    ThrottledError,
    UnsupportedError,
)
from ci_toolkit.results import Execution, FileWrite


def run(backend: InMemoryBackend, code: str, *, timeout: float = 10) -> Execution:
    sandbox = backend.sandboxes[0] if backend.sandboxes else backend.start(name="test")
    return sandbox.execute_code(code, timeout=timeout)


def test_a_text_is_what_a_run_prints() -> None:
    backend = InMemoryBackend(replies={"print(1)": "1\n"}, commands={"ls": "a\n"}, clock=lambda: 5)
    assert run(backend, "print(1)") == Execution(stdout="1\n", directory="/home/user", started=5)
    (sandbox,) = backend.sandboxes
    assert sandbox.execute_command("ls", timeout=1).stdout == "a\n"


def test_an_execution_is_answered_as_it_is() -> None:
    answer = Execution(stderr="e", exit_code=2, directory="/d", started=1, duration=2)
    assert run(InMemoryBackend(replies={"x": answer}), "x") == answer


def test_replies_are_used_up_in_order_and_then_the_lasting_one_answers() -> None:
    backend = InMemoryBackend()
    backend.reply("x", "first", times=1)
    backend.reply("x", "second", times=1)
    backend.reply(lambda code: code.startswith("x"), "last")
    assert [run(backend, code).stdout for code in ("x", "x", "x", "xy")] == [
        "first",
        "second",
        "last",
        "last",
    ]


def test_an_unscripted_run_tells_the_developer_how_to_script_it() -> None:
    backend = InMemoryBackend()
    with pytest.raises(UnsupportedError, match=r"'import os'.*backend\.reply\('import os'"):
        run(backend, "import os\nprint(1)")
    with pytest.raises(UnsupportedError, match=r"'ls'.*backend\.reply_command\('ls'"):
        backend.sandboxes[0].execute_command("ls", timeout=1)


def test_a_function_prints_live_and_works_on_the_files() -> None:
    def count(request: Request) -> str:
        request.print("counting\n")
        request.files.write("out.txt", request.files.read("in.txt") * 2)
        return f"{request.language} {request.timeout:g}\n"

    backend = InMemoryBackend(replies={"count()": count})
    sandbox = backend.start(name="test")
    sandbox.write_files([FileWrite(path="in.txt", chunks=[b"ab"])])
    heard: list[tuple[str, str]] = []
    answer = sandbox.execute_code(
        "count()",
        language="javascript",
        timeout=7,
        on_output=lambda *piece: heard.append(piece),
    )
    assert answer.stdout == "counting\njavascript 7\n"
    assert heard == [("stdout", "counting\n"), ("stdout", "javascript 7\n")]
    assert sandbox.files.read("out.txt") == b"abab"
    assert list(sandbox.files) == ["/home/user/in.txt", "/home/user/out.txt"]


def test_an_error_as_a_reply_is_raised() -> None:
    backend = InMemoryBackend(replies={"x": OutcomeUnknownError("cut")})
    with pytest.raises(OutcomeUnknownError, match="cut"):
        run(backend, "x")


def test_a_run_that_takes_too_long_times_out_without_waiting() -> None:
    backend = InMemoryBackend()
    backend.reply("x", "so far", takes=100)
    slow = run(backend, "x", timeout=3)
    assert (slow.stdout, slow.ended, slow.exit_code, slow.duration) == ("so far", "timed_out", 1, 3)
    assert slow.state_kept
    quick = run(backend, "x", timeout=300)
    assert (quick.ended, quick.exit_code, quick.duration) == ("completed", 0, 100)


def test_a_function_that_waits_is_a_run_that_can_be_interrupted() -> None:
    begun = Event()

    def wait(request: Request) -> str:
        begun.set()
        assert request.interrupted.wait(30)
        return ""

    backend = InMemoryBackend(replies={"wait": wait})
    sandbox = backend.start(name="test")
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(sandbox.execute_code, "wait", timeout=60)
        assert begun.wait(30)
        sandbox.interrupt()
        assert answer.result().ended == "interrupted"
        begun.clear()
        answer = threads.submit(sandbox.execute_code, "wait", timeout=60)
        assert begun.wait(30)
        sandbox.close()
        with pytest.raises(SandboxLostError) as caught:
            answer.result()
    assert caught.value.may_have_run


def test_calls_are_noted_in_order() -> None:
    backend = InMemoryBackend(replies={"x": ""}, commands={"ls": ""})
    sandbox = backend.start(name="test")
    sandbox.execute_code("x", timeout=1)
    sandbox.execute_command("ls", timeout=2)
    sandbox.write_files(FileWrite(path=path, chunks=[]) for path in ("a", "b"))
    list(sandbox.read_files(["a"]))
    sandbox.list_files([""], recursive=True)
    sandbox.remove_files(["a"])
    backend.attach(sandbox.id)
    backend.close()
    assert backend.calls == [
        Call(sandbox.id, "start", {"name": "test"}),
        Call(sandbox.id, "execute_code", {"code": "x", "language": "python", "timeout": 1}),
        Call(sandbox.id, "execute_command", {"command": "ls", "timeout": 2}),
        Call(sandbox.id, "write_files", {"paths": ("a", "b")}),
        Call(sandbox.id, "read_files", {"paths": ("a",)}),
        Call(sandbox.id, "list_files", {"paths": ("",), "recursive": True, "checksums": False}),
        Call(sandbox.id, "remove_files", {"paths": ("a",)}),
        Call(sandbox.id, "attach", {}),
        Call(sandbox.id, "close", {}),
    ]


def test_faults_happen_as_often_as_asked_for() -> None:
    backend = InMemoryBackend(replies={"x": "done"})
    backend.fail("start", ThrottledError("slow down"), times=2)
    for _ in range(2):
        with pytest.raises(ThrottledError):
            backend.start(name="test")
    assert (backend.started, backend.sandboxes) == (0, ())
    sandbox = backend.start(name="test")
    backend.fail("execute_code", ThrottledError("slow down"))
    backend.fail("list_files", ThrottledError("slow down"), times=None)
    with pytest.raises(ThrottledError):
        sandbox.execute_code("x", timeout=1)
    assert sandbox.execute_code("x", timeout=1).stdout == "done"
    for _ in range(3):
        with pytest.raises(ThrottledError):
            sandbox.list_files([""])


@pytest.mark.parametrize("may_have_run", [False, True])
def test_a_lost_sandbox_stays_lost(*, may_have_run: bool) -> None:
    backend = InMemoryBackend(replies={"x": "done"})
    sandbox = backend.start(name="test")
    backend.fail("execute_code", SandboxLostError("gone", may_have_run=may_have_run))
    with pytest.raises(SandboxLostError) as caught:
        sandbox.execute_code("x", timeout=1)
    assert caught.value.may_have_run is may_have_run
    with pytest.raises(SandboxLostError) as caught:
        sandbox.execute_code("x", timeout=1)
    assert caught.value.may_have_run is False
    assert backend.sandboxes == ()
    with pytest.raises(SandboxLostError):
        backend.attach(sandbox.id)


def test_a_sandbox_is_lost_on_demand() -> None:
    backend = InMemoryBackend()
    one, other = backend.start(name="one"), backend.start(name="other")
    backend.lose(one)
    assert [sandbox.id for sandbox in backend.sandboxes] == [other.id]
    backend.lose(other.id)
    assert len(backend.sandboxes) == 0
    assert backend.started == 2
    with pytest.raises(SandboxLostError):
        one.list_files([""])


def test_a_sandbox_ends_when_its_time_has_come() -> None:
    now = 100.0
    backend = InMemoryBackend(ttl=900, clock=lambda: now)
    sandbox = backend.start(name="test")
    assert sandbox.expires_at == 1000
    now = 999.0
    assert sandbox.list_files([""])[0].entries == ()
    now = 1000.0
    with pytest.raises(SandboxLostError):
        sandbox.list_files([""])


def test_python_shows_the_lines_of_cells_only() -> None:
    backend = InMemoryBackend(run_python=True)
    run(backend, "def first():\n    return open('missing.txt')")
    assert run(backend, "first()").stderr.splitlines() == [
        "Traceback (most recent call last):",
        '  File "<cell 2>", line 1, in <module>',
        "    first()",
        '  File "<cell 1>", line 2, in first',
        "    return open('missing.txt')",
        "            ^^^^^^^^^^^^^^^^^^^",
        "FileNotFoundError: [Errno 2] No such file or directory: 'missing.txt'",
    ]


def test_python_sees_the_files_through_everyday_functions() -> None:
    backend = InMemoryBackend(run_python=True)
    code = """
import os, pathlib
with open('a b.txt', 'w') as f:
    print('one', file=f)
with open(file='/home/user/a b.txt', mode='a', encoding='utf-8') as f:
    f.write('two')
pathlib.Path('d/e').mkdir(parents=True)
pathlib.Path('d/e/x').write_bytes(b'x')
os.rename('d/e/x', 'd/y')
assert [p.name for p in pathlib.Path('d').iterdir()] == ['e', 'y']
assert os.listdir() == ['a b.txt', 'd']
assert os.path.exists('a b.txt') and not os.path.exists('none') and os.path.isdir('d')
assert os.path.getsize('d/y') == 1
os.remove('d/y')
for mode, error in {'r': FileNotFoundError, 'x': FileExistsError}.items():
    try:
        open('none' if mode == 'r' else 'a b.txt', mode)
    except error:
        print(mode)
os.getcwd()
"""
    answer = run(backend, code)
    assert (answer.stdout, answer.stderr) == ("r\nx\n'/home/user'\n", "")
    assert backend.sandboxes[0].files.read("a b.txt") == b"one\ntwo"


def test_libraries_write_and_read_the_files() -> None:
    pytest.importorskip("pandas")
    backend = InMemoryBackend(run_python=True)
    code = "import pandas\npandas.DataFrame({'a': [1]}).to_csv('x.csv', index=False)\n"
    answer = run(backend, code + "print(pandas.read_csv('x.csv')['a'].sum())")
    assert (answer.stdout, answer.stderr) == ("1\n", "")
    assert backend.sandboxes[0].files.read("x.csv") == b"a\n1\n"


def test_a_scripted_reply_goes_before_python() -> None:
    backend = InMemoryBackend(run_python=True, replies={"1 + 1": "3\n"})
    assert [run(backend, code).stdout for code in ("1 + 1", "1 + 2")] == ["3\n", "3\n"]
    assert not backend.abilities.interrupt
    with pytest.raises(UnsupportedError):
        backend.sandboxes[0].execute_code("1", language="javascript", timeout=1)
