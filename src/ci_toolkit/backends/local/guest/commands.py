"""Runs shell commands, each in a fresh shell; used by the guest's worker."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import processes
from kernels import Pipes, Ran
from output import reason_of

if TYPE_CHECKING:
    from output import Output

_LONGEST_ARGUMENT = 100_000
_QUIET_SECONDS = 0.1
_DRAIN_SECONDS = 1.0
# Milliseconds; poll takes no more.
_LONGEST_WAIT = 2**31 - 1


class Commands:
    """Shell commands.

    Args:
        env: The environment that they see.
        working_directory: Where they start.
    """

    def __init__(self, *, env: dict[str, str], working_directory: str) -> None:
        self._shell = shutil.which("bash", path=env.get("PATH")) or "/bin/sh"
        self._env = env
        self._working_directory = working_directory
        self._interrupted = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._number = 0
        self._background: list[Pipes] = []

    def run(self, command: str, *, timeout: float, output: Output) -> Ran:
        """Runs one command; when time is up, it is ended with all that it started."""
        self._number += 1
        mark = str(self._number)
        pipes = Pipes()
        pipes.attach(output)
        try:
            with _script(command) as (arguments, pass_fds):
                process = processes.start(
                    [self._shell, *arguments],
                    env={**self._env, "CI_COMMAND": mark},
                    cwd=self._working_directory,
                    stdout=pipes.stdout_fd,
                    stderr=pipes.stderr_fd,
                    pass_fds=pass_fds,
                )
        except OSError as error:
            pipes.started()
            pipes.close()
            output.write("stderr", self._not_started(error).encode(errors="replace"))
            return Ran(exit_code=126)
        pipes.started()
        ended = self._wait(process.pid, timeout)
        if ended == "completed":
            code = processes.forget(process)
            pipes.settle(_QUIET_SECONDS, _DRAIN_SECONDS)
        else:
            code = processes.end(process, mark=f"CI_COMMAND={mark}")
            pipes.drain(_DRAIN_SECONDS)
        pipes.detach()
        self._let_go(pipes)
        return Ran(exit_code=code, ended=ended)

    def rearm(self) -> None:
        """Forgets interrupts that came too late for the command before."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._interrupted)

    def interrupt(self) -> None:
        """Ends the command that is going on; from another thread."""
        os.eventfd_write(self._interrupted, 1)

    def _wait(self, pid: int, timeout: float) -> str:
        pidfd = os.pidfd_open(pid)
        try:
            # Unlike select, it takes descriptors of any number.
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.register(self._interrupted, select.POLLIN)
            ready = [number for number, _ in poll.poll(min(timeout * 1000, _LONGEST_WAIT))]
        finally:
            os.close(pidfd)
        if pidfd in ready:
            return "completed"
        return "interrupted" if ready else "timed_out"

    def _not_started(self, error: OSError) -> str:
        """Why there is no shell, and what may help where it is for want of its directory."""
        place = self._working_directory
        text = f"The command could not be started: {reason_of(error)}.\n"
        if os.access(place, os.X_OK):
            return text
        exists = os.path.isdir(place)
        remedy = f"os.chmod({place!r}, 0o755)" if exists else f"os.makedirs({place!r})"
        return (
            f"{text}Commands start in {place}, which cannot be entered. Python code can mend that"
            f" with {remedy}.\n"
        )

    def _let_go(self, pipes: Pipes) -> None:
        """Goes on reading for processes in the background, which a closed pipe would end."""
        self._background.append(pipes)
        for old in [p for p in self._background if p.ended]:
            old.close()
            self._background.remove(old)


@contextlib.contextmanager
def _script(command: str) -> Iterator[tuple[list[str], list[int]]]:
    """Arguments for the shell; a command too long for one comes through a file in memory."""
    if len(command.encode()) < _LONGEST_ARGUMENT:
        yield ["-c", command], []
        return
    with open(os.memfd_create("command"), "w+b") as file:
        file.write(command.encode())
        file.seek(0)
        yield [f"/dev/fd/{file.fileno()}"], [file.fileno()]
