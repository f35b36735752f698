"""One `deno jupyter` process and what it answers; used by the JavaScript kernel."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import processes
import zmq
from jupyter import Connection, Message
from kernels import Pipes

__all__ = ["Answer", "DenoProcess", "start"]

POLL_MILLISECONDS = 50

IMAGE_TYPES = {"image/png": "png", "image/jpeg": "jpg"}
MAX_IMAGES = 16
MAX_IMAGE_BYTES = 20 * 1024 * 1024


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
class DenoProcess:
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


def start(
    deno_path: str, *, env: dict[str, str], state: Path, directory: str, pipes: Pipes
) -> DenoProcess:
    """Starts a process, which may take a while until it says hello.

    Args:
        deno_path: The `deno` program.
        env: Its environment.
        state: Where the connection file is written.
        directory: Where it runs.
        pipes: What it prints into.
    """
    settings, connection_file = _connection(), state / "connection.json"
    connection_file.write_text(json.dumps(settings), encoding="utf-8")
    process = processes.start(
        [deno_path, "jupyter", "--kernel", "--conn", str(connection_file)],
        env=env,
        cwd=directory,
        stdout=pipes.stdout_fd,
        stderr=pipes.stderr_fd,
    )
    pipes.started()
    return DenoProcess(process, pipes, Connection(settings, ("shell", "iopub", "control")))


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
