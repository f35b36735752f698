"""What users are promised of the local sandbox, seen through the interpreter as a model sees it."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import psutil
import pytest

from ci_toolkit import CodeInterpreter, Limits, Outcome, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.workspaces import DirectoryWorkspace

pytestmark = pytest.mark.local

Call = Callable[..., Outcome]
BOB = Scope(user_id="bob", session_id="thread-1")


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture
def interpreter(backend: LocalBackend, tmp_path: Path) -> Iterator[CodeInterpreter]:
    workspace = DirectoryWorkspace(tmp_path / "workspace")
    interpreter = CodeInterpreter(backend, workspace, limits=Limits(timeout=60))
    yield interpreter
    for scope in (Scope(user_id="ada", session_id="thread-1"), BOB):
        interpreter.close(scope)


@pytest.fixture
def quick(backend: LocalBackend, tmp_path: Path) -> CodeInterpreter:
    """The same with a limit of two seconds."""
    return CodeInterpreter(backend, limits=Limits(timeout=2))


CONTENTS = {
    "random.bin": os.urandom(1024 * 1024),
    "empty.txt": b"",
    "windows.csv": b"a,b\r\n1,2\r\n",
    "latin.txt": b"caf\xe9\xff\xfe",
    "with spaces and 'quotes\".txt": b"quoted",
    "Ünïcödé-文件.txt": "päylöad".encode(),
    "--leading-dash": b"dash",
    "new\nline.txt": b"newline",
}


def test_files_go_through_workspace_sandbox_and_workspace_without_a_byte_changed(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    for name, data in CONTENTS.items():
        interpreter.upload(name, data, scope=scope)
    copy = (
        "import os, shutil\nos.makedirs('copies')\n"
        "for name in os.listdir():\n    if os.path.isfile(name):\n"
        "        shutil.copy(name, os.path.join('copies', 'copy of ' + name))"
    )
    assert not call("execute_code", code=copy).is_error

    outcome = call("ci_push_to_workspace", paths=[f"copies/copy of {name}" for name in CONTENTS])

    assert not outcome.is_error
    stored = {
        file.key.removeprefix("code-interpreter/copy of "): file.key
        for file in interpreter.files(scope, "code-interpreter/")
    }
    assert {
        name: interpreter.download(key, scope=scope) for name, key in stored.items()
    } == CONTENTS


def test_a_text_that_was_written_is_read_back_as_it_was(call: Call) -> None:
    text = "name,wert\r\nä,1\n\n  indented\n"
    call("file_operations", operation="write", content=[{"path": "t.csv", "text": text}])

    assert call("file_operations", operation="read", paths=["t.csv"]).text == text


def test_two_scopes_see_nothing_of_each_other(call: Call) -> None:
    for scope in (None, BOB):
        given = {} if scope is None else {"scope": scope}
        leave = (
            "import os\nassert not [n for n in os.listdir('/tmp') if n.startswith('mark')]\n"
            "assert os.listdir('.') == [] and 'secret' not in globals()\n"
            "secret = 1\nopen('/tmp/mark', 'w').close()\nopen('mine.txt', 'w').close()"
        )
        assert not call("execute_code", code=leave, **given).is_error


def test_print_then_raise_stderr_and_a_syntax_error(call: Call) -> None:
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\nraise ValueError('bad')"
    raised = call("execute_code", code=code)
    syntax = call("execute_code", code="a = 1\nb = (")

    assert raised.text.startswith("out\nstderr:\nerr\n")
    assert "ValueError: bad" in raised.text
    assert raised.text.endswith("Failed with exit code 1.")
    assert "line 2" in syntax.text
    assert "SyntaxError" in syntax.text


def test_sys_exit_ends_the_call_and_not_the_session(call: Call) -> None:
    call("execute_code", code="kept = 'kept'")

    ended = call("execute_code", code="import sys\nsys.exit(3)")

    assert ended.text == "Failed with exit code 3."
    assert call("execute_code", code="print(kept)").text == "kept"


def test_a_killed_kernel_is_told_and_the_next_call_works_with_a_note(call: Call) -> None:
    killed = call(
        "execute_code", code="print('so far', flush=True)\nimport os\nos.kill(os.getpid(), 9)"
    )
    after = call("execute_code", code="print('here')")
    later = call("execute_code", code="print('still')")

    assert killed.is_error
    assert killed.text.startswith("so far\n")
    assert "killed by SIGKILL" in killed.text
    assert "lost" in after.text
    assert after.text.endswith("\nhere")
    assert later.text == "still"


def test_an_endless_loop_ends_at_its_limit_and_its_variables_survive(
    quick: CodeInterpreter, scope: Scope
) -> None:
    quick.call("execute_code", {"code": "kept = 42"}, scope=scope)

    start = time.monotonic()
    looped = quick.call("execute_code", {"code": "while True: pass"}, scope=scope)
    seconds = time.monotonic() - start

    assert looped.is_error
    assert "Timed out: stopped after 2." in looped.text
    assert seconds < 4
    assert quick.call("execute_code", {"code": "print(kept)"}, scope=scope).text == "42"
    quick.close(scope)


def test_a_command_that_sleeps_ends_at_its_limit_with_its_children(
    quick: CodeInterpreter, scope: Scope
) -> None:
    start = time.monotonic()
    command = "sleep 1000 & setsid sleep 1001 & sleep 1002"
    slept = quick.call("execute_command", {"command": command}, scope=scope)
    seconds = time.monotonic() - start
    alive = quick.call("execute_command", {"command": "cat /proc/[0-9]*/cmdline"}, scope=scope)

    assert "Timed out" in slept.text
    assert seconds < 4
    assert "sleep" not in alive.text
    quick.close(scope)


def test_a_gigabyte_of_output_is_answered_within_the_limits_of_text_time_and_memory(
    call: Call, interpreter: CodeInterpreter
) -> None:
    call("execute_code", code="1")
    process = psutil.Process()
    family = [process, *process.children(recursive=True)]
    before = {each.pid: each.memory_info().rss for each in family}

    start = time.monotonic()
    outcome = call("execute_code", code="for _ in range(10_000): print('y' * 100_000)")
    seconds = time.monotonic() - start
    grown = {
        each.name(): each.memory_info().rss - before[each.pid]
        for each in family
        if each.is_running()
    }

    assert not outcome.is_error
    assert seconds < 10
    assert len(outcome.text) <= Limits().text_chars
    assert max(grown.values()) < 150_000_000, grown
    path = str(outcome.artifact["execution"]["output_file"])  # type: ignore[index]
    assert path in outcome.text
    size = call("execute_command", command=f"wc -c < {path}").text
    assert int(size) >= 64 * 1024 * 1024


def test_the_host_is_not_to_be_seen(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "host-secret")
    (tmp_path / "host.txt").write_text("host-secret")
    code = f"""
