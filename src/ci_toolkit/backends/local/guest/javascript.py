"""Runs JavaScript and TypeScript in one long-lived Deno kernel inside the sandbox.

Sends each cell through `cells.rewrite` to `deno jupyter` and climbs the ladder when its time is up;
beside a run of TypeScript `typecheck` looks at its types. Printing, stopping and stack traces are
made inside Deno by `prelude.js`; `packages.js` finds packages.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import time
from collections import deque
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import processes
from deno_process import Answer, DenoProcess, start
from kernels import Kernel, Pipes, Ran
from output import Output, Spill
from quiet import QuietOutput

if TYPE_CHECKING:
    from cells import Names
    from typecheck import TypeCheck

__all__ = ["DenoKernel"]

PRELUDE = [Path(__file__).with_name(name) for name in ("prelude.js", "packages.js")]
START_SECONDS = 30.0
START_TRIES = 3
REPORT_SECONDS = 2.0
DRAIN_SECONDS = 2.0
CELLS_KEPT = 500

# The ladder that ends a run, in seconds after its time is up: the prelude lets go of a pending
# await at once; code that never awaits is interrupted; a program that a blocking call waits for is
# killed; what is left is replaced, and its variables are lost.
INTERRUPT_AFTER, KILL_CHILDREN_AFTER, REPLACE_AFTER = 0.5, 1.0, 2.0

NO_PARSER = (
    b"JavaScript and TypeScript need two packages that are not in the sandbox's environment.\n"
    b"Install them there with: pip install tree-sitter tree-sitter-typescript\n"
)


class DenoKernel(Kernel):
    """Runs JavaScript and TypeScript, with variables that stay from one run to the next.

    Args:
        deno_path: The `deno` program.
        env: The kernel's environment, `DENO_DIR` included.
        state_dir: A directory of the kernel's own.
        working_directory: Where code starts and where `require` looks.
        heap_megabytes: The largest JavaScript heap.
    """

    def __init__(
        self,
        deno_path: str,
        *,
        env: dict[str, str],
        state_dir: str,
        working_directory: str,
        heap_megabytes: int = 2048,
    ) -> None:
        self._deno_path = deno_path
        mark = secrets.token_hex(8)
        self._mark = f"CI_JAVASCRIPT_KERNEL={mark}"
        quiet = {"NO_COLOR": "1", "DENO_NO_PROMPT": "1", "DENO_NO_UPDATE_CHECK": "1"}
        self._own_env = {**env, **quiet}
        self._env = {
            **self._own_env,
            "DENO_V8_FLAGS": f"--max-old-space-size={heap_megabytes},--expose-gc-as=__ci_gc",
            "CI_JAVASCRIPT_KERNEL": mark,
        }
        self._directory = working_directory
        self._state = Path(state_dir)
        self._stop = self._state / "stop"
        self._apart = self._state / "packages"
        self._running: DenoProcess | None = None
        self._lost = False
        self._names: Names
        self._check: TypeCheck | None = None
        self._cells = 0
        self._busy = False
        self._interrupted = Event()

    @property
    def pid(self) -> int:
        """The process that runs the code; 0 when there is none."""
        return self._running.process.pid if self._running else 0

    def run(self, code: str, *, language: str, timeout: float, output: Output) -> Ran:
        """Runs one cell, and beside it checks the types of TypeScript; to Deno both are one."""
        try:
            from cells import Names  # noqa: PLC0415
            from typecheck import TypeCheck  # noqa: PLC0415
        except ImportError:
            output.write("stderr", NO_PARSER)
            return Ran(exit_code=1)
        check = self._check
        if check is None:
            check = self._check = TypeCheck(
                self._deno_path, env=self._own_env, directory=self._directory
            )
        deadline = time.monotonic() + timeout
        self._interrupted.clear()
        self._busy = True
        try:
            if self._running and not self._running.alive:
                self._end()
            restarted, self._lost = self._lost, False
            if self._running is None:
                self._names = Names()
                check.forget()
            # First of all, for the language server takes as long to start as the kernel.
            check.begin(code, language)
            try:
                running = self._running or self._start()
            except RuntimeError as error:
                output.write("stderr", f"{error}\n".encode())
                return Ran(exit_code=1, ended="died", state_kept=False, restarted=restarted)
            ran = self._run_cell(running, code, check, deadline, output)
            ran.restarted = restarted
            return ran
        finally:
            self._busy = False

    def interrupt(self) -> None:
        """Makes the run that is going on end as `interrupted`; from another thread."""
        if self._busy:
            self._interrupted.set()

    def close(self) -> None:
        """Ends the process and everything that it started."""
        self._end()
        if self._check:
            self._check.close()

    def _run_cell(
        self, running: DenoProcess, code: str, check: TypeCheck, deadline: float, output: Output
    ) -> Ran:
        from cells import rewrite  # noqa: PLC0415

        self._cells += 1
        cell = f"cell-{self._cells}"
        text = rewrite(code, cell, self._names)
        (self._state / cell).write_text(text, encoding="utf-8")
        (self._state / f"cell-{self._cells - CELLS_KEPT}").unlink(missing_ok=True)
        quiet = QuietOutput(output)
        running.pipes.attach(quiet)
        begun = True
        try:
            # The first line names the cell in stack traces.
            answer = self._evaluate(running, f"//# sourceURL={cell}\n{text}", deadline)
            ran = Ran(ended=answer.ended, images=answer.images)
            if answer.ended != "completed":
                ran.exit_code = 1
            elif answer.error is not None:
                ran.exit_code, begun = self._explain(running, answer.error, cell)
        finally:
            running.pipes.drain(DRAIN_SECONDS)
            running.pipes.detach()
            quiet.flush()
        if begun:
            self._names.keep()
        if not running.alive:
            ran.exit_code, ran.state_kept = self._end(), False
        elif answer.value and ran.exit_code == 0:
            output.write("stdout", f"{answer.value}\n".encode(errors="replace"))
        # A run that was stopped has waited long enough.
        wait = deadline - time.monotonic() if ran.ended == "completed" else 0.0
        for line in check.finish(begun=begun, wait=wait):
            quiet.add_line(line)
        return ran

    def _explain(self, running: DenoProcess, error: dict[str, Any], cell: str) -> tuple[int, bool]:
        """Makes the prelude print what went wrong; gives the exit code and whether it had begun."""
        if error["ename"] == "ci:exit" and str(error["evalue"]).isdecimal():
            return int(error["evalue"]), True
        stack = "\n".join(error["traceback"]) if error["traceback"] else None
        arguments = cell, error["evalue"], stack
        code = f"await __ci_report({', '.join(map(json.dumps, arguments))})"
        self._evaluate(running, code, time.monotonic() + REPORT_SECONDS)
        # What could not be read names no line of the cell, for none has run.
        unread = error["ename"] == "SyntaxError" and f"{cell}:" not in str(stack)
        return 1, stack is not None and not unread

    def _evaluate(self, running: DenoProcess, code: str, deadline: float) -> Answer:
        """Sends code and waits for its end, which the ladder brings about after the deadline."""
        answer = Answer()
        request = running.execute(code)
        ladder = deque(
            [
                (0.0, self._stop.touch),
                (INTERRUPT_AFTER, running.interrupt),
                (KILL_CHILDREN_AFTER, lambda: _kill_children(running.process.pid)),
                (REPLACE_AFTER, running.process.kill),
            ]
        )
        while not answer.complete and running.alive:
            running.receive(request, answer)
            now = time.monotonic()
            if answer.ended == "completed" and self._interrupted.is_set():
                answer.ended, deadline = "interrupted", now
            elif answer.ended == "completed" and now >= deadline:
                answer.ended, deadline = "timed_out", now
            while answer.ended != "completed" and ladder and now >= deadline + ladder[0][0]:
                ladder.popleft()[1]()
        self._stop.unlink(missing_ok=True)
        if not answer.complete and answer.ended == "completed":
            answer.ended = "died"
        return answer

    def _start(self) -> DenoProcess:
        """Starts a process and prepares it.

        Raises:
            RuntimeError: It did not come to life.
        """
        for _ in range(START_TRIES - 1):
            try:
                return self._start_once()
            except RuntimeError as error:
                # On a shared network somebody else can be the first to take a port.
                if "AddrInUse" not in str(error):
                    raise
                self._lost = False
        return self._start_once()

    def _start_once(self) -> DenoProcess:
        self._apart.mkdir(parents=True, exist_ok=True)
        (self._apart / "package.json").write_text("{}", encoding="utf-8")
        pipes = Pipes()
        quiet = Output(keep=8192, spill=Spill(str(self._state), 0), live=None)
        pipes.attach(quiet)
        running = self._running = start(
            self._deno_path,
            env=self._env,
            state=self._state,
            directory=str(self._apart),
            pipes=pipes,
        )
        deadline = time.monotonic() + START_SECONDS
        while running.alive and time.monotonic() < deadline and not running.hello():
            pass
        answer = Answer(ended="died")
        if running.alive:
            answer = self._evaluate(running, self._prelude(), deadline)
        pipes.drain(DRAIN_SECONDS)
        pipes.detach()
        if answer.ended != "completed" or answer.error is not None:
            self._end()
            printed = quiet.finish().stderr.decode(errors="replace").strip()
            raise RuntimeError(f"The JavaScript kernel did not start. {answer.error or printed}")
        return running

    def _prelude(self) -> str:
        settings = {
            "cells": str(self._state),
            "stop": str(self._stop),
            "directory": self._directory,
            "apart": str(self._apart),
        }
        functions = [path.read_text(encoding="utf-8") for path in PRELUDE]
        calls = [f"void ({function})({json.dumps(settings)});" for function in functions]
        return "\n".join(["//# sourceURL=prelude", *calls])

    def _end(self) -> int:
        """Ends the process, if there is one, and gives its exit code; the next run starts anew."""
        if self._running is None:
            return 0
        running, self._running, self._lost = self._running, None, True
        code = processes.end(running.process, mark=self._mark)
        running.pipes.close()
        running.connection.close()
        return code


def _kill_children(pid: int) -> None:
    for child in processes.descendants(pid):
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
