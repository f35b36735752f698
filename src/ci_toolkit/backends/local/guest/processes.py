"""Starting, finding and ending processes inside the sandbox; used by kernels and commands.

The guest is the parent of every orphan here (a child subreaper), so nothing that a kernel or a
command leaves behind escapes from this view.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence

_SUBREAPER = 36
_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)
_lock = threading.Lock()
_started: dict[int, subprocess.Popen[bytes]] = {}

_QUIET_LOOKS = 5


def become_guest() -> None:
    """Adopts orphans, and closes this process's descriptors and memory to other processes."""
    _libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(_DUMPABLE, 0, 0, 0, 0)


def start(
    arguments: Sequence[str],
    *,
    env: dict[str, str],
    cwd: str,
    stdout: int,
    stderr: int,
    stdin: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts a process in a session of its own."""
    with _lock:
        process = subprocess.Popen(  # noqa: S603 - this is what a sandbox is for
            arguments,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        _started[process.pid] = process
    return process


def end(process: subprocess.Popen[bytes], *, mark: str = "") -> int:
    """Kills a process with all its descendants; gives its exit code.

    Args:
        process: What `start` gave.
        mark: `NAME=value` of its environment, by which descendants are known that have cut
            themselves off from it.
    """
    quiet = 0
    for _ in range(100):
        living = [pid for pid in family(process.pid, mark=mark) if _kill(pid)]
        if process.returncode is None:
            _kill(process.pid)
        reap()
        # Who is just becoming another program bears no mark for a moment.
        quiet = 0 if living else quiet + 1
        if quiet == _QUIET_LOOKS:
            break
        time.sleep(0.001)
    return forget(process)


def forget(process: subprocess.Popen[bytes]) -> int:
    """Takes the exit code of a process that has ended or surely will."""
    code = process.wait()
    with _lock:
        _started.pop(process.pid, None)
    return code


def family(pid: int, *, mark: str = "") -> set[int]:
    """All descendants of a process, and those that carry its mark."""
    found = descendants(pid)
    if mark:
        found.update(p for p in descendants(os.getpid()) if _marked(p, mark.encode()))
    found.discard(pid)
    return found


def descendants(pid: int) -> set[int]:
    """Children, their children and so on, threads' children included."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def end_all() -> None:
    """Kills everything that this guest or anything in it has started."""
    for _ in range(100):
        if not [pid for pid in descendants(os.getpid()) if _kill(pid)]:
            return
        reap(everything=True)
        time.sleep(0.001)


def reap(*, everything: bool = False) -> None:
    """Lets go of adopted processes that have ended."""
    for pid in _children(os.getpid()):
        with _lock:
            if everything or pid not in _started:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _children(pid: int) -> Iterable[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for task in tasks:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:
            yield from map(int, file.read().split())


def _kill(pid: int) -> bool:
    """Sends SIGKILL; False when the process is gone or only its exit code is left."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
        if state != b"Z":
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def _marked(pid: int, mark: bytes) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return mark in file.read().split(b"\0")
    return False
