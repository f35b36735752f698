"""The host folders of sandboxes, and their removal whatever code has left in them."""

import os
import shutil
import stat
import subprocess
import tempfile
import uuid
from pathlib import Path

__all__ = ["PREFIX", "identity", "make_root", "make_session", "remove"]

from ci_toolkit.telemetry import scoped_logger

PREFIX = "ci-toolkit-"
_log = scoped_logger(__name__)


def make_root(parent: str | None) -> Path:
    """A private folder for everything that one backend writes."""
    if parent is not None:
        Path(parent).mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another that has come into its place; None where there is none."""
    try:
        status = folder.lstat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def make_session(root: Path) -> Path:
    """A new folder with `home` and `state`."""
    folder = root / uuid.uuid4().hex
    for name in ("home", "state", "state/tmp"):
        (folder / name).mkdir(parents=True)
    return folder


def remove(folder: Path) -> None:
    """Removes a folder in which nothing runs any more; follows no link in it."""
    if not shutil.rmtree.avoids_symlink_attacks:
        _log.warning("Not removing %s: this platform cannot do it safely.", folder)
        return
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        _insist(folder)


def _insist(folder: Path) -> None:
    """Removes what has no permissions, or lies too deep for a recursive function."""
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    try:
        for command in (["chmod", "-R", "u+rwX", "--"], ["rm", "-rf", "--one-file-system", "--"]):
            subprocess.run(  # noqa: S603 - both follow no links while they go down
                [*command, str(folder)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        left = folder.exists()
    except OSError as error:
        # Without a free descriptor, for example; whoever ends a sandbox can do nothing about it.
        _log.warning("Could not remove %s: %s", folder, error)
        return
    if left:
        _log.warning("Could not remove %s.", folder)