import os
print('environment', [k for k in os.environ if 'AWS' in k])
for path in ({str(tmp_path)!r}, {__file__!r}, '/root/.bashrc', '/etc/shadow', '/sys/kernel'):
    print(os.path.exists(path), end=' ')
"""
    assert call("execute_code", code=code).text == "environment []\nFalse False False False False"


def test_there_is_no_network_unless_it_was_asked_for(call: Call) -> None:
    code = "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)"

    outcome = call("execute_code", code=code)

    assert outcome.is_error
    assert "Network is unreachable" in outcome.text
    assert "This sandbox has no internet" in outcome.text


def test_open_figures_come_back_as_pictures_and_show_is_harmless(call: Call) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\n"

    shown = call("execute_code", code=f"{plot}plt.show()")
    saved = call("execute_code", code=f"{plot}plt.savefig('a.png')", output_filename="a.png")

    assert [image.media_type for image in shown.images] == ["image/png"]
    assert [image.name for image in saved.images] == ["a.png"]


def test_the_last_expression_is_shown_as_text(call: Call) -> None:
    frame = "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})"

    assert call("execute_code", code=frame).text == "   a  b\n0  1  x\n1  2  y"


BAD_PATHS = {
    "pipe": "not a regular file",
    "folder": "not a regular file",
    "passwd": "leads out of the working directory",
    "zero": "leads out of the working directory",
    "../up": "leaves the working directory",
    "/etc/passwd": "leaves the working directory",
    "missing": "There is no file",
}


@pytest.mark.parametrize(("path", "said"), BAD_PATHS.items(), ids=lambda value: str(value)[:12])
def test_a_path_that_cannot_be_read_is_answered_at_once(call: Call, path: str, said: str) -> None:
    call(
        "execute_command",
        command="mkdir -p folder; mkfifo pipe; ln -s /etc/passwd passwd; ln -s /dev/zero zero",
    )

    outcome = call("file_operations", operation="read", paths=[path])

    assert outcome.is_error
    assert said in outcome.text


def test_a_link_that_is_swapped_all_the_time_never_leads_out(call: Call) -> None:
    swap = """
