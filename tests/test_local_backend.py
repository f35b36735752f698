"""The local sandbox as its users see it: real kernels, real shells, real isolation."""

import gc
import importlib.metadata
import logging
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from ci_toolkit.backends.base import Abilities, Sandbox
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.local.sandbox import LocalSandbox
from ci_toolkit.errors import (
    ConfigurationError,
    FileMissingError,
    NotAFileError,
    PathOutsideError,
    SandboxLostError,
    ToolError,
    UnsupportedError,
    WriteFailedError,
)
from ci_toolkit.results import Execution, FileWrite, Stream

pytestmark = pytest.mark.local

Python = Callable[..., Execution]
LONG_QUERY = "select sum(hash(a.range + b.range)) from range(1000000) a, range(1000000) b"


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
def python(sandbox: LocalSandbox) -> Python:
    def python(code: str, *, timeout: float = 60.0) -> Execution:
        return sandbox.execute_code(code, timeout=timeout)

    return python


def seen(answer: Execution) -> tuple[str, str, int]:
    return answer.stdout, answer.stderr, answer.exit_code


def read(sandbox: Sandbox, path: str) -> bytes | ToolError:
    (content,) = [(c.error or b"".join(c.chunks)) for c in sandbox.read_files([path])]
    return content


def write(sandbox: Sandbox, path: str, data: bytes = b"") -> ToolError | None:
    (outcome,) = sandbox.write_files([FileWrite(path=path, chunks=[data])])
    return outcome.error


