"""One `deno lsp` process: sends it requests and takes its answers; used by the type check."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import subprocess
import threading
import time
from typing import Any, BinaryIO

import processes

__all__ = ["LanguageServer", "ServerGoneError"]

MAX_MESSAGE_BYTES = 8_000_000
MAX_WAITING = 1000
SETTINGS = {"enable": True, "lint": False}


class ServerGoneError(Exception):
    """The server has ended, or does not answer."""


class LanguageServer:
    """A language server for notebooks, which the sandbox's code may end at any time.

    Args:
        deno_path: The `deno` program.
        env: Its environment.
        directory: Where it runs.
    """

    def __init__(self, deno_path: str, *, env: dict[str, str], directory: str) -> None:
        read, stdin = os.pipe2(os.O_CLOEXEC)
        stdout, write = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = processes.start(
                [deno_path, "lsp"],
                env=env,
                cwd=directory,
                stdin=read,
                stdout=write,
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.close(read)
            os.close(write)
        self._stdin: BinaryIO = os.fdopen(stdin, "wb")
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue(MAX_WAITING)
        self._numbers = itertools.count(1)
        stream = os.fdopen(stdout, "rb")
        threading.Thread(target=self._read_on, args=(stream,), daemon=True).start()

    def initialize(self, timeout: float) -> None:
        """Says hello.

        Raises:
            ServerGoneError: It does not answer.
        """
        abilities = {
            "textDocument": {"diagnostic": {}},
            "notebookDocument": {"synchronization": {}},
            "workspace": {"configuration": True},
        }
        hello = {"processId": None, "rootUri": None, "capabilities": abilities}
        self.request("initialize", {**hello, "initializationOptions": SETTINGS}, timeout)
        self.notify("initialized", {})

    @property
    def resident_bytes(self) -> int:
        """How much memory it uses; 0 when it is gone."""
        try:
            with open(f"/proc/{self._process.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def request(self, method: str, params: dict[str, Any], timeout: float) -> Any:
        """Asks and waits for the answer.

        Args:
            method: The protocol's name of what is asked.
            params: As the protocol has them.
            timeout: In seconds.

        Raises:
            ServerGoneError: No answer came in time.
        """
        number, deadline = next(self._numbers), time.monotonic() + timeout
        self._send({"id": number, "method": method, "params": params})
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self._answers.get(timeout=left)
            except queue.Empty:
                break
            if message is None:
                break
            if "method" in message:
                self._oblige(message)
            elif message.get("id") == number:
                return message.get("result")
        raise ServerGoneError

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Tells something.

        Raises:
            ServerGoneError: It is no longer there.
        """
        self._send({"method": method, "params": params})

    def kill(self) -> None:
        """Ends the process; from any thread."""
        processes.end(self._process)
        with contextlib.suppress(OSError, ValueError):
            self._stdin.close()

    def _oblige(self, message: dict[str, Any]) -> None:
        """Answers what the server asks; what it merely tells is passed over."""
        if "id" not in message:
            return
        result: Any = None
        if message["method"] == "workspace/configuration":
            result = [SETTINGS for _ in message["params"]["items"]]
        self._send({"id": message["id"], "result": result})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        try:
            self._stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self._stdin.flush()
        except (OSError, ValueError) as error:
            raise ServerGoneError from error

    def _read_on(self, stream: BinaryIO) -> None:
        with stream, contextlib.suppress(OSError, ValueError):
            while (size := _content_length(stream)) <= MAX_MESSAGE_BYTES:
                message = json.loads(stream.read(size))
                if not isinstance(message, dict):
                    break
                # What it tells without being asked is of no use, and may be much.
                if "id" in message:
                    self._answers.put_nowait(message)
        with contextlib.suppress(queue.Full):
            self._answers.put_nowait(None)


def _content_length(stream: BinaryIO) -> int:
    """Reads the header of a message.

    Raises:
        ValueError: There is none, for example at the end.
    """
    size = -1
    while (line := stream.readline(1000)) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    if size < 0:
        raise ValueError
    return size
