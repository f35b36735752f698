"""The tools that run code and commands, once, to their end."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from shlex import quote
from time import monotonic
from typing import Any
from uuid import uuid4

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.emulator.answers import Result, ran, ran_command, told
from ci_toolkit.emulator.options import EmulatorOptions
from ci_toolkit.emulator.shell import Job
from ci_toolkit.errors import UnsupportedError
from ci_toolkit.results import Execution, FileWrite

__all__ = ["Pending", "Runs", "is_interrupt"]

_CLEAR = """
def _clear():
    names = globals()
    if "get_ipython" in names:
        names["get_ipython"]().run_line_magic("reset", "-sf")
    for name in [n for n in names if not n.startswith("_")]:
        if "get_ipython" not in names:
            del names[name]
_clear()
del _clear
"""
_RUNTIMES = {
    "python": ("python",),
    "javascript": ("deno", "nodejs"),
    "typescript": ("deno", "nodejs"),
}
_LONGEST_COMMAND = 128 * 1024  # Linux allows no longer argument.
_DENO = "export NO_COLOR=1; exec deno run --quiet --allow-all --no-lock {file}"
_NODE = (
    'if node -e "process.exit(process.features.{feature} ? 0 : 1)" 2>/dev/null; '
    "then exec node {file}; fi; " + _DENO
)
_SCRIPTS = {
    ("javascript", "deno"): ("nodejs-js-execution", "mjs", _DENO),
    ("javascript", "nodejs"): ("nodejs-js-execution", "cjs", _NODE.replace("{feature}", "uv")),
    ("typescript", "deno"): ("nodejs-ts-execution", "mts", _DENO),
    ("typescript", "nodejs"): (
        "nodejs-ts-execution",
        "mts",
        _NODE.replace("{feature}", "typescript"),
    ),
}
_SIGINT = re.compile(r"\bp?kill\b(?=.*\s-(?:s\s*)?(?:SIG)?(?:INT|2)\b)")


def is_interrupt(command: str) -> bool:
    """Whether a command sends the signal that interrupts a kernel."""
    return _SIGINT.search(command) is not None


class Pending:
    """A run that goes on while the session does other things.

    Args:
        job: The run.
        done: Makes the result of what came of it.
        seconds: How long it may take.
    """

    def __init__(self, job: Job, done: Callable[[Execution], Result], seconds: float) -> None:
        self._job = job
        self._done = done
        self._deadline = monotonic() + seconds

    def settled(self) -> "Result | Pending":
        """The result, if there is one; else this."""
        if self._job.ended is None and monotonic() > self._deadline:
            self._job.stop()
            return self._done(Execution(stderr="Time is up.\n", exit_code=-9))
        return self if self._job.ended is None else self._done(self._job.ended)

    def look(self) -> "Result | Pending":
        """Looks again."""
        self._job.look()
        return self.settled()


class Runs:
    """Runs in one sandbox.

    Args:
        sandbox: Where.
        shell: Whether its commands run in a real shell.
        options: The emulator's.
    """

    def __init__(self, sandbox: Sandbox, *, shell: bool, options: EmulatorOptions) -> None:
        self._sandbox = sandbox
        self._shell = shell
        self._options = options
        self._seconds = options.call_seconds
        self._in_kernels = False

    def code(self, arguments: Mapping[str, Any]) -> Result | Pending:
        """`executeCode`."""
        missing = [name for name in ("code", "language") if arguments.get(name) is None]
        if missing:
            return told(f"Error: executeCode needs {missing[0]!r}.", error=True)
        language: str = arguments["language"]
        runtime: str = arguments.get("runtime") or _RUNTIMES[language][0]
        if runtime not in _RUNTIMES[language]:
            return told(f"Error: the runtime {runtime!r} does not run {language}.", error=True)
        if language != "python" and self._shell and not self._options.keep_javascript_state:
            return self._script(arguments["code"], language, runtime)
        return self._in_kernel(arguments["code"], language, clear=arguments.get("clearContext"))

    def command(self, arguments: Mapping[str, Any]) -> Result | Pending:
        """`executeCommand`."""
        command = arguments.get("command")
        if command is None:
            return told("Error: executeCommand needs 'command'.", error=True)
        if not self._shell:
            return ran_command(self._sandbox.execute_command(command, timeout=self._seconds))
        if len(command.encode()) >= _LONGEST_COMMAND:
            # The service is said to hang here; the reason, told at once, is of more use.
            return ran_command(Execution(stderr="/bin/sh: Argument list too long\n", exit_code=126))
        job = Job(self._sandbox)
        job.start(command)
        return Pending(job, ran_command, self._seconds).settled()

    def interrupt(self) -> bool:
        """Interrupts the code that the backend's own kernel runs; False if it runs none."""
        if self._in_kernels:
            self._sandbox.interrupt()
        return self._in_kernels

    def _in_kernel(self, code: str, language: str, *, clear: bool | None) -> Result:
        self._in_kernels = True
        try:
            if language == "python" and clear:
                # A backend of scripted replies has nothing to clear.
                with suppress(UnsupportedError):
                    self._sandbox.execute_code(_CLEAR, timeout=self._seconds)
            run = self._sandbox.execute_code(code, language=language, timeout=self._seconds)
        finally:
            self._in_kernels = False
        return ran(run, images=self._options.images)

    def _script(self, code: str, language: str, runtime: str) -> Result | Pending:
        """Runs a program in a process of its own, so that nothing is kept of it."""
        folder, suffix, command = _SCRIPTS[language, runtime]
        file = f"{folder}/{uuid4().hex}.{suffix}"
        self._sandbox.write_files([FileWrite(path=file, chunks=[code.encode()])])
        job = Job(self._sandbox)
        job.start(command.format(file=quote(file)), apart=True)

        def done(execution: Execution) -> Result:
            self._sandbox.remove_files([file])
            return ran(execution)

        return Pending(job, done, self._seconds).settled()
