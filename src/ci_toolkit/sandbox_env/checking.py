"""Tries each library in a sandbox of its own; between the trials and who shows the results."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.errors import CodeInterpreterError
from ci_toolkit.libraries import Library
from ci_toolkit.results import Execution
from ci_toolkit.sandbox_env.trials import TRIALS

__all__ = ["Tried", "check"]

_SECONDS = 120.0
_VERSION = """
import importlib.metadata
try:
    print(importlib.metadata.version({name!r}), end="")
except importlib.metadata.PackageNotFoundError:
    pass
"""


@dataclass(frozen=True)
class Tried:
    """How one trial ended.

    Attributes:
        library: What was tried.
        version: As it is installed; empty when it is not.
        seconds: How long the trial took, with the import and without the start of the sandbox.
        failure: Why the library did not do its work; empty when it did.
    """

    library: Library
    version: str
    seconds: float
    failure: str = ""

    @property
    def works(self) -> bool:
        """Whether the library did its work."""
        return not self.failure

    @property
    def does(self) -> str:
        """What was done, in a few words."""
        return TRIALS[self.library.name].does


def check(backend: Backend, libraries: Iterable[Library]) -> Iterator[Tried]:
    """Does one small real thing with each library, in a fresh sandbox for each.

    Args:
        backend: Where; closing it is the caller's.
        libraries: Which.

    Raises:
        BackendError: No sandbox could be started.
    """
    for library in libraries:
        sandbox = backend.start(name=f"trial of {library.name}")
        try:
            yield _try(sandbox, library)
        finally:
            sandbox.close()


def _try(sandbox: Sandbox, library: Library) -> Tried:
    try:
        asked = sandbox.execute_code(_VERSION.format(name=library.name), timeout=_SECONDS)
        if not asked.stdout:
            return Tried(library, "", 0.0, "not installed")
        ran = sandbox.execute_code(TRIALS[library.name].code, timeout=_SECONDS)
        return Tried(library, asked.stdout, ran.duration, _failure(ran))
    except CodeInterpreterError as error:
        return Tried(library, "", 0.0, str(error))


def _failure(ran: Execution) -> str:
    """The last words of a run that failed."""
    if not ran.failed:
        return ""
    words = ran.stderr.strip() or f"it ended with exit code {ran.exit_code}"
    return words.splitlines()[-1]