import os, threading, time
open('good', 'w').write('good')
def swap():
    while True:
        for target in ('good', '/etc/passwd'):
            os.symlink(target, 'next')
            os.replace('next', 'link')
threading.Thread(target=swap, daemon=True).start()
time.sleep(0.2)
"""
    call("execute_code", code=swap)

    answers = [call("file_operations", operation="read", paths=["link"]).text for _ in range(200)]

    assert not any("root:" in answer or "user:" in answer for answer in answers)
    assert "good" in answers


def test_a_push_of_what_cannot_be_pushed_says_why_and_saves_the_rest(
    backend: LocalBackend, tmp_path: Path, scope: Scope
) -> None:
    interpreter = CodeInterpreter(
        backend, DirectoryWorkspace(tmp_path), limits=Limits(file_bytes=1000)
    )
    make = "mkfifo pipe; head -c 2000 /dev/zero > huge; mkdir d; echo 1 > a.txt; echo 2 > d/a.txt"
    interpreter.call("execute_command", {"command": make}, scope=scope)

    outcome = interpreter.call(
        "ci_push_to_workspace",
        {"paths": ["pipe", "huge", "d", "missing", "a.txt", "d/a.txt"]},
        scope=scope,
    )

    assert outcome.is_error
    assert "Error with 'pipe': 'pipe' is not a regular file." in outcome.text
    assert "'huge' has 2,000 bytes; a saved file may have 1,000." in outcome.text
    assert "Error with 'd': 'd' is a directory." in outcome.text
    assert "Error with 'missing': There is no file" in outcome.text
    assert "Saved a.txt to the workspace as code-interpreter/a.txt" in outcome.text
    assert "Saved d/a.txt to the workspace as code-interpreter/d_a.txt" in outcome.text
    interpreter.close(scope)


def test_a_workspace_that_cannot_be_written_fails_the_push_and_the_file_stays(
    backend: LocalBackend, tmp_path: Path, scope: Scope
) -> None:
    workspace = DirectoryWorkspace(tmp_path / "w")
    interpreter = CodeInterpreter(backend, workspace)
    interpreter.call("execute_command", {"command": "echo 1 > a.txt"}, scope=scope)
    folder = tmp_path / "w" / "ada" / "thread-1"
    folder.rename(tmp_path / "aside")
    folder.write_text("in the way")

    outcome = interpreter.call("ci_push_to_workspace", {"paths": ["a.txt"]}, scope=scope)

    assert outcome.is_error
    folder.unlink()
    (tmp_path / "aside").rename(folder)
    again = interpreter.call("ci_push_to_workspace", {"paths": ["a.txt"]}, scope=scope)
    assert not again.is_error
    interpreter.close(scope)


def test_an_interrupt_at_the_very_beginning_of_a_run_costs_no_variables(
    backend: LocalBackend,
) -> None:
    """Each of many runs is interrupted at once, wherever in its beginning that hits it."""
    sandbox = backend.start(name="test")
    sandbox.execute_code("import time\nkept = 42", timeout=60)

    for _ in range(15):
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(sandbox.execute_code, "time.sleep(50)", timeout=60)
            while not run.done():
                sandbox.interrupt()
                wait([run], timeout=0.2)
        assert run.result().state_kept
        assert sandbox.execute_code("print(kept)", timeout=60).stdout == "42\n"
    sandbox.close()
