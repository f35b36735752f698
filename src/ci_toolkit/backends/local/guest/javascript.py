"""Runs JavaScript and TypeScript in one long-lived Deno kernel inside the sandbox.

Sends each cell through `cells.rewrite` to `deno jupyter` and climbs the ladder when its time is up.
Printing, stopping and stack traces are made inside Deno by `prelude.js`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import processes
import zmq
from jupyter import Connection, Message
from kernels import Kernel, Pipes, Ran
from output import Output, Spill

__all__ = ["DenoKernel"]

PRELUDE = Path(__file__).with_name("prelude.js")
START_SECONDS = 30.0
REPORT_SECONDS = 2.0
DRAIN_SECONDS = 2.0
POLL_MILLISECONDS = 50
CELLS_KEPT = 500

# The ladder that ends a run, in seconds after its time is up: the prelude lets go of a pending
# await at once; code that never awaits is interrupted; a program that a blocking call waits for is
# killed; what is left is replaced, and its variables are lost.
INTERRUPT_AFTER, KILL_CHILDREN_AFTER, REPLACE_AFTER = 0.5, 1.0, 2.0

IMAGE_TYPES = {"image/png": "png", "image/jpeg": "jpg"}
MAX_IMAGES = 16
MAX_IMAGE_BYTES = 20 * 1024 * 1024

# What Deno says on stderr about its own affairs: that it was interrupted, and after running out of
# memory the addresses of its machine code.
NOISE = re.compile(rb"CDP response has null result\. .*\n?|    /\S+\(\+0x\w+\) \[0x\w+\]\n?")
NOISE_STARTS = (b"CDP response has null", b"    /")

NO_PARSER = (
    b"JavaScript and TypeScript need two packages that are not in the sandbox's environment.\n"
    b"Install them there with: pip install tree-sitter tree-sitter-typescript\n"
)


class QuietOutput(Output):
    """Passes on what the user's code prints, without the kernel's own noise."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._held = b""

    def write(self, stream: str, data: bytes) -> None:
        """Takes what was printed; holds back a line that may become noise."""
        if stream == "stderr":
            data, self._held = self._held + data, b""
            start = data.rfind(b"\n") + 1
            if len(data) - start < 4096 and data.startswith(NOISE_STARTS, start):
                data, self._held = data[:start], data[start:]
            data = NOISE.sub(b"", data)
        self._output.write(stream, data)

    def flush(self) -> None:
        """Passes on what was held back."""
        self._output.write("stderr", NOISE.sub(b"", self._held))

    def tick(self) -> float | None:
        """Sends pieces that are due."""
        return self._output.tick()


