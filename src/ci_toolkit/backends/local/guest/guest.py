"""Serves requests: hands each to the kernel, the shell or the files, and sends what comes back."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import watch
from commands import Commands
from files import Files, Refused
from kernels import Ran
from output import Output, Printed, Spill, reason_of

if TYPE_CHECKING:
    from kernels import Kernel
    from python import PythonKernel
    from wire import Wire

    Runner = Kernel | Commands


class Guest:
    """Everything that a sandbox can do.

    Args:
        wire: The way to the host.
        settings: What the host has decided.
        python: The Python kernel, already starting.
        env: The environment of kernels and commands.
    """

    def __init__(
        self, wire: Wire, settings: dict[str, Any], python: PythonKernel, env: dict[str, str]
    ) -> None:
        self._wire = wire
        self._settings = settings
        self._env = env
        self._directory = settings["working_directory"]
        self._python = python
        self._scripts: Kernel | None = None
        self._commands = Commands(env=env, working_directory=self._directory)
        self._files = Files(self._directory)
        self._requests: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()
        self._lock = threading.Lock()
        self._running: tuple[int, Runner, Output] | None = None
        self._to_interrupt = 0
        self._verbs: dict[str, Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]] = {
            "code": self._code,
            "command": self._command,
            "open": lambda request, _: self._files.open(request["path"]),
            "read": lambda _request, _: self._files.read(),
            "write": self._write,
            "append": lambda request, data: (self._files.append(data, last=request["last"]), b""),
            "abort": self._abort,
            "list": self._list,
            "remove": lambda request, _: (self._files.remove(request["path"]), b""),
        }

    def serve(self) -> None:
        """Reads requests until the host hangs up."""
        watch.MemoryWatch(self._settings["memory_bytes"], self._tell).start()
        threading.Thread(target=self._work, daemon=True).start()
        while True:
            try:
                request, payload = self._wire.receive()
            except EOFError:
                return
            if request["verb"] == "interrupt":
                self._interrupt(request["id"])
            else:
                self._requests.put((request, payload))

    def _work(self) -> None:
        if self._settings["warm"]:
            with contextlib.suppress(Exception):
                # The first run meets the same obstacle, and tells of it.
                self._python.warm_up()
        while True:
            request, payload = self._requests.get()
            answer, data = self._answer(request, payload)
            self._wire.send({**answer, "id": request["id"], "event": "done"}, data)

    def _answer(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            return self._verbs[request["verb"]](request, payload)
        except Refused as refused:
            return {"refused": refused.kind, "reason": refused.reason}, b""
        except Exception as error:  # noqa: BLE001 - the host has to get an answer
            traceback.print_exc()
            if request["verb"] in {"code", "command"}:
                # The host knows no refusal of a run: it would give up the whole sandbox.
                return _answer_of(_failed(error), time.time(), 0.0, Printed(b"", _words(error)))
            return {"refused": "failed", "reason": type(error).__name__}, b""

    def _code(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        language = request["language"]
        kernel = self._python if language == "python" else self._script_kernel()
        code = payload.decode()

        def run(output: Output) -> Ran:
            return kernel.run(code, language=language, timeout=request["timeout"], output=output)

        answer, data = self._run(request, kernel, run)
        directory = _directory_of(kernel.pid) if answer["state_kept"] else ""
        return {**answer, "directory": directory}, data

    def _command(self, request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        command = payload.decode()

        def run(output: Output) -> Ran:
            return self._commands.run(command, timeout=request["timeout"], output=output)

        return self._run(request, self._commands, run)

    def _run(
        self, request: dict[str, Any], runner: Runner, run: Callable[[Output], Ran]
    ) -> tuple[dict[str, Any], bytes]:
        number = request["id"]
        output = self._output(request)
        with self._lock:
            runner.rearm()
            self._running = number, runner, output
            if self._to_interrupt == number:
                runner.interrupt()
        started, begun = time.time(), time.monotonic()
        self._wire.send({"id": number, "event": "started"})
        try:
            ran = run(output)
        except Exception as error:  # noqa: BLE001 - a failed run, and not the end of everything
            traceback.print_exc()
            output.write("stderr", _words(error))
            ran = _failed(error)
            ran.state_kept = isinstance(runner, Commands) or _lives(runner.pid)
        finally:
            with self._lock:
                self._running = None
            printed = output.finish()
        for media_type, name, image in ran.images:
            header = {"id": number, "event": "image", "media_type": media_type, "name": name}
            self._wire.send(header, image)
        return _answer_of(ran, started, time.monotonic() - begun, printed)

    def _output(self, request: dict[str, Any]) -> Output:
        number = request["id"]

        def live(stream: str, data: bytes) -> None:
            self._wire.send({"id": number, "event": "output", "stream": stream}, data)

        return Output(
            keep=self._settings["keep_bytes"],
            spill=Spill(self._directory, self._settings["spill_bytes"]),
            live=live if request["live"] else None,
        )

    def _interrupt(self, number: int) -> None:
        with self._lock:
            # It may come before its run has begun.
            self._to_interrupt = number
            if self._running and self._running[0] == number:
                self._running[1].interrupt()

    def _tell(self, text: str) -> None:
        """Adds a line to what the run that is going on has printed."""
        with self._lock:
            if self._running:
                self._running[2].write("stderr", text.encode())

    def _script_kernel(self) -> Kernel:
        if self._scripts is None:
            # Imported at first use: most conversations have none of it.
            from javascript import DenoKernel  # noqa: PLC0415

            self._scripts = DenoKernel(
                self._settings["deno"],
                env=self._env,
                state_dir=self._settings["state_dir"],
                working_directory=self._directory,
            )
        return self._scripts

    def _write(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        return self._files.write(request["path"], data, last=request["last"]), b""

    def _abort(self, _request: dict[str, Any], _data: bytes) -> tuple[dict[str, Any], bytes]:
        self._files.abort()
        return {}, b""

    def _list(self, request: dict[str, Any], _data: bytes) -> tuple[dict[str, Any], bytes]:
        listing = self._files.list(
            request["path"], recursive=request["recursive"], checksums=request["checksums"]
        )
        entries = listing.pop("entries")
        return listing, json.dumps(entries).encode()


def _answer_of(
    ran: Ran, started: float, duration: float, printed: Printed
) -> tuple[dict[str, Any], bytes]:
    answer = {
        "exit_code": ran.exit_code,
        "ended": ran.ended,
        "state_kept": ran.state_kept,
        "restarted": ran.restarted,
        "started": started,
        "duration": duration,
        "stdout": len(printed.stdout),
        "output_file": printed.file,
        "output_bytes": printed.total,
    }
    return answer, printed.stdout + printed.stderr


def _failed(error: Exception) -> Ran:
    """A run that could not be done; 126 is what shells answer for what cannot be started."""
    return Ran(exit_code=126 if isinstance(error, OSError) else 1)


def _words(error: Exception) -> bytes:
    return f"The run could not be done: {reason_of(error)}.\n".encode(errors="replace")


def _lives(pid: int) -> bool:
    """Whether a process is there, and not only its exit code."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] != b"Z"
    return False


def _directory_of(pid: int) -> str:
    """Where a process is; empty when it is gone or its directory is."""
    try:
        place = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
    return "" if place.endswith(" (deleted)") else place
