"""`ci-toolkit` as its users call it: in this process where that is enough, else in one of its own.

The demonstration and the emulator have tests of their own.
"""

import io
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from PIL import Image as Pillow
from rich.console import Console

from ci_toolkit import Limits, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.backends.orphans import Leftover
from ci_toolkit.chat.view import ChatView, Paragraphs
from ci_toolkit.cli import _log, app, main, options
from ci_toolkit.cli.checks.findings import Finding, carry_out
from ci_toolkit.cli.checks.packages import check_packages
from ci_toolkit.cli.keeping import keep_files, keep_images
from ci_toolkit.cli.options import in_options, open_backend, open_interpreter, open_workspace
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.errors import BackendUnavailableError, ConfigurationError, SandboxLostError
from ci_toolkit.results import Execution, FileWrite, Image
from ci_toolkit.workspaces import DirectoryWorkspace, InMemoryWorkspace

PROGRAM = [sys.executable, "-c", "from ci_toolkit.cli import main; main()"]


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """Calls commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, stdin: Any = None) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["ci-toolkit", *map(str, arguments)])
        if stdin is not None:
            self._monkeypatch.setattr(sys, "stdin", stdin)
        self._capsys.readouterr()
        with _signals_kept(), pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0 if code is None else 1, out, err)


@pytest.fixture
def ci(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    for name in [name for name in os.environ if name.startswith("CI_TOOLKIT_")]:
        monkeypatch.delenv(name)
    return CommandLine(monkeypatch, capsys)


@contextmanager
def started(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A command in a process of its own, which Ctrl-C reaches however this one was started."""
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - no other thread is in its way
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def hear_interrupts() -> None:
    """Undoes what a shell does to processes that it puts into the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _signals_kept() -> Iterator[None]:
    kinds = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(kind) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


PLOT = """
import sys, matplotlib.pyplot as plt
print("to", sys.argv[1:], open("data/in.csv").read().strip())
print("aside", file=sys.stderr)
plt.plot([1, 2])
open("made.csv", "w").write("a,b")
sys.exit(3)
"""
MODELS = """
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel

MAKE = "open('table.csv', 'w').write('a')\\nprint('written')"
WRITE = {"code": MAKE, "output_filename": "table.csv"}
DRAW = {"code": "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"}
LOOP = {"code": "kept = 42\\nprint('looping')\\nwhile True: pass"}
SHORT = [[("execute_code", WRITE)], lambda said: f"It **said**: {said}", "Second."]
LONG = [
    [("execute_code", DRAW)], "Drawn.", [("execute_code", LOOP)],
    [("execute_code", {"code": "print(kept)"})], lambda said: f"It was {said}.",
]

def short_langchain(): return ScriptedChatModel(SHORT)
def short_strands(): return ScriptedModel(SHORT)
def long_langchain(): return ScriptedChatModel(LONG)
def long_strands(): return ScriptedModel(LONG)
class Streaming(GenericFakeChatModel):
    def bind_tools(self, tools, **_): return self
def streaming(): return Streaming(messages=iter([AIMessage("One word\\n\\nafter another.")]))
kept = ScriptedChatModel(["Well."])
def silent(): return ScriptedChatModel([])
number = 42
"""


class Typed(io.StringIO):
    """Standard input that is no terminal."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user is, with models of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    (tmp_path / "own_models.py").write_text(MODELS)
    return tmp_path


# The root


def test_the_page_names_every_command_and_every_variable() -> None:
    page = (Path(__file__).parent.parent / "docs" / "cli.md").read_text()
    source = Path(options.__file__).parent
    known = {
        name
        for file in source.rglob("*.py")
        for name in re.findall(r"CI_TOOLKIT_[A-Z_]+", file.read_text())
    }

    assert set(re.findall(r"CI_TOOLKIT_[A-Z_]+", page)) == known
    assert {str(each.name) for each in app.registered_commands} <= set(
        re.findall(r"`ci-toolkit ([a-z-]+)", page)
    )


def test_the_version_is_said(ci: CommandLine) -> None:
    assert re.fullmatch(r"ci-toolkit \d+\.\d+\.\d+\n", ci("--version").out)


