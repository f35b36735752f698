"""A control group that bounds the processes of one sandbox, where this machine lets us make one."""

import contextlib
import os
import time
import uuid
from pathlib import Path

__all__ = ["PidsGroup", "sweep"]

_TRIES, _PAUSE = 200, 0.005
_PREFIX = "ci-toolkit-"


class PidsGroup:
    """A group of its own below the one that this process is in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def make(cls, pid: int, most: int) -> "PidsGroup | None":
        """Puts a process, and so its children, into a new group; None where that cannot be.

        Args:
            pid: The process.
            most: How many processes and threads the group may have.
        """
        for parent in _parents():
            _sweep(parent)
            folder = parent / f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex}"
            group = cls(folder)
            try:
                folder.mkdir()
                (folder / "pids.max").write_text(str(most))
                (folder / "cgroup.procs").write_text(str(pid))
            except OSError:
                group.remove()
            else:
                return group
        return None

    def remove(self) -> None:
        """Removes the group; waits a little for the last of its processes to vanish."""
        for _ in range(_TRIES):
            try:
                self._folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(_PAUSE)
            else:
                return


def sweep() -> None:
    """Removes the groups of processes that were killed, wherever this process may."""
    for parent in _parents():
        _sweep(parent)


def _sweep(parent: Path) -> None:
    """Removes the empty groups of processes that were killed before they could."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        maker = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if maker.isdecimal() and not Path("/proc", maker).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _parents() -> list[Path]:
    """The groups of this process that could hold one with a limit of processes."""
    if not os.access("/proc/self/cgroup", os.R_OK):
        return []
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            found.append(Path("/sys/fs/cgroup/pids" + path))
        elif not controllers:
            found.append(Path("/sys/fs/cgroup" + path))
    return [path for path in found if os.access(path, os.W_OK)]
