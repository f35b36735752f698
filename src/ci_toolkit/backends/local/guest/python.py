"""Python: one ipykernel process, asked over IPC sockets and watched while it works."""

from __future__ import annotations

import base64
import contextlib
import os
import select
import shutil
import signal
import time
import traceback
from typing import TYPE_CHECKING, Any

import overlay
from kernel_process import KernelProcess, milliseconds, poller_of
from kernels import Kernel, Ran
from output import reason_of

if TYPE_CHECKING:
    from output import Output

_AGAIN_AFTER = 1.0
_KILL_AFTER = 3.0
_DRAIN_SECONDS = 0.5
_IMAGE_TYPES = {"image/png": "png", "image/jpeg": "jpg"}
_IMAGES = 16
_STARTS = 3


class PythonKernel(Kernel):
    """IPython in a process of its own.

    Args:
        python: The interpreter.
        env: The environment of the process.
        state_dir: Where sockets and connection files go.
        working_directory: Where code starts.
    """

    def __init__(
        self, python: str, *, env: dict[str, str], state_dir: str, working_directory: str
    ) -> None:
        self._python = python
        self._env = env
        self._state_dir = state_dir
        self._working_directory = working_directory
        self._interrupted = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._process: KernelProcess | None = None
        self._starts = self._failures = 0
        self._lost = False
        # What lies there by now is what the process cannot start without.
        self._environment = os.path.dirname(os.path.dirname(python))
        self._needed = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(self._environment)
            for name in names
            if not name.startswith("pip")
        ]

    @property
    def pid(self) -> int:
        """The process that runs the code; 0 when there is none."""
        process = self._process
        return process.pid if process else 0

    def prepare(self) -> KernelProcess:
        """Starts the process, where there is none, without waiting for it."""
        if self._process is None:
            self._starts += 1
            if self._starts > 1:
                self._remake()
            # Nobody can have put anything in the way of a name that nobody can guess.
            name = f"python-{self._starts}-{os.urandom(4).hex()}"
            base = os.path.join(self._state_dir, name)
            self._process = KernelProcess(self._python, base, self._env, self._working_directory)
        return self._process

    def _remake(self) -> None:
        """Puts back what a new process needs, where the user's programs have removed it."""
        for folder in (self._state_dir, self._working_directory):
            os.makedirs(folder, exist_ok=True)
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                os.chmod(folder, 0o700)
        # What was installed into it can keep Python from starting, too.
        if self._failures > 1 or not all(map(os.path.exists, self._needed)):
            # Whatever lies there can be moved, even what cannot be removed.
            aside = f"{self._environment}-{os.urandom(4).hex()}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._environment, aside)
            shutil.rmtree(aside, ignore_errors=True)
            overlay.make(self._state_dir)
            self._failures = 0

    def warm_up(self) -> None:
        """Waits until the process is ready for a first run."""
        if self._process is not None:
            self._process.ready()

    def run(self, code: str, *, language: str, timeout: float, output: Output) -> Ran:  # noqa: ARG002
        """Runs one cell."""
        try:
            process = self._begin()
        except OSError as error:
            text = f"Python could not be started: {reason_of(error)}.\n"
            output.write("stderr", text.encode(errors="replace"))
            return Ran(exit_code=1, ended="died", state_kept=False)
        process.pipes.attach(output)
        restarted, self._lost = self._lost, False
        try:
            ran = self._run(process, code, timeout, output)
        except Exception as error:  # noqa: BLE001 - what the process does now, nobody knows
            traceback.print_exc()
            text = f"Python had to be ended: {reason_of(error)}.\n"
            output.write("stderr", text.encode(errors="replace"))
            ran = Ran(exit_code=1, ended="died", state_kept=False)
        if not ran.state_kept:
            process.kill()
        process.pipes.drain(_DRAIN_SECONDS)
        process.pipes.detach()
        if not ran.state_kept:
            self._give_up()
            with contextlib.suppress(OSError):
                # The next run tries again, and tells of it.
                self.prepare()
        ran.restarted = restarted
        return ran

    def _begin(self) -> KernelProcess:
        """The process; one that ended before it was ready has run nothing, and is made anew.

        It was started ahead of its first run, and what it needs may have been broken meanwhile.
        """
        for _ in range(_STARTS):
            if self._process is not None and self._process.ended:
                self._give_up()
            process = self.prepare()
            if process.ready() or not process.ended:
                break
            self._failures += 1
        return process

    def _run(self, process: KernelProcess, code: str, timeout: float, output: Output) -> Ran:
        if process.ready():
            self._failures = 0
            return _Cell(process, code, timeout, self._interrupted).run()
        output.write("stderr", b"The Python process did not start.\n")
        return Ran(exit_code=1, ended="died", state_kept=False)

    def rearm(self) -> None:
        """Forgets interrupts that came too late for the run before."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._interrupted)

    def interrupt(self) -> None:
        """Makes the run that is going on end as `interrupted`; from another thread."""
        os.eventfd_write(self._interrupted, 1)

    def close(self) -> None:
        """Ends the process and everything that it started."""
        if self._process:
            self._process.close()
            self._process = None

    def _give_up(self) -> None:
        self.close()
        self._lost = True


class _Cell:
    """One run of code, from the request until it has ended in one way or another."""

    def __init__(self, process: KernelProcess, code: str, timeout: float, interrupted: int) -> None:
        self._process = process
        self._connection = process.connection
        self._interrupted = interrupted
        self._ran = Ran()
        self._idle = self._replied = False
        self._steps: list[float] = []
        self._deadline = time.monotonic() + timeout
        while self._connection.receive("shell") or self._connection.receive("iopub"):
            pass  # What is left of the start or of an earlier run.
        request = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        self._id = self._connection.send("shell", "execute_request", request)

    def run(self) -> Ran:
        """Waits for the end."""
        poller = poller_of(self._process)
        poller.register(self._interrupted, select.POLLIN)
        while not (self._idle and self._replied):
            ready = dict(poller.poll(milliseconds(self._next_step())))
            self._receive()
            if self._idle and self._replied:
                break
            if self._process.pidfd in ready:
                return self._died()
            if self._interrupted in ready:
                os.eventfd_read(self._interrupted)
                self._begin_to_stop("interrupted")
            if time.monotonic() >= self._next_step() and not self._stop_harder():
                return self._killed()
        return self._ran

    def _next_step(self) -> float:
        return self._steps[0] if self._steps else self._deadline

    def _begin_to_stop(self, reason: str) -> None:
        if self._ran.ended == "completed":
            self._ran.ended = reason
            now = time.monotonic()
            self._steps = [now + _AGAIN_AFTER, now + _KILL_AFTER]
            self._process.stop()

    def _stop_harder(self) -> bool:
        """The next rung of the ladder; False when only the end of the process is left."""
        if not self._steps:
            self._begin_to_stop("timed_out")
            return True
        self._steps.pop(0)
        self._process.stop()
        return bool(self._steps)

    def _receive(self) -> None:
        while message := self._connection.receive("iopub"):
            # What tasks of earlier runs still show belongs to their runs.
            if message.parent != self._id:
                continue
            if message.kind == "display_data":
                self._keep_images(message.content)
            elif message.kind == "status":
                self._idle = message.content.get("execution_state") == "idle"
        while message := self._connection.receive("shell"):
            if message.parent == self._id and message.kind == "execute_reply":
                self._replied = True
                code = message.content.get("exit_code", 1)
                self._ran.exit_code = code if isinstance(code, int) else 1

    def _keep_images(self, content: dict[str, Any]) -> None:
        for media_type, ending in _IMAGE_TYPES.items():
            text = content.get("data", {}).get(media_type)
            number = len(self._ran.images) + 1
            if isinstance(text, str) and number <= _IMAGES:
                with contextlib.suppress(ValueError):
                    image = base64.b64decode(text)
                    self._ran.images.append((media_type, f"figure-{number}.{ending}", image))

    def _died(self) -> Ran:
        if self._ran.ended == "completed":
            self._ran.ended = "died"
        self._ran.exit_code = self._process_code()
        self._ran.state_kept = False
        return self._ran

    def _process_code(self) -> int:
        # The exit status stays to be collected by whoever closes the process.
        status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if status is None or status.si_code == os.CLD_EXITED:
            return status.si_status if status else 1
        return -status.si_status

    def _killed(self) -> Ran:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._ran.exit_code = -signal.SIGKILL
        self._ran.state_kept = False
        return self._ran