@pytest.mark.parametrize("command", ["demo", "chat", "run", "doctor", "emulate"])
def test_each_command_explains_itself_within_80_columns(ci: CommandLine, command: str) -> None:
    done = ci(command, "-h")

    assert done.code == 0
    assert f"Usage: ci-toolkit {command}" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_environment_variables_stand_for_options(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "hello.py").write_text("print(6 * 7)")
    monkeypatch.setenv("CI_TOOLKIT_BACKEND", "memory")

    assert ci("run", "hello.py").out == "42\n"
    assert ci("run", "hello.py", "--backend", "nowhere").code == 2


def test_places_for_files_are_named_in_one_way(tmp_path: Path) -> None:
    assert isinstance(open_workspace("memory"), InMemoryWorkspace)
    assert repr(open_workspace(str(tmp_path))) == repr(DirectoryWorkspace(tmp_path))
    assert repr(open_workspace("s3://bucket/a/b/")) == "S3Workspace('bucket', prefix='a/b/')"
    with pytest.raises(ConfigurationError, match="is no bucket"):
        open_workspace("s3://")


def test_an_interpreter_is_built_from_options(tmp_path: Path, scope: Scope) -> None:
    limits = Limits(text_chars=1_000)
    with open_interpreter(backend="memory", workspace=str(tmp_path), limits=limits) as interpreter:
        interpreter.upload("in.csv", b"x", scope=scope)
        outcome = interpreter.call("execute_code", {"code": "print('y' * 5000)"}, scope=scope)

    assert len(outcome.text) <= 1_000
    assert (tmp_path / scope.folder / "uploads" / "in.csv").read_bytes() == b"x"


def test_settings_reach_their_backends() -> None:
    service = open_backend("agentcore", region="eu-central-1", network="internet")
    unconfined = open_backend("local", isolation="none")

    assert repr(service) == "AgentCoreBackend('eu-central-1', 'aws.codeinterpreter.v1')"
    assert service.abilities.network == "internet"
    assert unconfined.abilities.network == "host"
    unconfined.close()


# run


@pytest.mark.local
def test_a_program_runs_with_its_files_and_all_it_makes_is_kept(
    ci: CommandLine, folder: Path
) -> None:
    (folder / "plot.py").write_text(PLOT)
    (folder / "data").mkdir()
    (folder / "data" / "in.csv").write_text("1\n")

    done = ci("run", "plot.py", "-u", "data", "-o", "out", "--", "x", "--y")

    assert (done.code, done.out) == (3, "to ['x', '--y'] 1\n")
    assert done.err.splitlines()[-2:] == [
        "aside",
        "ci-toolkit: kept in out: made.csv, figure-1.png",
    ]
    assert (folder / "out" / "made.csv").read_text() == "a,b"
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["figure-1.png", "made.csv"]
    with Pillow.open(folder / "out" / "figure-1.png") as figure:
        assert figure.format == "PNG"


