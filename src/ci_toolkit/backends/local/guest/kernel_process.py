"""The process of the Python kernel with its pipes and sockets; used by `python`."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

import processes
from kernels import Pipes

if TYPE_CHECKING:
    import zmq
    from jupyter import Connection

__all__ = ["KernelProcess", "milliseconds", "poller_of"]

_START_SECONDS = 60.0
_ASK_AGAIN, _HEAR_AGAIN = 0.1, 0.01


class KernelProcess:
    """One ipykernel process with its pipes and sockets."""

    def __init__(self, python: str, base: str, env: dict[str, str], cwd: str) -> None:
        # By way of a descriptor that both sides know by one number, no path is too long for a
        # socket.
        self._folder = os.open(os.path.dirname(base), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sockets = f"/proc/self/fd/{self._folder}/{os.path.basename(base)}"
        self._settings = _settings(sockets)
        self._connection: Connection | None = None
        self._mark = f"CI_KERNEL={os.path.basename(base)}"
        name, _, value = self._mark.partition("=")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup.py")
        read, self._stop = os.pipe2(os.O_CLOEXEC)
        self.pipes = Pipes()
        try:
            # Anew, and nothing else: the user's programs may have put a pipe there.
            with open(base + ".json", "x", encoding="utf-8") as file:
                json.dump(self._settings, file)
            self._process = processes.start(
                [python, script, base + ".json", str(read)],
                env={**env, name: value},
                cwd=cwd,
                stdout=self.pipes.stdout_fd,
                stderr=self.pipes.stderr_fd,
                pass_fds=[read, self._folder],
            )
        except BaseException:
            self.pipes.started()
            self.pipes.close()
            for descriptor in (self._stop, self._folder):
                os.close(descriptor)
            raise
        finally:
            os.close(read)
        self.pipes.started()
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    @property
    def connection(self) -> Connection:
        """The sockets; opened at first use."""
        if self._connection is None:
            # Imported late: the process has been starting meanwhile.
            from jupyter import Connection  # noqa: PLC0415

            self._connection = Connection(self._settings)
        return self._connection

    def ready(self) -> bool:
        """Waits until the kernel answers on both channels; False when it does not."""
        if self._connection is not None:
            return not self.ended
        connection = self.connection
        deadline = time.monotonic() + _START_SECONDS
        answered = heard = False
        poller = poller_of(self)
        while not self.ended and time.monotonic() < deadline:
            # A subscription takes effect some time after it was made: ask until it is heard.
            connection.send("shell", "kernel_info_request", {})
            until = time.monotonic() + (_HEAR_AGAIN if answered else _ASK_AGAIN)
            while time.monotonic() < until and not ((answered and heard) or self.ended):
                poller.poll(milliseconds(until))
                heard = connection.receive("iopub") is not None or heard
                answered = connection.receive("shell") is not None or answered
            if answered and heard:
                return True
        return False

    def stop(self) -> None:
        """Asks the run to end, in all the ways that leave the process alive."""
        with contextlib.suppress(OSError):
            os.write(self._stop, b"s")
            os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kills the process and everything that it started."""
        processes.end(self._process, mark=self._mark)

    def close(self) -> None:
        """Kills the process and closes what leads to it."""
        self.kill()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.pipes.close()
        for descriptor in (self._stop, self.pidfd, self._folder):
            os.close(descriptor)


def milliseconds(until: float) -> int:
    """Time to wait, rounded up, so that it is over afterwards."""
    return max(0, math.ceil((until - time.monotonic()) * 1000))


def poller_of(process: KernelProcess) -> zmq.Poller:
    """Waits for a kernel's messages and for its end."""
    import zmq  # noqa: PLC0415 - late, as the process is started before

    poller = zmq.Poller()
    poller.register(process.connection.socket("shell"), zmq.POLLIN)
    poller.register(process.connection.socket("iopub"), zmq.POLLIN)
    poller.register(process.pidfd, zmq.POLLIN)
    return poller


def _settings(sockets: str) -> dict[str, Any]:
    """A connection file's content, for sockets whose paths begin so."""
    names = ("shell", "iopub", "stdin", "control", "hb")
    return {
        "transport": "ipc",
        "ip": sockets,
        "key": os.urandom(16).hex(),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "python",
        **{f"{name}_port": number for number, name in enumerate(names, 1)},
    }
