"""Programs that break what they stand on: the sandbox answers them, and goes on working."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import ci_toolkit.backends.local
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.local.sandbox import LocalSandbox
from ci_toolkit.results import Execution

pytestmark = pytest.mark.local

Run = Callable[[str], Execution]
GUEST = Path(ci_toolkit.backends.local.__file__).parent / "guest"
MUCH = "print('a' * 300_000)"
# A picture, and a function that shows it.
PICTURE = """
import asyncio, threading, time
from IPython.display import display
from PIL import Image
def show(): display(Image.new("RGB", (4, 4)))
"""
SHOWN = "<PIL.Image.Image image mode=RGB size=4x4>\n"


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture
def sandbox(backend: LocalBackend) -> Iterator[LocalSandbox]:
    sandbox = backend.start(name="test")
    assert isinstance(sandbox, LocalSandbox)
    yield sandbox
    sandbox.close()


@pytest.fixture
def python(sandbox: LocalSandbox) -> Run:
    return lambda code: sandbox.execute_code(code, timeout=20.0)


@pytest.fixture
def shell(sandbox: LocalSandbox) -> Run:
    return lambda command: sandbox.execute_command(command, timeout=20.0)


def seen(answer: Execution) -> tuple[str, str, int]:
    return answer.stdout, answer.stderr, answer.exit_code


def state(answer: Execution) -> tuple[int, str, bool, bool]:
    return answer.exit_code, answer.ended, answer.state_kept, answer.restarted


def spilled(answer: Execution) -> tuple[int, str, int]:
    return answer.exit_code, answer.output_file, answer.output_bytes


def test_a_command_whose_directory_cannot_be_entered_fails_and_the_variables_stay(
    python: Run, shell: Run
) -> None:
    python("kept = 1")
    shell("chmod 000 .")
    failed = shell("echo never")
    assert seen(failed) == (
        "",
        (
            "The command could not be started: Permission denied: /home/user.\n"
            "Commands start in /home/user, which cannot be entered. Python code can mend that with"
            " os.chmod('/home/user', 0o755).\n"
        ),
        126,
    )
    assert state(failed) == (126, "completed", True, False)
    assert seen(python("import os; os.chmod('/home/user', 0o755); print(kept)")) == ("1\n", "", 0)
    assert seen(shell("echo again")) == ("again\n", "", 0)


def test_a_new_python_process_gets_back_its_closed_directories(python: Run, shell: Run) -> None:
    code = "import os; os.chmod('.', 0); os.chmod('/var/lib/ci', 0); os._exit(3)"
    assert state(python(code)) == (3, "died", False, False)
    assert state(python("open('note', 'w').write('x')")) == (0, "completed", True, True)
    assert seen(shell("cat note")) == ("x", "", 0)


@pytest.mark.parametrize(
    "harm",
    [
        "rm -rf /var/lib/ci",
        "rm -rf /var/lib/ci/env",
        "rm /var/lib/ci/env/bin/python",
        "rm /var/lib/ci/env/pyvenv.cfg",
        "rm -rf /var/lib/ci/env/lib",
        "chmod 000 /var/lib/ci/env/bin /var/lib/ci/env",
        "rm -rf /var/lib/ci/env; touch /var/lib/ci/env",
        "rm -rf /var/lib/ci/env; ln -s /usr /var/lib/ci/env",
    ],
)
def test_a_new_python_process_gets_back_its_broken_environment(
    python: Run, shell: Run, harm: str
) -> None:
    broken = python(f"import os; os.system('{harm}'); os._exit(3)")
    assert state(broken) == (3, "died", False, False)
    again = python("import sys; print(sys.executable)")
    assert seen(again) == ("/var/lib/ci/env/bin/python\n", "", 0)
    assert state(again) == (0, "completed", True, True)
    assert seen(shell("which python pip")) == (
        "/var/lib/ci/env/bin/python\n/var/lib/ci/env/bin/pip\n",
        "",
        0,
    )


def test_python_that_does_not_start_any_more_gets_a_new_environment(python: Run) -> None:
    # Only what is there can be checked beforehand, so it takes tries to see that it does not work.
    python("import os; os.system('ln -sf /bin/true /var/lib/ci/env/bin/python'); os._exit(3)")
    again = python("print(1)")
    assert seen(again) == ("1\n", "", 0)
    assert state(again) == (0, "completed", True, True)
    assert seen(python("print(2)")) == ("2\n", "", 0)


def test_what_is_broken_while_a_new_python_waits_for_its_first_run_is_put_back(
    python: Run, shell: Run
) -> None:
    # The new process is started at once, and may not have read its environment yet.
    assert state(python("import os; os._exit(3)")) == (3, "died", False, False)
    shell("rm -rf /var/lib/ci/env; touch /var/lib/ci/env; pkill -9 -f startup.py")
    again = python("print(1)")
    assert seen(again) == ("1\n", "", 0)
    assert state(again) == (0, "completed", True, True)


def test_whoever_stands_in_the_way_of_a_new_python_costs_no_sandbox(
    python: Run, shell: Run
) -> None:
    # A process of their own group keeps putting a file where the environment belongs.
    watcher = "while true; do rm -rf /var/lib/ci/env; touch /var/lib/ci/env; done"
    started = shell(f"setsid bash -c '{watcher}' >/dev/null 2>&1 & echo $!")
    assert state(python("import os; os._exit(3)")) == (3, "died", False, False)
    python("print(1)")  # it may win the race, or be a failed run
    assert seen(shell(f"kill {started.stdout.strip()} && echo alive")) == ("alive\n", "", 0)
    assert seen(python("print(2)")) == ("2\n", "", 0)


@pytest.mark.parametrize(
    "obstacle",
    [
        "open('.ci', 'w')",
        "os.mkfifo('.ci')",
        "os.symlink('/', '.ci')",
        "os.symlink('.', '.ci')",
        "os.mkdir('.ci', 0)",
        "os.mkdir('.ci', 0o500)",
    ],
)
def test_output_that_no_file_can_hold_is_cut_and_nothing_worse(python: Run, obstacle: str) -> None:
    answer = python(f"import os; {obstacle}; {MUCH}")
    assert spilled(answer) == (0, "", 0)
    assert "\n[... " in answer.stdout
    assert seen(python("print(1)")) == ("1\n", "", 0)


@pytest.mark.parametrize(
    ("others", "name"),
    [
        (["output-9999999999.txt"], ".ci/output-1.txt"),
        (["output-999999999.txt", "output-1.txt"], ".ci/output-2.txt"),
        (["output-007.txt", "output-\u0663.txt", "output-.txt"], ".ci/output-8.txt"),
    ],
)
def test_an_output_file_gets_a_number_whatever_lies_beside_it(
    python: Run, others: list[str], name: str
) -> None:
    code = f"import os; os.mkdir('.ci'); [open('.ci/' + n, 'w') for n in {others!r}]; {MUCH}"
    assert spilled(python(code)) == (0, name, 300_001)


def test_old_output_files_that_cannot_be_removed_are_passed_over(python: Run) -> None:
    code = f"import os; [os.makedirs(f'.ci/output-{{n}}.txt') for n in range(1, 31)]; {MUCH}"
    assert spilled(python(code)) == (0, ".ci/output-31.txt", 300_001)


def test_an_output_file_that_the_disk_cannot_hold_is_not_left_behind(
    python: Run, shell: Run
) -> None:
    # The limit stands for the end of the disk: it stops the guest's own writing.
    for process in psutil.Process().children(recursive=True):
        if any("ci-guest" in word for word in process.cmdline()):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    assert spilled(python(MUCH)) == (0, "", 0)
    assert seen(shell("ls .ci")) == ("", "", 0)


@pytest.mark.parametrize(
    "harm",
    [
        "os.close(1)",
        "os.close(1); os.close(2)",
        "os.close(1); kept_open = open('/dev/null')",
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "os.closerange(0, 3)",
        "sys.stdout = io.StringIO()",
        "sys.stdout = sys.stderr = None",
        "sys.stdout.close(); sys.stderr.close()",
        "sys.stdout.detach(); sys.stderr.detach()",
        "sys.__stdout__ = sys.__stderr__ = None",
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer)",
        "sys.displayhook = None",
        "builtins.print = builtins.repr = None",
        "del builtins.print",
        "builtins.len = builtins.str = builtins.open = None",
    ],
)
def test_what_one_run_does_to_the_streams_ends_with_it(python: Run, harm: str) -> None:
    python(f"import builtins, io, os, sys; kept = 5; {harm}")
    for _ in range(2):
        answer = python("print(kept); print('told', file=sys.stderr); os.system('echo sh'); kept")
        assert seen(answer) == ("5\nsh\n5\n", "told\n", 0)
        assert state(answer) == (0, "completed", True, False)


def test_a_redirected_stream_works_until_its_run_ends(python: Run) -> None:
    code = "import io, sys; caught = sys.stdout = io.StringIO(); print('in'); print('it')"
    assert seen(python(code)) == ("", "", 0)
    assert seen(python("caught.getvalue()")) == ("'in\\nit\\n'\n", "", 0)


def test_text_in_a_buffer_that_a_program_has_put_before_the_output_is_not_lost(
    python: Run,
) -> None:
    code = "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer); print('held')"
    assert seen(python(code)) == ("held\n", "", 0)


def test_builtins_that_a_program_has_only_changed_stay_changed(python: Run) -> None:
    python("import builtins; builtins.ascii = lambda _: 7; builtins.extra = 'more'")
    assert seen(python("ascii([]), extra")) == ("(7, 'more')\n", "", 0)


def test_pictures_that_a_thread_of_an_earlier_run_shows_are_not_the_later_ones(
    python: Run,
) -> None:
    python(f"{PICTURE}\ndef on():\n  while True: time.sleep(0.1); show()")
    python("threading.Thread(target=on, daemon=True).start()")
    later = python("time.sleep(0.5); print('later')")
    assert later.images == ()
    assert (later.exit_code, later.stdout.replace(SHOWN, "")) == (0, "later\n")


def test_pictures_that_a_task_of_an_earlier_run_shows_are_not_the_later_ones(python: Run) -> None:
    python(f"{PICTURE}\nasync def on():\n  while True: await asyncio.sleep(0.1); show()")
    python("task = asyncio.create_task(on()); await asyncio.sleep(0)")
    later = python("await asyncio.sleep(0.5); print('later')")
    assert later.images == ()
    assert (later.exit_code, later.stdout.replace(SHOWN, "")) == (0, "later\n")


@pytest.mark.parametrize(
    "code",
    [
        "show()",
        "await asyncio.sleep(0); show()",
        "t = threading.Thread(target=show); t.start(); t.join()",
        "await asyncio.to_thread(show)",
        "await asyncio.gather(asyncio.create_task(asyncio.to_thread(show)))",
    ],
)
def test_a_run_shows_its_pictures_from_wherever_it_likes(python: Run, code: str) -> None:
    python(PICTURE)
    for _ in range(2):
        answer = python(code)
        assert seen(answer)[1:] == ("", 0)
        assert SHOWN in answer.stdout
        assert [image.media_type for image in answer.images] == ["image/png", "image/jpeg"]


def test_commands_run_in_a_guest_with_more_descriptors_than_select_can_take() -> None:
    code = f"""
import os, resource, sys
sys.path.insert(0, {str(GUEST)!r})
from commands import Commands
from output import Output, Spill
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
opened = [os.dup(0) for _ in range(1100)]
output = Output(keep=1000, spill=Spill("/nowhere", 0), live=None)
ran = Commands(env=dict(os.environ), working_directory="/").run(
    "echo out; sleep 1 & exit 4", timeout=9.0, output=output)
print(ran.exit_code, ran.ended, output.finish().stdout)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("4 completed b'out\\n'\n", "")