@pytest.mark.local
@pytest.mark.parametrize(
    ("name", "source", "code", "out"),
    [
        ("a.js", "console.log(process.argv.slice(2)); process.exit(4)", 4, '[ "1", "2 3" ]\n'),
        ("a.ts", "const n: number = 6; console.log(n * 7)", 0, "42\n"),
        ("a.sh", 'echo "$#" "$2" $BASH_VERSINFO; exit 7', 7, "2 2 3 5\n"),
        ("a.py", "import os; os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_every_language_has_its_arguments_and_exit_code(
    ci: CommandLine, folder: Path, name: str, source: str, code: int, out: str
) -> None:
    (folder / name).write_text(source)

    done = ci("run", name, "1", "2 3")

    assert (done.code, done.out.replace("'", '"')) == (code, out)


@pytest.mark.local
def test_errors_name_the_lines_of_the_file(ci: CommandLine, folder: Path) -> None:
    (folder / "bad.py").write_text("def divide():\n    return 1 / 0\n\n\ndivide()\n")

    done = ci("run", "bad.py")

    assert done.code == 1
    assert "~/bad.py:2 in divide" in done.err
    assert "~/bad.py:5" in done.err


@pytest.mark.local
def test_a_time_out_and_lost_files_are_told(ci: CommandLine, folder: Path) -> None:
    (folder / "slow.py").write_text("open('x.txt', 'w').write('x')\nwhile True: pass")

    done = ci("run", "slow.py", "--timeout", "1")

    assert done.code == 124
    assert done.err.splitlines()[-3:] == [
        "KeyboardInterrupt: stopped in slow.py, line 2: while True: pass",
        "ci-toolkit: a file or figure went with the sandbox; --output FOLDER keeps them",
        "ci-toolkit: timed out after 1 s (--timeout)",
    ]


@pytest.mark.parametrize(
    ("run", "options", "code"),
    [
        (Execution(ended="timed_out", exit_code=1), ("-o", "made"), 124),
        (Execution(exit_code=3), (), 3),
        (Execution(stdout="well"), (), 0),
        (Execution(stdout="well"), ("-o", "made"), 125),
    ],
)
def test_a_sandbox_that_is_lost_after_the_run_does_not_hide_how_it_ended(
    ci: CommandLine,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Execution,
    options: tuple[str, ...],
    code: int,
) -> None:
    backend = InMemoryBackend()

    def lost_at_its_end(_: object) -> Execution:
        backend.fail("list_files", SandboxLostError("It is gone.", may_have_run=False))
        return run

    backend.reply(lambda _: True, lost_at_its_end)
    monkeypatch.setattr(sys.modules["ci_toolkit.cli.run"], "open_backend", lambda *_, **__: backend)
    (folder / "any.py").write_text("1")

    done = ci("run", "any.py", *options)

    assert (done.code, done.out.strip()) == (code, run.stdout)
    assert "ci-toolkit: It is gone." in done.err.splitlines()


@pytest.mark.local
def test_long_output_is_complete(ci: CommandLine, folder: Path) -> None:
    (folder / "long.py").write_text("for n in range(150_000): print(n, 'x' * 20)")

    done = ci("run", "long.py")

    assert done.out == "".join(f"{n} {'x' * 20}\n" for n in range(150_000))


@pytest.mark.local
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "loop.py").write_text("print('here', flush=True)\nwhile True: pass")
    with started("run", "loop.py", cwd=tmp_path, environment={"TMPDIR": "tmp"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        process.communicate(timeout=60)

    assert process.returncode == code
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_a_service_sends_at_the_end_is_a_whole_line(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    (folder / "hello.py").write_text("print('hello')")
    with AgentCoreEmulator(LocalBackend(isolation="none")) as url:
        service = ("--backend", "agentcore", "--region", "us-east-1", "--endpoint-url", url)
        done = ci("run", "hello.py", *service)
        refused = ci("run", "hello.py", *service, "--identifier", "unknown-AbCdEf1234")

    assert (done.code, done.out) == (0, "hello\n")
    assert refused.code in (2, 125)
    assert refused.err.startswith("ci-toolkit: Could not start a session of unknown-AbCdEf1234")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.py",), "Cannot read missing.py: No such file or directory."),
        (("notes.txt",), "The language of 'notes.txt' is not known"),
        (("a.py", "-u", "nowhere"), "There is no file or folder 'nowhere' to upload."),
        (("a.py", "-u", "a.py"), "Two files would be 'a.py' in the sandbox; rename one."),
        (("a.py", "--backend", "agentcore", "--region", "x"), "'x' is no AWS region"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    ci: CommandLine, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    (folder / "a.py").write_text("1")

    done = ci("run", "--backend", "memory", *arguments)

    assert done.code == 2
    assert done.err.startswith(f"ci-toolkit: {words}")
    assert len(done.err.splitlines()) == 1


def test_a_program_may_come_on_standard_input(ci: CommandLine) -> None:
    typed = io.TextIOWrapper(io.BytesIO(b"print(6 * 7)"))

    done = ci("run", "-", "--language", "python", "--backend", "memory", stdin=typed)

    assert (done.code, done.out) == (0, "42\n")


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    (out / "circle").symlink_to("circle")
    (out / "file").write_text("")
    sandbox = InMemoryBackend().start(name="test")
    paths = ["good.txt", "link/bad.txt", "/abs.txt", "circle/x.txt", "file/x.txt"]
    sandbox.write_files([FileWrite(path=path, chunks=[b"x"]) for path in paths])

    problems = keep_files(sandbox, [*paths, "gone.txt"], out)
    with pytest.raises(ConfigurationError, match="outside"):
        keep_images([Image(media_type="image/png", data=b"", name="../x.png")], [], out)

    assert [problem.partition(" was not kept")[0] for problem in problems] == [
        "link/bad.txt",
        "/abs.txt",
        "circle/x.txt",
        "file/x.txt",
        "gone.txt",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert {path.name for path in out.iterdir()} == {"good.txt", "link", "circle", "file"}


def test_figures_take_no_name_of_a_file(tmp_path: Path) -> None:
    pictures = [Image(media_type="image/png", data=b"1", name="a.png")] * 2

    assert keep_images(pictures, ["a.png"], tmp_path) == ["a-2.png", "a-3.png"]


# doctor


@pytest.mark.local
def test_the_doctor_tries_everything(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(folder))

    done = ci("doctor", "--json", "--workspace", "w")

    record = json.loads(done.out)
    statuses = {check["check"]: check["status"] for check in record["checks"]}
    assert done.code == 0, done.out
    assert record["ok"] is True
    tried = ("bubblewrap", "deno", "sandbox", "python", "javascript", "typescript", "shell")
    assert {statuses[name] for name in (*tried, "network", "emulator", "workspace")} == {"ok"}
    assert {statuses[name] for name in ("aws region", "aws credentials")} == {"off"}
    assert "agentcore" not in statuses
    assert [path for path in (folder / "w").rglob("*") if path.name != "lock"] == [
        folder / "w" / ".ci-toolkit"
    ]


def test_the_doctor_says_what_is_broken_and_what_to_do(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))

    done = ci("doctor")

    lines = done.out.splitlines()
    assert done.code == 1
    assert any(re.match(r"✗ bubblewrap +The local backend needs bubblewrap", n) for n in lines)
    assert max(map(len, lines)) <= 80


def test_the_doctor_tries_the_service_where_it_is_chosen(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("PATH", str(folder))
    with AgentCoreEmulator(InMemoryBackend(run_python=True)) as url:
        service = ("--backend", "agentcore", "--region", "us-east-1", "--endpoint-url", url)
        done = ci("doctor", "--json", *service)

    (found,) = [each for each in json.loads(done.out)["checks"] if each["check"] == "agentcore"]
    assert found["status"] == "ok"
    assert found["found"].endswith("a session was started and ran Python")


def test_a_check_that_hangs_or_breaks_is_a_finding() -> None:
    pause = threading.Event()

    def hang() -> Finding:
        pause.wait(60)
        return Finding(check="x", status="ok", found="late")

    hung = carry_out("x", 0.1, hang)
    pause.set()
    broken = carry_out("y", 10, lambda: Finding(nonsense=1))  # type: ignore[call-arg]

    assert (hung.status, hung.found) == ("fail", "no answer within 0.1 s")
    assert broken.status == "fail"
    assert broken.found.startswith("TypeError: ")


def test_the_packages_of_each_extra_are_looked_at() -> None:
    findings = {finding.check: finding for finding in check_packages()}

    assert {"packages", "extra local", "extra cli", "extra langchain"} <= set(findings)
    assert findings["packages"].found.startswith("boto3 ")


def test_orphans_of_a_service_are_stopped_only_with_consent(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with AgentCoreEmulator(InMemoryBackend()) as url:
        service = ("--backend", "agentcore", "--region", "us-east-1", "--endpoint-url", url)
        crashed = open_backend("agentcore", region="us-east-1", endpoint_url=url)
        lost = crashed.start(name="ci-toolkit-1234")
        kept = crashed.start(name="mine")
        young = ci("doctor", "--stop-orphans", *service, stdin=Typed())
        unsure = ci("doctor", "--stop-orphans", "--older-than", "0", *service, stdin=Typed())
        still_there = crashed.attach(lost.id).id == lost.id
        sure = ci("doctor", "--stop-orphans", "--older-than", "0", "--yes", *service)
        again = ci("doctor", "--stop-orphans", *service)
        assert crashed.attach(kept.id).id == kept.id
        crashed.close()

    assert (young.code, unsure.code, sure.code, again.code) == (0, 1, 0, 0)
    assert "too young, perhaps in use" in young.out
    assert "nothing of them was stopped (--yes)" in unsure.err
    assert still_there
    assert "agentcore: nothing was left behind." in again.out


def test_what_others_name_their_sandboxes_is_shown_as_it_is(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = Leftover(id="1", name="ci-toolkit-[/b]\x1b[2J", started=0.0, abandoned=False)
    backend = LocalBackend(root=tmp_path, isolation="none")
    monkeypatch.setattr(backend, "list_leftovers", lambda _: (left,))
    monkeypatch.setattr("ci_toolkit.cli.checks.settings.open_backend", lambda *_, **__: backend)

    done = ci("doctor", "--stop-orphans", "--isolation", "none", stdin=Typed())

    assert "ci-toolkit-[/b]\ufffd[2J" in done.out


def test_errors_and_logs_cannot_command_the_terminal(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BackendUnavailableError("It said \x1b[2J.")

    monkeypatch.setattr(sys.modules["ci_toolkit.cli.chat"], "open_backend", fail)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "It said %s", ("\x1b[2J",), None)

    done = ci("chat", "-m", "python:own_models.silent")

    assert (done.code, done.err) == (1, "ci-toolkit: It said \ufffd[2J.\n")
    assert _log.format(record) == "ERROR x: It said \ufffd[2J"


# chat


@pytest.mark.parametrize("framework", ["langchain", "strands"])
def test_questions_may_come_on_standard_input(
    ci: CommandLine, folder: Path, framework: str
) -> None:
    (folder / "in.csv").write_text("x")
    model = f"python:own_models.short_{framework}"
    typed = Typed("Write a\\\ntable\n/files\n/nothing\n/save table.csv copy.csv\n/upload\nMore\n")
    options = ("--framework", framework, "--backend", "memory", "--session", "s", "-u", "in.csv")

    done = ci("chat", "-m", model, *options, stdin=typed)

    saved = "workspace/cli/s/code-interpreter/table.csv"
    lines = [line.strip() for line in done.out.splitlines() if line.strip()]
    assert (done.code, done.err) == (0, "")
    assert lines[0] == "Uploaded in.csv (1 bytes)."
    assert lines.count(f"→ {saved}") == 1
    assert f"→ {saved}  1 bytes" in lines
    assert "→ workspace/cli/s/uploads/in.csv  1 bytes" in lines
    assert any(line.startswith("It **said**: written") for line in lines)
    assert any(line.startswith("There is no command /nothing.") for line in lines)
    assert "/upload: which file? /upload PATH..." in lines
    assert lines[-1] == "Second."
    assert (folder / "copy.csv").read_text() == (folder / saved).read_text() == "a"


def test_a_single_question_has_an_exit_code(ci: CommandLine, folder: Path) -> None:
    options = ("--backend", "memory", "--workspace", "memory")

    good = ci("chat", "-m", "python:own_models.short_langchain", *options, "-p", "Write")
    bad = ci("chat", "-m", "python:own_models.silent", *options, "-p", "Write")

    assert (good.code, bad.code) == (0, 1)
    assert "→ code-interpreter/table.csv (in the workspace)" in good.out
    assert "The model failed. RuntimeError: The script has 0 turns" in bad.out


def test_words_that_are_streamed_are_shown_once(ci: CommandLine, folder: Path) -> None:
    done = ci("chat", "-m", "python:own_models.streaming", "--backend", "memory", "-p", "Say it")

    lines = [line for line in done.out.splitlines() if line]
    assert (done.code, lines) == (0, ["One word", "after another."])


def test_a_chat_goes_on_with_the_files_of_an_earlier_one(ci: CommandLine, folder: Path) -> None:
    options = ("--backend", "memory", "--session", "s")
    ci("chat", "-m", "python:own_models.short_langchain", *options, "-p", "Write")

    ci("chat", "-m", "python:own_models.kept", *options, "-p", "Go on")

    (asked,) = sys.modules["own_models"].kept.seen
    question = str(asked[-1].text)
    assert question.startswith("Note: The earlier sandbox is gone")
    assert question.endswith("Restored: table.csv.\nGo on")
    assert "execute_code" in str(asked[0].text)


@pytest.mark.parametrize("command", [("chat", "-m", "python:own_models.silent"), ("demo",)])
def test_a_service_that_refuses_is_told_to_the_user_in_one_line(
    ci: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(folder))

    done = ci(*command, "--backend", "agentcore", "--region", "us-east-1")

    assert done.code == 1
    assert done.err.startswith("ci-toolkit: Could not start a session of aws.codeinterpreter.v1")
    assert len(done.err.splitlines()) == 1


def test_errors_name_options_and_no_arguments() -> None:
    said = 'Use LocalBackend(isolation="none"), AgentCoreBackend("us-east-1"), network="host".'

    assert in_options(said) == "Use `--isolation none`, `--region us-east-1`, `--network host`."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-m", "gpt"), "--model is PROVIDER:MODEL, such as "),
        (("-m", "nobody:x"), "The model nobody:x cannot be used: Unsupported provider"),
        (("-m", "python:nowhere.model"), "No module named 'nowhere'"),
        (("-m", "python:own_models.number"), "The model python:own_models.number cannot be used"),
        (
            ("-m", "python:own_models.short_strands"),
            "python:own_models.short_strands is a ScriptedModel, and no model of langchain. If",
        ),
        (("-m", "nobody:x", "--framework", "strands"), "Strands has no provider 'nobody'"),
        (("-m", "python:own_models.silent", "-u", "gone"), "Cannot read gone: No such file"),
    ],
)
def test_a_model_that_cannot_be_is_told_in_one_line(
    ci: CommandLine, folder: Path, options: tuple[str, ...], words: str
) -> None:
    done = ci("chat", "--backend", "memory", *options)

    assert done.code == 2
    assert done.err.startswith(f"ci-toolkit: {words}")
    assert len(done.err.splitlines()) == 1


@pytest.mark.local
@pytest.mark.parametrize("framework", ["langchain", "strands"])
def test_in_a_terminal_ctrl_c_ends_an_answer_and_keeps_the_variables(
    folder: Path, framework: str
) -> None:
    options = ("--framework", framework, "--session", "s")
    with Terminal("chat", "-m", f"python:own_models.long_{framework}", *options) as terminal:
        terminal.wait("you> ")
        terminal.type("draw\n")
        terminal.wait("Drawn.")
        terminal.type("loop\n")
        terminal.wait("▏ looping")
        terminal.type("\x03")
        terminal.wait("Interrupted. Variables and files are still there.")
        terminal.type("and now?\n")
        terminal.wait("It was 42.")
        terminal.type("/quit\n")
        code = terminal.ended()

    assert code == 0
    assert "Traceback" not in terminal.seen
    with Pillow.open(folder / "workspace" / "cli" / "s" / "pictures" / "01.png") as picture:
        assert picture.format == "PNG"


def test_nothing_that_a_model_or_a_sandbox_says_commands_the_terminal() -> None:
    hostile = "[/b] \x1b[2J \x1b]52;c;QQ==\x07 \x9b2J \u202e"
    shown = io.StringIO()
    view = ChatView(Console(file=shown, force_terminal=True, width=200))

    view.call(hostile, {"language": hostile, "code": hostile})
    view.call("execute_command", {"command": hostile, hostile: hostile})
    view.output(f"{hostile}\n")
    view.result(f"{hostile} and more", is_error=True)
    view.words(f"{hostile}\n\n")
    view.end_of_words()
    view.conclusion(hostile)
    view.file(hostile)
    view.note(hostile)

    commands = set(re.findall(r"\x1b(?!\[[\d;]*m)", shown.getvalue()))
    assert not commands
    assert not {"\x9b", "\x07", "\u202e"} & set(shown.getvalue())


def test_paragraphs_are_cut_at_empty_lines_and_never_in_code() -> None:
    text = "\n\nOne\nline.\n\n\n```python\na\n\nb\n```\n\n- x\n- y\n\nlast"
    for size in (1, 3, len(text)):
        paragraphs = Paragraphs()
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        cut = [part for piece in pieces for part in paragraphs.add(piece)] + paragraphs.rest()

        assert [part.strip() for part in cut] == [
            "One\nline.",
            "```python\na\n\nb\n```",
            "- x\n- y",
            "last",
        ]


class Terminal:
    """A command in a terminal of 80 columns, as a person sees it."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.seen = ""

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": "80", "LINES": "50", "TERM": "xterm"}
        self._process = subprocess.Popen(
            [*PROGRAM, *self._arguments],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - no other thread is in its way
        )
        os.close(theirs)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait(self, text: str) -> None:
        """Reads until the terminal has shown this since the last time."""
        shown = ""
        while text not in _plain(shown):
            try:
                piece = os.read(self._ours, 65536).decode(errors="replace")
            except OSError:
                piece = ""
            assert piece, f"It ended before it showed {text!r}:\n{_plain(self.seen)}"
            shown += piece
            self.seen += piece

    def ended(self) -> int:
        with pytest.raises(AssertionError):
            self.wait("\0")
        return self._process.wait(60)


def _take_terminal() -> None:
    """Makes standard input the terminal that Ctrl-C is typed in."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    hear_interrupts()


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)