@dataclass
class Answer:
    """What the kernel has said about one request so far."""

    replied: bool = False
    idle: bool = False
    ended: str = "completed"
    error: dict[str, Any] | None = None
    value: str = ""
    images: list[tuple[str, str, bytes]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing more will come."""
        return self.replied and self.idle

    def take(self, message: Message) -> None:
        """Adds one message."""
        content = message.content
        if message.kind == "status":
            self.idle = self.idle or content.get("execution_state") == "idle"
        elif message.kind == "execute_reply":
            self.replied = True
            self.error = None if content.get("status") == "ok" else content
        elif message.kind in ("execute_result", "display_data"):
            data = content.get("data", {})
            if not self._take_image(data) and message.kind == "execute_result":
                self.value = str(data.get("text/plain", ""))

    def _take_image(self, data: dict[str, Any]) -> bool:
        media_type = next((each for each in IMAGE_TYPES if each in data), None)
        if media_type is None:
            return False
        encoded = str(data[media_type])
        room = MAX_IMAGE_BYTES - sum(len(picture) for _, _, picture in self.images)
        if len(self.images) < MAX_IMAGES and len(encoded) * 3 // 4 <= room:
            with contextlib.suppress(ValueError):
                name = f"image-{len(self.images) + 1}.{IMAGE_TYPES[media_type]}"
                self.images.append((media_type, name, base64.b64decode(encoded)))
        return True


@dataclass
class Running:
    """One Deno process with what belongs to it."""

    process: subprocess.Popen[bytes]
    pipes: Pipes
    connection: Connection

    def __post_init__(self) -> None:
        self._poller = zmq.Poller()
        for channel in ("shell", "iopub"):
            self._poller.register(self.connection.socket(channel), zmq.POLLIN)

    @property
    def alive(self) -> bool:
        """Whether it can still answer."""
        return self.process.poll() is None

    def hello(self) -> bool:
        """Asks for a sign of life; False when it has not come on both channels after a moment."""
        self.connection.send("shell", "kernel_info_request", {})
        silent = {"shell", "iopub"}
        until = time.monotonic() + POLL_MILLISECONDS / 1000
        while silent and time.monotonic() < until:
            self._poller.poll(POLL_MILLISECONDS)
            silent -= {channel for channel in silent if self.connection.receive(channel)}
        return not silent

    def execute(self, code: str) -> str:
        """Sends code to run and gives the id of the request."""
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        return self.connection.send("shell", "execute_request", content)

    def receive(self, request: str, answer: Answer) -> None:
        """Waits a moment for messages and adds those about the request to its answer."""
        self._poller.poll(POLL_MILLISECONDS)
        for channel in ("shell", "iopub"):
            while message := self.connection.receive(channel):
                if message.parent == request:
                    answer.take(message)

    def interrupt(self) -> None:
        """Stops JavaScript that is running; has no effect on a pending await."""
        self.connection.send("control", "interrupt_request", {})


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
        self._env = {
            **env,
            "NO_COLOR": "1",
            "DENO_NO_PROMPT": "1",
            "DENO_NO_UPDATE_CHECK": "1",
            "DENO_V8_FLAGS": f"--max-old-space-size={heap_megabytes},--expose-gc-as=__ci_gc",
            "CI_JAVASCRIPT_KERNEL": mark,
        }
        self._directory = working_directory
        self._state = Path(state_dir)
        self._stop = self._state / "stop"
        self._running: Running | None = None
        self._lost = False
        self._cells = 0
        self._busy = False
        self._interrupted = Event()

    @property
    def pid(self) -> int:
        """The process that runs the code; 0 when there is none."""
        return self._running.process.pid if self._running else 0

    def run(self, code: str, *, language: str, timeout: float, output: Output) -> Ran:  # noqa: ARG002
        """Runs one cell; to Deno both languages are one."""
        try:
            from cells import rewrite  # noqa: PLC0415
        except ImportError:
            output.write("stderr", NO_PARSER)
            return Ran(exit_code=1)
        deadline = time.monotonic() + timeout
        self._interrupted.clear()
        self._busy = True
        try:
            if self._running and not self._running.alive:
                self._end()
            restarted, self._lost = self._lost, False
            try:
                running = self._running or self._start()
            except RuntimeError as error:
                output.write("stderr", f"{error}\n".encode())
                return Ran(exit_code=1, ended="died", state_kept=False, restarted=restarted)
            ran = self._run_cell(running, lambda cell: rewrite(code, cell), deadline, output)
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

    def _run_cell(
        self, running: Running, rewrite: Callable[[str], str], deadline: float, output: Output
    ) -> Ran:
        self._cells += 1
        cell = f"cell-{self._cells}"
        text = f"__ci_begin();{rewrite(cell)}"
        (self._state / cell).write_text(text, encoding="utf-8")
        (self._state / f"cell-{self._cells - CELLS_KEPT}").unlink(missing_ok=True)
        quiet = QuietOutput(output)
        running.pipes.attach(quiet)
        try:
            # The first line names the cell in stack traces.
            answer = self._evaluate(running, f"//# sourceURL={cell}\n{text}", deadline)
            ran = Ran(ended=answer.ended, images=answer.images)
            if answer.ended != "completed":
                ran.exit_code = 1
            elif answer.error is not None:
                ran.exit_code = self._exit_code(running, answer.error, cell)
        finally:
            running.pipes.drain(DRAIN_SECONDS)
            running.pipes.detach()
            quiet.flush()
        if not running.alive:
            ran.exit_code, ran.state_kept = self._end(), False
        elif answer.value and ran.exit_code == 0:
            output.write("stdout", f"{answer.value}\n".encode(errors="replace"))
        return ran

    def _exit_code(self, running: Running, error: dict[str, Any], cell: str) -> int:
        """Gives the cell's exit code, after the prelude has printed what went wrong."""
        if error["ename"] == "ci:exit":
            return int(error["evalue"])
        code = f"__ci_explain({json.dumps(cell)})"
        if error["traceback"]:
            words, stack = json.dumps(error["evalue"]), json.dumps("\n".join(error["traceback"]))
            code = f"__ci_report({words}, {stack})"
        self._evaluate(running, code, time.monotonic() + REPORT_SECONDS)
        return 1

    def _evaluate(self, running: Running, code: str, deadline: float) -> Answer:
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

    def _start(self) -> Running:
        """Starts a process and prepares it.

        Raises:
            RuntimeError: It did not come to life.
        """
        self._state.mkdir(parents=True, exist_ok=True)
        settings, connection_file = _connection(), self._state / "connection.json"
        connection_file.write_text(json.dumps(settings), encoding="utf-8")
        pipes = Pipes()
        quiet = Output(keep=8192, spill=Spill(str(self._state), 0), live=None)
        pipes.attach(quiet)
        process = processes.start(
            [self._deno_path, "jupyter", "--kernel", "--conn", str(connection_file)],
            env=self._env,
            cwd=self._directory,
            stdout=pipes.stdout_fd,
            stderr=pipes.stderr_fd,
        )
        pipes.started()
        connection = Connection(settings, ("shell", "iopub", "control"))
        running = self._running = Running(process, pipes, connection)
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
        }
        source = PRELUDE.read_text(encoding="utf-8")
        return f"//# sourceURL=prelude\nvoid ({source})({json.dumps(settings)})"

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


def _connection() -> dict[str, Any]:
    """Makes the settings of a connection over TCP; Deno knows no other transport."""
    names = ("shell_port", "iopub_port", "control_port", "stdin_port", "hb_port")
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.socket()) for name in names}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        ports = {name: each.getsockname()[1] for name, each in sockets.items()}
    return {
        "transport": "tcp",
        "ip": "127.0.0.1",
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "deno",
        **ports,
    }
