"""The part of the backend's contract about code and commands."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.errors import UnsupportedError
from ci_toolkit.results import Execution, OnOutput, Stream
from ci_toolkit.testing.backend_life import SandboxContract

__all__ = ["COMMANDS", "RunContract"]

_PRINTS = "printf out; printf err >&2; exit 3"
_LEAVES = "LEFT=here; export LEFT; cd /"
_LOOKS = 'echo "[$LEFT]"; cat marker.txt'
_SLEEPS = "echo first; sleep 60"
_BACKGROUND = "sleep 60 & echo started"
_READS_INPUT = "cat; echo end"
_MAKES = "printf made > made.txt"

COMMANDS: dict[str, Execution] = {
    _PRINTS: Execution(stdout="out", stderr="err", exit_code=3),
    _LEAVES: Execution(),
    _LOOKS: Execution(stdout="[]\nmarker"),
    _SLEEPS: Execution(stdout="first\n", ended="timed_out"),
    _BACKGROUND: Execution(stdout="started\n"),
    _READS_INPUT: Execution(stdout="end\n"),
    _MAKES: Execution(),
}
"""Every command of the contract with its answer, for a backend that has to be told them."""


class RunContract(SandboxContract):
    """Code and commands."""

    def test_variables_imports_and_functions_stay(self, backend: Backend, sandbox: Sandbox) -> None:
        if not _keeps_variables(backend):
            pytest.skip("the backend keeps no variables")
        self.python(sandbox, "import math\nx = 2\ndef double(n):\n    return 2 * n")
        answer = self.python(sandbox, "print(double(x), math.floor(1.5))")
        assert (answer.stdout, answer.exit_code, answer.ended) == ("4 1\n", 0, "completed")
        assert (answer.state_kept, answer.restarted) == (True, False)

    def test_the_value_of_a_last_expression_is_printed(self, sandbox: Sandbox) -> None:
        assert self.python(sandbox, "x = 'a'\nx + 'b'").stdout.strip() == "'ab'"
        assert self.python(sandbox, "None").stdout == ""

    def test_what_was_printed_before_an_exception_is_kept(self, sandbox: Sandbox) -> None:
        answer = self.python(sandbox, "print('before')\n1 / 0")
        assert (answer.stdout, answer.exit_code, answer.ended) == ("before\n", 1, "completed")
        assert "ZeroDivisionError: division by zero" in answer.stderr
        assert "\x1b" not in answer.stderr
        assert answer.failed

    def test_a_traceback_shows_the_line(self, sandbox: Sandbox) -> None:
        assert "unknown_name + 1" in self.python(sandbox, "x = 1\n\nunknown_name + 1").stderr

    def test_a_syntax_error_names_its_line(self, sandbox: Sandbox) -> None:
        answer = self.python(sandbox, "x = 1\ny = 2\nz = = 3\n")
        assert answer.exit_code == 1
        assert "SyntaxError" in answer.stderr
        assert "line 3" in answer.stderr

    def test_stdout_and_stderr_stay_apart(self, sandbox: Sandbox) -> None:
        answer = self.python(sandbox, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
        assert (answer.stdout, answer.stderr, answer.exit_code) == ("out\n", "err\n", 0)

    @pytest.mark.parametrize(
        ("code", "exit_code"),
        [("raise SystemExit(3)", 3), ("import sys\nsys.exit(4)", 4), ("exit()", 0)],
    )
    def test_exit_ends_the_run_and_not_the_sandbox(
        self, backend: Backend, sandbox: Sandbox, code: str, exit_code: int
    ) -> None:
        self.python(sandbox, "x = 1")
        answer = self.python(sandbox, f"print('before')\n{code}\nprint('after')")
        assert (answer.stdout, answer.exit_code) == ("before\n", exit_code)
        assert answer.ended == "completed"
        self.check_goes_on(backend, sandbox)

    def test_code_runs_once(self, sandbox: Sandbox) -> None:
        count = "with open('runs.txt', 'a') as f:\n    _ = f.write('run ')\nraise ValueError"
        assert self.python(sandbox, count).failed
        assert self.read(sandbox, "runs.txt") == b"run "

    def test_reading_standard_input_does_not_hang(self, sandbox: Sandbox) -> None:
        assert self.python(sandbox, "input()").failed

    def test_an_unknown_language_is_unsupported(self, sandbox: Sandbox) -> None:
        with pytest.raises(UnsupportedError):
            sandbox.execute_code("1", language="cobol", timeout=self.patience)

    @pytest.mark.parametrize("language", ["javascript", "typescript"])
    def test_other_languages_print_fail_and_keep_state(
        self, backend: Backend, sandbox: Sandbox, language: str
    ) -> None:
        if language not in backend.languages:
            pytest.skip(f"the backend has no {language}")

        def run(code: str) -> Execution:
            return sandbox.execute_code(code, language=language, timeout=self.patience)

        assert run("let kept = 20; console.log(kept + 1)").stdout == "21\n"
        failed = run("console.log('before'); throw new Error('broken')")
        assert (failed.stdout, failed.exit_code) == ("before\n", 1)
        assert "broken" in failed.stderr
        if language in backend.abilities.stateful:
            assert run("console.log(kept)").stdout == "20\n"

    def test_a_run_tells_when_it_began_and_how_long_it_took(self, sandbox: Sandbox) -> None:
        first = self.python(sandbox, "1")
        second = self.python(sandbox, "2")
        assert 0 < first.started <= second.started
        assert 0 <= first.duration < self.patience

    def test_output_is_reported_in_order(self, backend: Backend, sandbox: Sandbox) -> None:
        if not backend.abilities.live_output:
            pytest.skip("the backend has no live output")
        code = "import sys\nfor n in range(50):\n    print(n)\nprint('e', file=sys.stderr)"
        pieces: list[tuple[Stream, str]] = []
        answer = self.python(sandbox, code, on_output=lambda *piece: pieces.append(piece))
        assert "".join(text for stream, text in pieces if stream == "stdout") == answer.stdout
        assert "".join(text for stream, text in pieces if stream == "stderr") == answer.stderr
        heard = len(pieces)
        self.python(sandbox, "print('later')")
        assert len(pieces) == heard

    def test_a_listener_that_raises_is_ignored(self, sandbox: Sandbox) -> None:
        assert self.python(sandbox, "print(1)", on_output=_deaf).stdout == "1\n"
        answer = sandbox.execute_command(_PRINTS, timeout=self.patience, on_output=_deaf)
        assert answer.stdout == "out"

    def test_code_that_takes_too_long_is_interrupted_and_keeps_variables(
        self, backend: Backend, sandbox: Sandbox
    ) -> None:
        if not backend.abilities.interrupt:
            pytest.skip("the backend cannot interrupt")
        self.python(sandbox, "x = 1")
        began = time.monotonic()
        answer = self.python(sandbox, "print('first')\nwhile True:\n    pass", timeout=1)
        assert time.monotonic() - began < 15
        assert (answer.ended, answer.stdout) == ("timed_out", "first\n")
        assert answer.failed
        assert answer.state_kept is _keeps_variables(backend)
        self.check_goes_on(backend, sandbox)

    def test_an_interrupt_from_another_thread_ends_the_run(
        self, backend: Backend, sandbox: Sandbox
    ) -> None:
        if not backend.abilities.interrupt:
            pytest.skip("the backend cannot interrupt")
        self.python(sandbox, "x = 1")
        with ThreadPoolExecutor(1) as threads:
            run = threads.submit(self.python, sandbox, "import time\ntime.sleep(50)")
            until = time.monotonic() + self.patience
            while not run.done() and time.monotonic() < until:
                sandbox.interrupt()
                time.sleep(0.2)
            assert run.result().ended == "interrupted"
        self.check_goes_on(backend, sandbox)

    def test_an_interrupt_without_a_run_does_nothing(self, sandbox: Sandbox) -> None:
        self.python(sandbox, "x = 1")
        sandbox.interrupt()
        answer = self.python(sandbox, "x = 1\nprint(x)")
        assert (answer.stdout, answer.ended) == ("1\n", "completed")

    def test_a_figure_left_open_comes_back(self, backend: Backend, sandbox: Sandbox) -> None:
        if not backend.abilities.figures or self.python(sandbox, "import matplotlib").failed:
            pytest.skip("the sandbox has no figures")
        code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
        (image,) = self.python(sandbox, code).images
        assert image.media_type == "image/png"
        assert image.data.startswith(b"\x89PNG")
        assert self.python(sandbox, "1").images == ()

    def test_a_command_keeps_its_streams_apart_and_its_exit_code(self, sandbox: Sandbox) -> None:
        self.check_command(sandbox, _PRINTS)

    def test_every_command_has_a_fresh_shell_in_the_working_directory(
        self, sandbox: Sandbox
    ) -> None:
        assert self.write(sandbox, "marker.txt", b"marker") is None
        self.check_command(sandbox, _LEAVES)
        self.check_command(sandbox, _LOOKS)

    def test_the_standard_input_of_a_command_is_empty(self, sandbox: Sandbox) -> None:
        self.check_command(sandbox, _READS_INPUT)

    def test_a_command_that_takes_too_long_is_ended(self, sandbox: Sandbox) -> None:
        began = time.monotonic()
        answer = sandbox.execute_command(_SLEEPS, timeout=1)
        assert time.monotonic() - began < 15
        assert (answer.ended, answer.stdout) == ("timed_out", "first\n")
        self.check_command(sandbox, _PRINTS)

    def test_what_a_command_leaves_behind_keeps_nobody_waiting(self, sandbox: Sandbox) -> None:
        began = time.monotonic()
        self.check_command(sandbox, _BACKGROUND)
        assert time.monotonic() - began < 30

    def test_files_of_a_command_are_read_back(self, sandbox: Sandbox) -> None:
        self.check_command(sandbox, _MAKES)
        assert self.read(sandbox, "made.txt") == b"made"

    def test_output_of_a_command_is_reported(self, backend: Backend, sandbox: Sandbox) -> None:
        if not backend.abilities.live_output:
            pytest.skip("the backend has no live output")
        pieces: list[tuple[Stream, str]] = []
        self.check_command(sandbox, _PRINTS, on_output=lambda *piece: pieces.append(piece))
        assert "".join(text for stream, text in pieces if stream == "stdout") == "out"
        assert "".join(text for stream, text in pieces if stream == "stderr") == "err"

    def check_goes_on(self, backend: Backend, sandbox: Sandbox) -> None:
        """Checks that code still runs, where `x` is 1 if the backend keeps variables."""
        given = "" if _keeps_variables(backend) else "x = 1\n"
        assert self.python(sandbox, f"{given}print(x)").stdout == "1\n"

    def check_command(
        self, sandbox: Sandbox, command: str, *, on_output: OnOutput | None = None
    ) -> None:
        """Runs a command of the contract and compares its answer."""
        answer = sandbox.execute_command(command, timeout=self.patience, on_output=on_output)
        expected = COMMANDS[command]
        assert (answer.stdout, answer.stderr) == (expected.stdout, expected.stderr)
        assert (answer.exit_code, answer.ended) == (expected.exit_code, expected.ended)
        assert answer.state_kept


def _keeps_variables(backend: Backend) -> bool:
    return "python" in backend.abilities.stateful


def _deaf(_stream: Stream, _text: str) -> None:
    raise RuntimeError("This listener always fails.")
