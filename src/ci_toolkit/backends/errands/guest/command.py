"""Runs one command or script with its two streams apart, its time limit and its exact bytes."""

# The standard library only, and old ways with paths: this text is sent with every call.
# ruff: noqa: PTH103, PTH118, PTH123

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from ci_toolkit.backends.errands.guest.ending import kill_marked

_LONGEST_ARGUMENT = 100_000
_QUIET_SECONDS = 0.1
_DRAIN_SECONDS = 1.0
_ENDING = {signal.SIGINT, signal.SIGTERM}
_open_pipes: list[int] = []


def main(header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Runs the command or script that is the payload.

    Args:
        header: `timeout` in seconds; `keep`, the bytes of each stream that are answered;
            `keep_all`, the bytes of a longer output that go to a file; `live`, the bytes of each
            stream that are passed on as they appear; `script`, what runs a script, before the
            name of its file, which ends in `suffix`: empty for a shell command; `sandbox`, a mark
            for what it starts.
        payload: Source text.
    """
    output = _Output(header["keep"], header["keep_all"], header.get("live", 0))
    started, clock = time.time(), time.monotonic()
    with _process(payload, header.get("script"), header.get("suffix", "")) as given:
        given["env"] = {
            **os.environ,
            "CI_COMMAND": sys.argv[1],
            "CI_SANDBOX": header.get("sandbox", ""),
        }
        ended, code = _run(given, header["timeout"], output)
    streams = {fd: output.ends(fd) for fd in (1, 2)}
    answered = {
        "ended": ended,
        "exit_code": code,
        "started": started,
        "duration": time.monotonic() - clock,
        "totals": [output.totals[1], output.totals[2]],
        "sizes": [[len(part) for part in streams[fd]] for fd in (1, 2)],
        "output_file": output.file,
    }
    return answered, b"".join(streams[1] + streams[2])


def after() -> None:
    """Goes on reading for processes in the background, which a closed pipe would end."""
    if not _open_pipes or os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    with selectors.DefaultSelector() as selector:
        for fd in _open_pipes:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                if not os.read(key.fd, 65536):
                    selector.unregister(key.fd)


@contextlib.contextmanager
def _process(source: bytes, script: "list[str] | None", suffix: str) -> Iterator[dict[str, Any]]:
    """What `Popen` is given to run a source text."""
    if script:
        with tempfile.TemporaryDirectory(prefix="ci-") as folder:
            file = os.path.join(folder, f"script{suffix}")
            with open(file, "wb") as stream:
                stream.write(source)
            yield {"args": [*script, file]}
        return
    shell = (shutil.which("bash") or "/bin/sh").encode()
    if len(source) <= _LONGEST_ARGUMENT:
        yield {"args": [shell, b"-c", source]}
        return
    fd = os.memfd_create("command")
    with open(fd, "wb", closefd=False) as stream:
        stream.write(source)
    os.lseek(fd, 0, os.SEEK_SET)
    yield {"args": [shell, b"/dev/fd/%d" % fd], "pass_fds": [fd]}


def _run(given: dict[str, Any], timeout: float, output: "_Output") -> tuple[str, int]:
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    for number in _ENDING:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake)
    pipes = {1: os.pipe(), 2: os.pipe()}
    process = _start(given, pipes[1][1], pipes[2][1])
    for _, end in pipes.values():
        os.close(end)
    exited = os.pidfd_open(process.pid)
    names = {pipes[1][0]: 1, pipes[2][0]: 2}
    ended = _pump(names, exited, woken, time.monotonic() + timeout, output)
    if ended != "completed":
        _kill_all(process)
    process.wait()
    _drain(names, output, _QUIET_SECONDS if ended == "completed" else _DRAIN_SECONDS)
    _open_pipes.extend(names if ended == "completed" else [])
    return ended, process.returncode


def _start(given: dict[str, Any], out: int, err: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        **given,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
    )


def _pump(
    names: dict[int, int], exited: int, woken: int, deadline: float, output: "_Output"
) -> str:
    """Reads until the shell has ended, time is up, or a signal came."""
    with selectors.DefaultSelector() as selector:
        for fd in (*names, exited, woken):
            selector.register(fd, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "timed_out"
            ready = {key.fd for key, _ in selector.select(left)}
            if woken in ready and _ENDING & set(os.read(woken, 64)):
                return "interrupted"
            for fd in ready & set(names):
                if not _take(fd, names, output):
                    selector.unregister(fd)
            if exited in ready:
                return "completed"


def _take(fd: int, names: dict[int, int], output: "_Output") -> bool:
    data = os.read(fd, 65536)
    if data:
        output.add(names[fd], data)
        return True
    del names[fd]
    os.close(fd)
    return False


def _drain(names: dict[int, int], output: "_Output", quiet: float) -> None:
    """Takes what is still in the pipes, without waiting for those who hold them open."""
    until = time.monotonic() + _DRAIN_SECONDS
    with selectors.DefaultSelector() as selector:
        for fd in names:
            selector.register(fd, selectors.EVENT_READ)
        while names and time.monotonic() < until:
            ready = selector.select(quiet)
            if not ready:
                return
            for key, _ in ready:
                if not _take(key.fd, names, output):
                    selector.unregister(key.fd)


def _kill_all(process: "subprocess.Popen[bytes]") -> None:
    """Ends the shell's group, and what left the group but has the mark in its environment."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    kill_marked(f"CI_COMMAND={sys.argv[1]}".encode())


class _Output:
    """The first and last bytes of each stream, and all of a long output in a file."""

    def __init__(self, keep: int, keep_all: int, live: int) -> None:
        self._live = {1: live, 2: live}
        self._half = keep // 2
        self._left = keep_all
        self._heads = {1: bytearray(), 2: bytearray()}
        self._tails = {1: bytearray(), 2: bytearray()}
        self._early: list[bytes] = []
        self._log: Any = None
        self.totals = {1: 0, 2: 0}
        self.file = ""

    def add(self, fd: int, data: bytes) -> None:
        self.totals[fd] += len(data)
        self._pass_on(fd, data)
        room = self._half - len(self._heads[fd])
        self._heads[fd] += data[: max(room, 0)]
        self._tails[fd] += data[max(room, 0) :]
        if len(self._tails[fd]) > 4 * self._half + 65536:
            del self._tails[fd][: -self._half]
        self._keep(data)

    def _pass_on(self, fd: int, data: bytes) -> None:
        data = data[: self._live[fd]]
        self._live[fd] -= len(data)
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(fd, data) :]

    def ends(self, fd: int) -> list[bytes]:
        """Head and tail; together everything where nothing is left out."""
        return [bytes(self._heads[fd]), bytes(self._tails[fd][-self._half :])]

    def _keep(self, data: bytes) -> None:
        if self._log is None:
            self._early.append(data)
            if max(self.totals.values()) <= 2 * self._half:
                return
            self._open()
            data = b"".join(self._early)
            self._early = []
        if self._log and self._left > 0:
            with contextlib.suppress(OSError):
                self._log.write(data[: self._left])
                self._log.flush()
            self._left -= len(data)

    def _open(self) -> None:
        self._log = False
        with contextlib.suppress(OSError):
            os.makedirs(".ci", exist_ok=True)
            self.file = f".ci/output-{sys.argv[1][:12]}.txt"
            self._log = open(self.file, "wb")  # noqa: SIM115 - closed when the program ends
