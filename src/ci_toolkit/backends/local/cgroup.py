"""A control group that bounds the processes of one sandbox, where this machine lets us make one."""

import contextlib
import os
import uuid
from pathlib import Path

__all__ = ["PidsGroup"]


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
            folder = parent / f"ci-toolkit-{uuid.uuid4().hex}"
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
        """Removes the group, which has to be empty."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


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