class TestSettings:
    def test_abilities_are_told(self, backend: LocalBackend) -> None:
        every = frozenset({"python", "javascript", "typescript"})
        assert backend.abilities == Abilities(network="none", stateful=every)
        assert LocalBackend(network="host").abilities == Abilities(network="host", stateful=every)
        assert backend.name == "local"
        assert backend.languages == ("python", "javascript", "typescript")

    def test_attaching_is_unsupported(self, backend: LocalBackend) -> None:
        with pytest.raises(UnsupportedError):
            backend.attach("some-id")

    def test_an_unknown_isolation_or_network_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="isolation"):
            LocalBackend(isolation="docker")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="network"):
            LocalBackend(network="some")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="not available in the local backend yet"):
            LocalBackend(network="internet")  # type: ignore[arg-type]

    def test_without_bubblewrap_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigurationError, match=r'(?s)apt install.*isolation="none"'):
            LocalBackend()

    def test_an_unusable_bubblewrap_is_told_and_never_worked_around(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        program = tmp_path / "bwrap"
        program.write_text(
            "#!/bin/sh\n"
            'if [ "$1" = --version ]; then echo bubblewrap 0.9.0; exit; fi\n'
            "echo 'bwrap: No permissions to create a new namespace' >&2; exit 1\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        backend = LocalBackend(root=tmp_path / "root")
        with pytest.raises(ConfigurationError, match=r'(?s)No permissions.*isolation="none"'):
            backend.start(name="test")
        backend.close()
        assert list((tmp_path / "root").iterdir()) == []

    def test_an_old_bubblewrap_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        program = tmp_path / "bwrap"
        program.write_text("#!/bin/sh\necho bubblewrap 0.6.1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(ConfigurationError, match=r"0\.6\.1"):
            LocalBackend()

    def test_an_environment_without_a_kernel_is_told_with_the_cure(self, tmp_path: Path) -> None:
        backend = LocalBackend(python=_bare_environment(tmp_path))
        with pytest.raises(ConfigurationError, match=r"pip install"):
            backend.start(name="test")
        backend.close()
        with pytest.raises(ConfigurationError, match="no interpreter"):
            LocalBackend(python=str(tmp_path / "none"))

    def test_no_isolation_is_warned_about(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            backend = LocalBackend(isolation="none")
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "without isolation" in caplog.text
        assert backend.abilities.network == "host"

    def test_an_environment_below_the_folder_of_temporary_files_works(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret.txt"
        secret.write_text("secret")
        backend = LocalBackend(python=_environment_with_a_kernel(tmp_path))
        answer = backend.start(name="test").execute_code(
            f"import os, sys, zmq\nprint(sys.base_prefix)\nprint(os.listdir({str(tmp_path)!r}))",
            timeout=60,
        )
        backend.close()
        assert seen(answer) == (f"{sys.base_prefix}\n['environment']\n", "", 0)

    def test_variables_given_by_the_host_are_there(self) -> None:
        backend = LocalBackend(env={"GREETING": "hello", "PIP_FIND_LINKS": ""})
        sandbox = backend.start(name="test")
        code = "import os\nprint(os.environ['GREETING'], 'PIP_FIND_LINKS' in os.environ)"
        assert seen(sandbox.execute_code(code, timeout=60)) == ("hello False\n", "", 0)
        assert sandbox.execute_command("echo $GREETING", timeout=60).stdout == "hello\n"
        backend.close()

    def test_settings_with_credentials_are_not_forwarded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_INDEX_URL", "https://user:token@packages.example/simple")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://packages.example/simple")
        backend = LocalBackend()
        answer = backend.start(name="test").execute_command("env", timeout=60)
        backend.close()
        assert "token" not in answer.stdout
        assert "PIP_EXTRA_INDEX_URL=https://packages.example/simple\n" in answer.stdout


class TestPython:
    def test_a_table_is_shown_wide_and_as_text(self, python: Python) -> None:
        answer = python("import pandas as pd\npd.DataFrame({f'column{n}': [n] for n in range(15)})")
        assert [line.split()[0] for line in answer.stdout.splitlines()] == ["column0", "0"]

    def test_what_is_displayed_stands_where_it_was_displayed(self, python: Python) -> None:
        answer = python("print('a')\ndisplay({'x': 1})\nprint('b')\n!echo c\nprint('d', end='')\n5")
        assert seen(answer) == ("a\n{'x': 1}\nb\nc\nd5\n", "", 0)

    def test_output_of_child_processes_stands_where_it_was_made(self, python: Python) -> None:
        code = "import os, subprocess\nprint(1)\nsubprocess.run(['echo', '2'])\nos.system('echo 3')"
        assert python(code + "\nprint(4);").stdout == "1\n2\n3\n4\n"

    def test_output_of_c_libraries_is_not_lost(self, python: Python) -> None:
        code = "import ctypes\nctypes.CDLL(None).printf(b'from C\\n');"
        assert python(code).stdout == "from C\n"

    def test_a_semicolon_hides_a_value(self, python: Python) -> None:
        assert python("1;").stdout == ""
        assert python("2\n").stdout == "2\n"
        assert python("_").stdout == "2\n"

    def test_unicode_and_broken_text_pass(self, python: Python) -> None:
        assert python("print('ü€😀')").stdout == "ü€😀\n"
        assert python("print('\\ud800')").stdout == "\\ud800\n"
        code = "import os\nos.write(1, b'\\xff\\n');"
        assert python(code).stdout == "\N{REPLACEMENT CHARACTER}\n"

    def test_reading_input_fails_with_a_reason(self, python: Python) -> None:
        answer = python("input('Your name?')")
        assert answer.exit_code == 1
        assert "EOFError: input() has nothing to read here" in answer.stderr
        assert "ci-guest" not in answer.stderr

    @pytest.mark.parametrize(
        ("code", "answer"),
        [
            ("import sys\nsys.exit()", ("", "", 0)),
            ("import sys\nsys.exit(3)", ("", "", 3)),
            ("import sys\nsys.exit('bye')", ("", "bye\n", 1)),
            ("print('before')\nquit(4)", ("before\n", "", 4)),
            ("raise SystemExit", ("", "", 0)),
        ],
    )
    def test_exit_codes_are_those_of_python(
        self, python: Python, code: str, answer: tuple[str, str, int]
    ) -> None:
        assert seen(python(code)) == answer

    def test_a_traceback_is_short_and_plain(self, python: Python) -> None:
        python("def divide(a, b):\n    return a / b")
        assert python("divide(1, 0)").stderr == (
            "Traceback (most recent call last):\n\n"
            "  Cell In[2], line 1\n    divide(1, 0)\n\n"
            "  Cell In[1], line 2 in divide\n    return a / b\n\n"
            "ZeroDivisionError: division by zero\n"
        )

    def test_a_long_expression_of_a_value_is_bounded(self, python: Python) -> None:
        answer = python("'x' * 50_000_000")
        assert len(answer.stdout) < 300_000
        assert answer.output_bytes == 50_000_003

    def test_modules_of_the_working_directory_can_be_imported(
        self, sandbox: LocalSandbox, python: Python
    ) -> None:
        assert write(sandbox, "mine.py", b"x = 5") is None
        assert python("import mine\nmine.x").stdout == "5\n"

    def test_processes_of_multiprocessing_work(self, python: Python) -> None:
        code = (
            "import multiprocessing as mp\ndef f(x):\n    return x * x\n"
            "with mp.get_context('fork').Pool(2) as pool:\n    print(pool.map(f, [1, 2, 3]))"
        )
        assert seen(python(code)) == ("[1, 4, 9]\n", "", 0)

    def test_the_directory_of_the_code_is_told(self, sandbox: LocalSandbox, python: Python) -> None:
        assert python("1").directory == sandbox.working_directory
        answer = python("import os\nos.mkdir('sub')\nos.chdir('sub')")
        assert answer.directory == f"{sandbox.working_directory}/sub"

    def test_the_working_directory_stays_clean(self, sandbox: LocalSandbox, python: Python) -> None:
        python("import matplotlib.pyplot as plt, pandas\nplt.plot([1])\nplt.show()")
        sandbox.execute_command("pip --version; python -c 1", timeout=60)
        assert sandbox.list_files(["."])[0].entries == ()


class TestFigures:
    PLOT = "import matplotlib.pyplot as plt\nfigure = plt.figure()\nplt.plot([1, 2])\n"

    @pytest.mark.parametrize(
        ("code", "images"),
        [
            ("plt.show()", 1),
            ("figure", 1),
            ("plt.figure()\nplt.plot([2, 1]);", 2),
            ("plt.savefig('a.png')", 0),
            ("figure.savefig('a.png')\nplt.show()", 0),
            ("plt.close()", 0),
            ("1 / 0", 1),
            ("%matplotlib inline\nfigure", 1),
        ],
    )
    def test_open_figures_come_back_unless_they_were_saved(
        self, python: Python, code: str, images: int
    ) -> None:
        answer = python(self.PLOT + code)
        assert [i.media_type for i in answer.images] == ["image/png"] * images
        assert all(i.data.startswith(b"\x89PNG") for i in answer.images)
        assert python("plt.get_fignums()").stdout == "[]\n"

    def test_pictures_that_are_displayed_come_back(self, python: Python) -> None:
        code = "from PIL import Image\nImage.new('RGB', (4, 4), 'red')"
        answer = python(code)
        assert [i.media_type for i in answer.images][:1] == ["image/png"]
        assert "PIL.Image.Image" in answer.stdout

    def test_so_many_and_no_more(self, python: Python) -> None:
        answer = python(
            "from IPython.display import Image, display\nfrom PIL import Image as P\nimport io\n"
            "b = io.BytesIO()\nP.new('1', (1, 1)).save(b, 'png')\n"
            "for n in range(30):\n    display(Image(b.getvalue()))"
        )
        assert len(answer.images) == 16
        assert answer.stderr.count("left out") == 1
        assert "a run shows 16" in answer.stderr


class TestFloods:
    def test_a_gigabyte_of_output_is_answered_with_its_ends(
        self, sandbox: LocalSandbox, python: Python
    ) -> None:
        python("import os\nimport psutil\nkernel = psutil.Process()\nguest = kernel.parent()")
        memory = "print(kernel.memory_info().rss + guest.memory_info().rss)"
        before = int(python(memory).stdout)
        began = time.monotonic()
        answer = python("for n in range(10000):\n    print(f'{n:05}' + 'y' * 99995)")
        assert time.monotonic() - began < 30
        assert int(python(memory).stdout) - before < 150_000_000
        assert answer.output_bytes == 10_000 * 100_001
        assert answer.stdout.startswith("00000yyy")
        assert answer.stdout.endswith("yyy\n")
        assert 128_000 < len(answer.stdout) < 132_000
        head, _, rest = answer.stdout.partition("\n[... ")
        left_out, _, tail = rest.partition(" bytes left out ...]\n")
        assert len(head) + int(left_out) + len(tail) == answer.output_bytes
        (listing,) = sandbox.list_files([answer.output_file])
        assert (answer.output_file, listing.entries[0].size) == (".ci/output-1.txt", 64 * 1024**2)

    def test_a_longer_output_is_whole_in_its_file(
        self, sandbox: LocalSandbox, python: Python
    ) -> None:
        answer = python("for n in range(50000):\n    print(n)")
        whole = "".join(f"{n}\n" for n in range(50000)).encode()
        assert read(sandbox, answer.output_file) == whole
        assert answer.output_bytes == len(whole)

    def test_a_short_output_makes_no_file(self, sandbox: LocalSandbox, python: Python) -> None:
        answer = python("print('x' * 100_000)")
        assert (len(answer.stdout), answer.output_file) == (100_001, "")
        assert sandbox.list_files(["."])[0].entries == ()

    def test_characters_are_not_cut(self, python: Python) -> None:
        answer = python("print('x' + '€' * 200_000)")
        assert "\N{REPLACEMENT CHARACTER}" not in answer.stdout

    def test_a_trap_in_place_of_the_file_is_not_fallen_into(
        self, sandbox: LocalSandbox, python: Python
    ) -> None:
        python("import os\nos.makedirs('.ci')\nos.mkfifo('.ci/output-1.txt')")
        answer = python("print('x' * 1_000_000)")
        assert answer.output_file == ".ci/output-2.txt"

    def test_live_output_is_bounded_and_ends_with_the_call(self, sandbox: LocalSandbox) -> None:
        pieces: list[tuple[Stream, str]] = []
        sandbox.execute_code(
            "for n in range(100):\n    print('x' * 100_000)",
            timeout=60,
            on_output=lambda *piece: pieces.append(piece),
        )
        heard = sum(len(text) for _, text in pieces)
        assert 500_000 < heard < 2_000_000
        sandbox.execute_code("print(1)", timeout=60)
        assert sum(len(text) for _, text in pieces) == heard

    def test_output_is_heard_while_the_code_runs(self, sandbox: LocalSandbox) -> None:
        heard = threading.Event()

        def listen(_stream: Stream, text: str) -> None:
            if "first" in text:
                heard.set()
                sandbox.interrupt()

        answer = sandbox.execute_code(
            "import time\nprint('first')\ntime.sleep(50)", timeout=60, on_output=listen
        )
        assert heard.is_set()
        assert (answer.stdout, answer.ended) == ("first\n", "interrupted")


class TestInterrupts:
    @pytest.mark.parametrize(
        "code",
        [
            "while True:\n    pass",
            "import time\ntime.sleep(100)",
            "import asyncio\nawait asyncio.sleep(100)",
            "import subprocess\nsubprocess.run(['sleep', '100'])",
            "try:\n    while True:\n        pass\nexcept BaseException:\n    raise",
            f"import duckdb\nduckdb.sql('{LONG_QUERY}').fetchall()",
            f"import duckdb\nc = duckdb.connect()\nc.execute('{LONG_QUERY}').fetchall()",
        ],
        ids=["loop", "sleep", "await", "child", "except", "duckdb", "duckdb connection"],
    )
    def test_code_is_stopped_in_time_and_variables_are_kept(
        self, python: Python, code: str
    ) -> None:
        python("x = 1")
        began = time.monotonic()
        answer = python(code, timeout=2)
        assert time.monotonic() - began < 4
        assert (answer.ended, answer.state_kept, answer.exit_code) == ("timed_out", True, 1)
        assert len(answer.stderr.splitlines()) < 30
        after = python("x")
        assert (after.stdout, after.ended, after.restarted) == ("1\n", "completed", False)

    def test_a_stopped_run_names_the_line(self, python: Python) -> None:
        answer = python("import time\n\ntime.sleep(100)", timeout=1)
        stopped = "KeyboardInterrupt: stopped in cell 1, line 3: time.sleep(100)\n"
        assert answer.stderr == stopped

    def test_code_that_cannot_be_stopped_is_replaced(self, python: Python) -> None:
        code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('first')\n"
        python("x = 1")
        began = time.monotonic()
        answer = python(code + "while True:\n    pass", timeout=1)
        assert time.monotonic() - began < 15
        assert (answer.ended, answer.state_kept) == ("timed_out", False)
        assert (answer.stdout, answer.exit_code) == ("first\n", -9)
        after = python("print('x' in globals())")
        assert (after.stdout, after.restarted, after.state_kept) == ("False\n", True, True)
        assert python("1").restarted is False

    def test_processes_of_code_that_is_replaced_end_with_it(
        self, sandbox: LocalSandbox, python: Python
    ) -> None:
        answer = python(
            "import signal, subprocess\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "subprocess.Popen(['sleep', '1234'], start_new_session=True)\n"
            "while True:\n    pass",
            timeout=1,
        )
        assert answer.state_kept is False
        assert sandbox.execute_command("pgrep -x sleep", timeout=60).stdout == ""

    @pytest.mark.parametrize(
        ("code", "exit_code"),
        [
            ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
            ("import ctypes\nctypes.string_at(0)", -signal.SIGSEGV),
            ("import os\nos._exit(7)", 7),
        ],
    )
    def test_a_kernel_that_dies_is_told_and_replaced(
        self, python: Python, code: str, exit_code: int
    ) -> None:
        answer = python(f"print('before')\n{code}")
        assert (answer.ended, answer.exit_code, answer.state_kept) == ("died", exit_code, False)
        assert answer.stdout == "before\n"
        assert python("1").restarted is True
        assert python("1").restarted is False

    def test_a_kernel_that_dies_between_calls_is_noticed(
        self, sandbox: LocalSandbox, python: Python
    ) -> None:
        pid = int(python("import os\nos.getpid()").stdout)
        sandbox.execute_command(f"kill -9 {pid}; sleep 0.2", timeout=60)
        answer = python("1")
        assert (answer.stdout, answer.ended, answer.restarted) == ("1\n", "completed", True)

    def test_a_command_can_be_interrupted(self, sandbox: LocalSandbox) -> None:
        with ThreadPoolExecutor(1) as threads:
            run = threads.submit(sandbox.execute_command, "echo first; sleep 100", timeout=60)
            while not run.done():
                sandbox.interrupt()
                time.sleep(0.05)
        assert run.result().ended == "interrupted"


class TestCommands:
    def test_everything_that_a_command_started_ends_with_its_time(
        self, sandbox: LocalSandbox
    ) -> None:
        command = "setsid sleep 1000 & (setsid nohup sleep 1000 &) ; sleep 1000"
        assert sandbox.execute_command(command, timeout=1).ended == "timed_out"
        assert sandbox.execute_command("pgrep -x sleep", timeout=60).stdout == ""

    def test_what_is_left_in_the_background_goes_on(self, sandbox: LocalSandbox) -> None:
        command = "(while sleep 0.05; do echo tick; touch ticked; done) & echo started"
        began = time.monotonic()
        answer = sandbox.execute_command(command, timeout=60)
        assert time.monotonic() - began < 30
        assert answer.stdout.startswith("started\n")
        sandbox.execute_command(
            "rm -f ticked; until test -e ticked; do sleep 0.1; done", timeout=30
        )
        assert read(sandbox, "ticked") == b""

    def test_a_long_command_runs(self, sandbox: LocalSandbox) -> None:
        answer = sandbox.execute_command(f"printf %s '{'x' * 300_000}' | wc -c", timeout=60)
        assert seen(answer) == ("300000\n", "", 0)

    def test_a_signal_is_told_as_the_shell_tells_it(self, sandbox: LocalSandbox) -> None:
        assert sandbox.execute_command("kill -9 $$", timeout=60).exit_code == -9
        assert sandbox.execute_command("sh -c 'kill -9 $$'; exit $?", timeout=60).exit_code == 137

    def test_output_of_both_streams_is_bounded(self, sandbox: LocalSandbox) -> None:
        answer = sandbox.execute_command("yes | head -c 5000000; yes e | head -c 9 >&2", timeout=60)
        assert len(answer.stdout) < 200_000
        assert (answer.stderr, answer.output_bytes) == ("e\ne\ne\ne\ne", 5_000_009)


class TestPip:
    def test_a_package_is_installed_into_the_session_only(
        self, backend: LocalBackend, sandbox: LocalSandbox, tmp_path: Path
    ) -> None:
        wheel = _wheel(
            tmp_path, "pocketmath", "1.0", "answer = 42\ndef main():\n    print(answer)\n"
        )
        assert write(sandbox, wheel.name, wheel.read_bytes()) is None
        sandbox.execute_code("import sys", timeout=60)
        pip = f"pip install --no-index {wheel.name}"
        installed = sandbox.execute_command(pip, timeout=120)
        assert installed.exit_code == 0, installed.stderr
        answer = sandbox.execute_code("import pocketmath\npocketmath.answer", timeout=60)
        assert seen(answer) == ("42\n", "", 0)
        assert seen(sandbox.execute_command("pocketmath", timeout=60)) == ("42\n", "", 0)
        removed = sandbox.execute_command("pip uninstall -y pocketmath", timeout=60)
        assert "Successfully uninstalled" in removed.stdout
        other = backend.start(name="other")
        assert "ModuleNotFoundError" in other.execute_code("import pocketmath", timeout=60).stderr
        other.close()

    def test_a_package_of_the_environment_can_be_replaced(
        self, sandbox: LocalSandbox, tmp_path: Path
    ) -> None:
        wheel = _wheel(tmp_path, "idna", "99.0", "__version__ = '99.0'\n")
        assert write(sandbox, wheel.name, wheel.read_bytes()) is None
        code = f"!pip install -q --no-index ./{wheel.name}\n"
        code += "import idna\nprint(idna.__version__)"
        assert sandbox.execute_code(code, timeout=120).stdout == "99.0\n"


class TestIsolation:
    def test_nothing_of_the_host_is_visible(
        self, python: Python, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "secret.txt").write_text("secret")
        shadow = "/etc/shadow"
        code = (
            "import os\n"
            f"for path in {[str(tmp_path / 'secret.txt'), shadow, '/etc/ssl/private', '/sys']!r}:\n"
            "    print(os.path.exists(path))\n"
            f"print([n for n in os.listdir('/tmp') if n not in {sys.prefix.split('/')!r}])\n"
            "print(os.listdir('.'))\n"
            "print(open('/etc/hostname').read() if os.path.exists('/etc/hostname') else '')\n"
        )
        assert seen(python(code)) == ("False\nFalse\nFalse\nFalse\n[]\n[]\n\n", "", 0)

    def test_variables_of_the_host_are_not_visible(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
        monkeypatch.setenv("SOME_TOKEN", "very-secret")
        backend = LocalBackend()
        sandbox = backend.start(name="test")
        answer = sandbox.execute_command("env; cat /proc/*/environ | tr '\\0' '\\n'", timeout=60)
        assert "PATH=" in answer.stdout
        assert "very-secret" not in answer.stdout
        backend.close()

    def test_the_system_and_the_environment_cannot_be_written(self, sandbox: LocalSandbox) -> None:
        code = (
            "import os, sys, ipykernel\n"
            "for folder in ['/', '/usr', '/etc', '/dev', '/opt/ci-guest', '/home', "
            "os.path.dirname(ipykernel.__file__), sys.base_prefix]:\n"
            "    print(os.access(folder, os.W_OK))"
        )
        assert sandbox.execute_code(code, timeout=60).stdout == "False\n" * 8

    def test_the_code_is_an_ordinary_user_without_capabilities(self, sandbox: LocalSandbox) -> None:
        command = "id -u; id -un; hostname; grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status"
        answer = sandbox.execute_command(command, timeout=60)
        zero = "0" * 16
        assert answer.stdout.split() == [
            *("1000", "user", "sandbox"),
            *("CapEff:", zero, "CapBnd:", zero, "NoNewPrivs:", "1"),
        ]
        assert sandbox.execute_command("unshare -Ur true", timeout=60).exit_code != 0

    def test_sandboxes_do_not_see_each_other(
        self, backend: LocalBackend, sandbox: LocalSandbox
    ) -> None:
        other = backend.start(name="other")
        sandbox.execute_command("echo mine | tee /tmp/mine mine /dev/shm/mine", timeout=60)
        command = "cat /tmp/* /dev/shm/* *; pgrep -fc '[c]i-guest [{]'"
        answer = other.execute_command(command, timeout=60)
        assert answer.stdout == "1\n"
        other.close()

    def test_there_is_no_network(self, python: Python) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            answer = python(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)")
        assert "ConnectionRefusedError" in answer.stderr
        interfaces = python("import socket\n[name for _, name in socket.if_nameindex()]")
        assert interfaces.stdout == "['lo']\n"

    def test_the_network_of_the_host_is_there_when_asked_for(self) -> None:
        backend = LocalBackend(network="host")
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5).close()"
            answer = backend.start(name="test").execute_code(code, timeout=60)
        backend.close()
        assert seen(answer) == ("", "", 0)

    def test_memory_is_bounded_for_one_process(self) -> None:
        backend = LocalBackend(memory_bytes=1_000_000_000)
        sandbox = backend.start(name="test")
        answer = sandbox.execute_code("x = 1\nbytearray(2_000_000_000)", timeout=60)
        assert "MemoryError" in answer.stderr
        assert sandbox.execute_code("x", timeout=60).stdout == "1\n"
        backend.close()

    def test_memory_is_bounded_for_all_processes_together(self) -> None:
        backend = LocalBackend(memory_bytes=800_000_000)
        sandbox = backend.start(name="test")
        eater = "python3 -c 'import time; x = b\"x\" * 300_000_000; time.sleep(60)'"
        command = f'{eater} & {eater} & {eater} & wait -n; echo "exit $?"'
        answer = sandbox.execute_command(command, timeout=50)
        assert answer.stdout == "exit 137\n"
        assert "memory limit of 800 MB was reached" in answer.stderr
        backend.close()

    def test_files_and_temporary_space_are_bounded(self) -> None:
        backend = LocalBackend(file_bytes=1_000_000, temporary_bytes=2_000_000)
        sandbox = backend.start(name="test")
        code = "open('big', 'wb').write(bytes(2_000_000))"
        assert "File too large" in sandbox.execute_code(code, timeout=60).stderr
        code = "for n in range(9):\n    open(f'/tmp/{n}', 'wb').write(bytes(500_000))"
        assert "No space left" in sandbox.execute_code(code, timeout=60).stderr
        assert isinstance(write(sandbox, "big", bytes(2_000_000)), WriteFailedError)
        assert isinstance(write(sandbox, "/tmp/big", bytes(900_000) * 3), WriteFailedError)
        backend.close()

    def test_processes_are_bounded(self) -> None:
        if os.geteuid() == 0 and not os.access("/sys/fs/cgroup/pids", os.W_OK):
            pytest.skip("as root only a writable control group can bound processes")
        backend = LocalBackend(processes=80)
        sandbox = backend.start(name="test")
        command = "for n in $(seq 200); do sleep 30 & done; echo end"
        answer = sandbox.execute_command(command, timeout=60)
        assert "Resource temporarily unavailable" in answer.stderr
        groups = {group for p in psutil.Process().children(recursive=True) for group in _groups(p)}
        backend.close()
        assert [group for group in groups if group.exists()] == []


class TestFiles:
    @pytest.mark.parametrize(
        "target", ["/etc/passwd", "../../etc/passwd", "/proc/self/root/etc/passwd", "/nowhere"]
    )
    def test_a_link_out_is_neither_read_nor_followed(
        self, sandbox: LocalSandbox, target: str
    ) -> None:
        sandbox.execute_command(f"ln -s {target} link", timeout=60)
        assert isinstance(read(sandbox, "link"), PathOutsideError)
        (listing,) = sandbox.list_files(["."])
        assert [(e.path, e.kind) for e in listing.entries] == [("link", "other")]
        assert write(sandbox, "link", b"mine") is None
        assert read(sandbox, "link") == b"mine"

    def test_links_inside_are_followed(self, sandbox: LocalSandbox) -> None:
        assert write(sandbox, "a/b.txt", b"content") is None
        sandbox.execute_command("ln -s a/b.txt relative; ln -s $PWD/a absolute", timeout=60)
        assert read(sandbox, "relative") == b"content"
        assert read(sandbox, "absolute/b.txt") == b"content"
        (listing,) = sandbox.list_files(["."], recursive=True)
        assert [(e.path, e.kind) for e in listing.entries] == [
            ("a", "directory"),
            ("a/b.txt", "file"),
            ("absolute", "directory"),
            ("relative", "file"),
        ]

    def test_a_link_that_is_swapped_all_the_time_never_leads_out(
        self, sandbox: LocalSandbox
    ) -> None:
        assert write(sandbox, "inside/passwd", b"inside") is None
        sandbox.execute_command(
            "(while true; do ln -sfn inside link; ln -sfn /etc link; done) & true", timeout=60
        )
        outcomes = {
            content if isinstance(content, bytes) else type(content)
            for content in (read(sandbox, "link/passwd") for _ in range(500))
        }
        assert outcomes <= {b"inside", PathOutsideError, FileMissingError}
        for _ in range(100):
            write(sandbox, "link/new", b"x")
        assert sandbox.execute_command("ls /etc/new", timeout=60).exit_code != 0

    def test_special_files_are_no_files_and_no_hang(self, sandbox: LocalSandbox) -> None:
        sandbox.execute_command("mkfifo fifo; mkdir folder", timeout=60)
        sandbox.execute_code(
            "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('socket')", timeout=60
        )
        for path in ("fifo", "socket", "folder", "/dev/zero", "/dev/null"):
            assert isinstance(read(sandbox, path), NotAFileError), path
            assert isinstance(write(sandbox, path), NotAFileError), path

    def test_what_may_not_be_read_is_told(self, sandbox: LocalSandbox) -> None:
        sandbox.execute_command("echo x > a; chmod 000 a; mkdir b; chmod 000 b", timeout=60)
        assert isinstance(read(sandbox, "a"), UnsupportedError)
        assert isinstance(sandbox.list_files(["b"])[0].error, UnsupportedError)
        assert isinstance(write(sandbox, "b/c"), WriteFailedError)
        assert isinstance(write(sandbox, "/usr/new"), WriteFailedError)

    def test_permissions_of_a_replaced_file_are_kept(self, sandbox: LocalSandbox) -> None:
        assert write(sandbox, "run.sh", b"old") is None
        sandbox.execute_command("chmod 755 run.sh", timeout=60)
        assert write(sandbox, "run.sh", b"echo new") is None
        assert sandbox.execute_command("./run.sh", timeout=60).stdout == "new\n"

    def test_a_file_of_the_system_that_has_no_size_is_read(self, sandbox: LocalSandbox) -> None:
        content = read(sandbox, "/proc/version")
        assert isinstance(content, bytes)
        assert content.startswith(b"Linux")

    def test_names_of_any_bytes_are_listed(self, sandbox: LocalSandbox) -> None:
        sandbox.execute_code("open(b'\\xff', 'w').close()\nopen('a\\nb', 'w').close()", timeout=60)
        (listing,) = sandbox.list_files([""])
        assert [e.path for e in listing.entries] == ["a\nb", "\N{REPLACEMENT CHARACTER}"]

    def test_a_large_folder_is_listed_in_part(self, sandbox: LocalSandbox) -> None:
        sandbox.execute_command("mkdir many; cd many; seq 10050 | xargs touch", timeout=60)
        (listing,) = sandbox.list_files(["many"])
        assert (len(listing.entries), listing.complete) == (10_000, False)
        assert sandbox.remove_files(["many"])[0].error is None

    def test_a_folder_above_the_working_directory_is_not_removed(
        self, sandbox: LocalSandbox
    ) -> None:
        assert write(sandbox, "kept", b"kept") is None
        outcomes = sandbox.remove_files(["/", "/home", "/home/user", "/home/../home/user/"])
        assert [type(o.error) for o in outcomes] == [UnsupportedError] * 4
        assert read(sandbox, "kept") == b"kept"

    def test_deep_folders_are_no_trouble(self, sandbox: LocalSandbox) -> None:
        code = "import os\nfor n in range(3000):\n    os.mkdir('d')\n    os.chdir('d')"
        assert sandbox.execute_code(code, timeout=60).exit_code == 0
        (listing,) = sandbox.list_files(["."], recursive=True)
        assert (listing.entries[0].path, listing.complete) == ("d", False)
        assert isinstance(sandbox.remove_files(["d"])[0].error, WriteFailedError)
        sandbox.execute_command("rm -r d", timeout=60)


class TestEnd:
    def test_a_guest_that_is_killed_means_a_lost_sandbox(self, sandbox: LocalSandbox) -> None:
        sandbox.execute_code("x = 1", timeout=60)
        guest = _guest()
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code(
                "print(1, flush=True)\nimport time\ntime.sleep(100)",
                timeout=60,
                on_output=lambda *_: guest.kill(),
            )
        assert caught.value.may_have_run is True
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code("x", timeout=60)
        assert caught.value.may_have_run is False

    def test_a_guest_that_died_between_calls_has_run_nothing(self, sandbox: LocalSandbox) -> None:
        sandbox.execute_command("true", timeout=60)
        guest = _guest()
        guest.kill()
        guest.wait(30)
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code("1", timeout=60)
        assert caught.value.may_have_run is False

    def test_closing_during_a_run_ends_it(self, sandbox: LocalSandbox) -> None:
        started = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            run = threads.submit(
                sandbox.execute_code,
                "import time\nprint(1)\ntime.sleep(100)",
                timeout=200,
                on_output=lambda *_: started.set(),
            )
            assert started.wait(60)
            sandbox.close()
            with pytest.raises(SandboxLostError) as caught:
                run.result(60)
        assert caught.value.may_have_run is True

    @pytest.mark.parametrize("isolation", ["bubblewrap", "none"])
    def test_nothing_is_left_after_the_end(self, isolation: str, tmp_path: Path) -> None:
        backend = LocalBackend(isolation=isolation, root=tmp_path / "root")  # type: ignore[arg-type]
        fds, children = _descriptors(), _living()
        sandbox = backend.start(name="test")
        sandbox.execute_code(
            "import os, subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)",
            timeout=60,
        )
        sandbox.execute_command(
            "(setsid nohup sleep 1000 &); mkdir -p a/b; touch a/b/c; ln -s / out; chmod 000 a/b a",
            timeout=60,
        )
        sandbox.close()
        assert _living() == children
        assert _descriptors() == fds + 1  # the lock that says that the backend lives
        backend.close()
        assert _descriptors() == fds
        assert list((tmp_path / "root").iterdir()) == []

    def test_a_forgotten_backend_ends_its_sandboxes(self, tmp_path: Path) -> None:
        children = _living()
        backend = LocalBackend(root=tmp_path)
        backend.start(name="test").execute_code("1", timeout=60)
        assert _living() != children
        del backend
        gc.collect()
        assert (_living(), list(tmp_path.iterdir())) == (children, [])

    def test_a_sandbox_keeps_its_backend(self, tmp_path: Path) -> None:
        sandbox = LocalBackend(root=tmp_path).start(name="test")
        gc.collect()
        assert sandbox.execute_code("1", timeout=60).stdout == "1\n"
        sandbox.close()

    def test_a_process_that_is_killed_takes_its_sandboxes_along(self, tmp_path: Path) -> None:
        script = (
            "from ci_toolkit.backends.local import LocalBackend\n"
            f"b = LocalBackend(root={str(tmp_path)!r})\ns = b.start(name='x')\n"
            "print(s.execute_command('setsid sleep 1000 & true', timeout=60).ended, flush=True)\n"
            "import time\ntime.sleep(100)"
        )
        with psutil.Popen([sys.executable, "-c", script], stdout=-1) as process:
            assert process.stdout.readline() == b"completed\n"
            family = process.children(recursive=True)
            assert family
            process.kill()
            _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []

    def test_warm_sandboxes_are_ready_and_used_once(self, tmp_path: Path) -> None:
        backend = LocalBackend(warm=2, root=tmp_path)
        deadline = time.monotonic() + 60
        while len(_sessions(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        first, second = backend.start(name="first"), backend.start(name="second")
        first.execute_code("x = 1", timeout=60)
        assert first.id != second.id
        assert second.execute_code("x", timeout=60).exit_code == 1
        first.close()
        third = backend.start(name="third")
        assert third.execute_code("x", timeout=60).exit_code == 1
        backend.close()
        assert list(tmp_path.iterdir()) == []

    def test_sandboxes_of_one_backend_work_at_the_same_time(self, backend: LocalBackend) -> None:
        def work(number: int) -> str:
            sandbox = backend.start(name=str(number))
            answer = sandbox.execute_code(f"import time\ntime.sleep(1)\n{number}", timeout=60)
            sandbox.close()
            return answer.stdout

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(work, range(4))) == ["0\n", "1\n", "2\n", "3\n"]

    def test_a_closed_backend_starts_nothing(self) -> None:
        backend = LocalBackend()
        backend.close()
        with pytest.raises(Exception, match="closed"):
            backend.start(name="test")


def _sessions(root: Path) -> list[Path]:
    return [path for path in root.glob("*/*") if path.name != "etc"]


def _living() -> list[int]:
    mine = psutil.Process().children(recursive=True)
    sleeping = [p.pid for p in psutil.process_iter(["cmdline"]) if _sleeps(p)]
    return sorted({p.pid for p in mine} | set(sleeping))


def _sleeps(process: psutil.Process) -> bool:
    return bool(process.info["cmdline"] == ["sleep", "1000"])


def _guest() -> psutil.Process:
    """The guest of the only sandbox of this process."""
    everything = psutil.Process().children(recursive=True)
    (guest,) = [p for p in everything if p.cmdline()[2:3] == ["/opt/ci-guest"]]
    return guest


def _groups(process: psutil.Process) -> list[Path]:
    lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
    paths = [line.rpartition(":")[2] for line in lines if "ci-toolkit" in line]
    return [Path(f"/sys/fs/cgroup/pids{path}") for path in paths]


def _descriptors() -> int:
    return psutil.Process().num_fds()


def _bare_environment(folder: Path) -> str:
    venv.create(folder / "bare", with_pip=False)
    return str(folder / "bare" / "bin" / "python")


def _environment_with_a_kernel(folder: Path) -> str:
    """An environment of its own, with the kernel's packages as hard links."""
    venv.create(folder / "environment", with_pip=False)
    (packages,) = (folder / "environment").glob("lib/python*/site-packages")
    for name in _with_requirements("ipykernel", set()):
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                place = packages / file
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    _link(Path(str(distribution.locate_file(file))), place)
    return str(folder / "environment" / "bin" / "python")


def _link(source: Path, place: Path) -> None:
    try:
        place.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, place)


def _with_requirements(name: str, found: set[str]) -> set[str]:
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return found
    found.add(name)
    for requirement in requirements:
        needed = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        if "extra ==" not in requirement and needed not in found:
            _with_requirements(needed, found)
    return found


def _wheel(folder: Path, name: str, version: str, code: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for place, content in files.items():
            wheel.writestr(place, content)
    return path
