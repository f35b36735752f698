"""The process that started a sandbox; a fork of it has copies of everything and owns nothing."""

import os

from ci_toolkit.errors import BackendUnavailableError

__all__ = ["Owner"]


class Owner:
    """Remembers in which process it was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process, and no fork of it."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Refuses what only the owner may do.

        Raises:
            BackendUnavailableError: This process is a fork of the owner.
        """
        if not self.is_here:
            raise BackendUnavailableError(
                "A local backend and its sandboxes belong to the process that made them, "
                "and this is a fork of it: make a LocalBackend here."
            )
