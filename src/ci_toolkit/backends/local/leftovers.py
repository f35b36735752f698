"""Folders whose process was killed before it could remove them: how they are known, and their end.

A process holds a lock on a file in the folder of its backend as long as it lives. The kernel lets
it go however the process ends, and it is seen from other containers, which a process number is not.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ci_toolkit.backends.local import folders
from ci_toolkit.backends.local.processes import kill_marked

__all__ = ["abandoned", "claim", "remove_abandoned"]

_OWNER = "owner"


def claim(root: Path) -> int:
    """Says that a folder is in use, until the descriptor that is given is closed."""
    new = root / f"{_OWNER}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # Under its name it was never without its lock.
    new.rename(root / _OWNER)
    return descriptor


def abandoned(parent: str | None) -> Iterator[tuple[Path, float]]:
    """The folders of backends that nobody uses any more, of this user, and when they were changed.

    Args:
        parent: As `LocalBackend` has it; None for the folder of temporary files.
    """
    for root in sorted(Path(parent or tempfile.gettempdir()).glob(f"{folders.PREFIX}*")):
        with _holding(root) as held:
            if held:
                yield root, root.lstat().st_mtime


def remove_abandoned(root: Path) -> None:
    """Ends what still runs there, and removes the folder, unless somebody uses it."""
    with _holding(root) as held:
        if not held:
            return
        for session in root.iterdir():
            # Of an unconfined sandbox; a confined one ends with the process that started it.
            kill_marked(f"CI_SANDBOX={session.name}".encode())
        folders.remove(root)


@contextmanager
def _holding(root: Path) -> Iterator[bool]:
    """Whether a folder is one of ours and its lock is free; nobody else has it meanwhile."""
    with contextlib.ExitStack() as stack:
        try:
            found = root.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                yield False
                return
            descriptor = os.open(root / _OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
