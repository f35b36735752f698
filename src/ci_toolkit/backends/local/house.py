"""All sandboxes of one backend with their folders; who ends them in the end."""

import os
import threading
from pathlib import Path

from ci_toolkit.backends.local import folders, leftovers
from ci_toolkit.backends.local.calls import Calls
from ci_toolkit.backends.local.owner import Owner
from ci_toolkit.errors import BackendUnavailableError

__all__ = ["House"]


class House:
    """Keeps what has to be ended and removed; knows no backend, so that one can be forgotten.

    Args:
        parent: Host folder below which everything is written; None for temporary files.
    """

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._root: Path | None = None
        self._identity: tuple[int, int] | None = None
        self._claim: int | None = None
        self._owner = Owner()
        self._lock = threading.Lock()
        self._closed = False
        self._lodgers: dict[str, Calls | None] = {}
        self._ending: dict[str, threading.Event] = {}

    def check(self) -> None:
        """Refuses new sandboxes where there can be none.

        Raises:
            BackendUnavailableError: It is closed, or belongs to another process.
        """
        self._owner.check()
        if self._closed:
            raise BackendUnavailableError("This local backend has been closed.")

    def new_folder(self) -> Path:
        """Makes the folder of a new sandbox, in a private folder that is made at first use.

        Raises:
            BackendUnavailableError: It is closed, or belongs to another process, or the disk
                does not let it.
        """
        self._owner.check()
        with self._lock:
            self.check()
            try:
                folder = folders.make_session(self._whole_root())
            except OSError as error:
                raise BackendUnavailableError(f"No folder for a sandbox: {error}") from error
            self._lodgers[folder.name] = None
        return folder

    def _whole_root(self) -> Path:
        """The private folder; another where what cleans up temporary files has taken it."""
        if self._root is None or self._identity != folders.identity(self._root):
            self._let_go()
            self._root = folders.make_root(self._parent)
            self._identity = folders.identity(self._root)
            self._claim = leftovers.claim(self._root)
        return self._root

    def move_in(self, name: str, calls: Calls) -> None:
        """Notes the guest that lives in a folder.

        Raises:
            BackendUnavailableError: The backend has been closed meanwhile.
        """
        with self._lock:
            if name in self._lodgers:
                self._lodgers[name] = calls
                return
            root = self._root
        calls.close()
        if root is not None:
            folders.remove(root / name)
        raise BackendUnavailableError("This local backend has been closed.")

    def end(self, name: str) -> None:
        """Ends one sandbox, and removes its folder; a second call waits for the first."""
        if not self._owner.is_here:
            return
        with self._lock:
            root, first = self._root, name in self._lodgers
            calls = self._lodgers.pop(name, None)
            ended = self._ending.setdefault(name, threading.Event()) if first else None
            waiting = self._ending.get(name)
        if ended is None or root is None:
            if waiting:
                waiting.wait(60)
            return
        try:
            if calls:
                calls.close()
            folders.remove(root / name)
        finally:
            with self._lock:
                self._ending.pop(name, None)
            ended.set()

    def close(self) -> None:
        """Ends all sandboxes, and removes everything that was written."""
        if not self._owner.is_here:
            return
        with self._lock:
            self._closed = True
            names = list(self._lodgers)
        for name in names:
            self.end(name)
        if self._root is not None and self._identity == folders.identity(self._root):
            folders.remove(self._root)
        self._let_go()

    def _let_go(self) -> None:
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None
