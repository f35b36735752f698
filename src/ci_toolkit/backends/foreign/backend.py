"""`ForeignBackend`: starts sandboxes that somebody else's code makes."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, Literal, TypeVar

from ci_toolkit.backends.base import Abilities, Sandbox
from ci_toolkit.backends.errands.programs import source_of
from ci_toolkit.backends.foreign.place import Life, Place
from ci_toolkit.backends.foreign.sandbox import ForeignSandbox
from ci_toolkit.errors import (
    BackendUnavailableError,
    CodeInterpreterError,
    ConfigurationError,
    QuotaExceededError,
    UnsupportedError,
)

__all__ = ["ForeignBackend", "Opened"]

_Foreign = TypeVar("_Foreign")
_PYTHON = ("python3", "-u", "-c", source_of("script"))


class ForeignBackend:
    """A `Backend` of the seam over sandboxes of another framework.

    Args:
        name: For logs.
        opened: Gives a place for as long as its context lasts; takes the name of the start.
        languages: What runs a script of each further language, before the name of its file.
        network: What code can reach there.
        live: Whether the places report output while it appears.
    """

    def __init__(
        self,
        name: str,
        opened: Callable[[str], AbstractContextManager[Place]],
        *,
        languages: Mapping[str, Sequence[str]],
        network: Literal["none", "internet", "host"],
        live: bool,
    ) -> None:
        if network not in ("none", "internet", "host"):
            raise ConfigurationError(f"network is none, internet or host, not {network!r}.")
        if any(isinstance(words, str) or not words for words in languages.values()):
            raise ConfigurationError(
                'languages are lists of words, such as {"javascript": ["node"]}.'
            )
        self.name = name
        self._opened = opened
        self._languages = {"python": _PYTHON, **languages}
        self._network = network
        self._live = live
        self._lives = _Lives()
        self._finalizer = weakref.finalize(self, self._lives.end)

    @property
    def languages(self) -> tuple[str, ...]:
        """Python, and what the host knows to be there."""
        return tuple(self._languages)

    @property
    def abilities(self) -> Abilities:
        """What any sandbox with a shell can do: each run of code has a process of its own."""
        return Abilities(
            network=self._network,
            stateful=frozenset(),
            live_output=self._live,
            attach=False,
            figures=False,
        )

    def start(self, *, name: str) -> Sandbox:
        """Has a sandbox made and finds out whether it is fit; see `Backend.start`."""
        stack = ExitStack()
        try:
            place = stack.enter_context(self._opened(name))
        except CodeInterpreterError:
            raise
        except Exception as error:
            raise BackendUnavailableError(f"No sandbox was made: {error}") from error
        life = Life(place, stack.close)
        self._lives.add(life)
        sandbox = ForeignSandbox(life, self._languages, owner=self)
        try:
            sandbox.settle()
        except BaseException:
            life.end("it is not fit for use")
            raise
        return sandbox

    def attach(self, sandbox_id: str) -> Sandbox:
        """Not possible: what a sandbox is found again by is known to its own framework alone."""
        raise UnsupportedError(f"The {self.name} backend cannot find {sandbox_id[:50]!r} again.")

    def close(self) -> None:
        """Gives every sandbox back; see `Backend.close`."""
        self._lives.end()


class _Lives:
    """The sandboxes to give back; knows the backend not, which may be gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lives: set[Life] = set()
        self._process = os.getpid()

    def add(self, life: Life) -> None:
        with self._lock:
            self._lives = {each for each in self._lives if not each.lost} | {life}

    def end(self) -> None:
        # A fork has the same finalizers, and runs them when it ends.
        if os.getpid() != self._process:
            return
        with self._lock:
            lives, self._lives = self._lives, set()
        for life in lives:
            life.close()


class Opened(Generic[_Foreign]):
    """Makes places of what a host gave: a sandbox, or what makes one for each session.

    Args:
        source: A sandbox; or a callable that returns a new one, or a context manager that gives
            one and ends it.
        kind: The class of such sandboxes.
        place: Makes a place of one.

    Raises:
        ConfigurationError: The source is neither.
    """

    def __init__(
        self, source: object, kind: type[_Foreign], place: Callable[[_Foreign], Place]
    ) -> None:
        if not isinstance(source, kind) and not callable(source):
            raise ConfigurationError(
                f"{source!r} is no {kind.__name__}, and no callable that makes one."
            )
        self._source = source
        self._kind = kind
        self._place = place
        self._lock = threading.Lock()
        self._conversation = ""
        self._in_use = False

    @contextmanager
    def __call__(self, name: str) -> Iterator[Place]:
        """A place for one start of this name.

        Raises:
            QuotaExceededError: There is one sandbox only, and somebody else had it.
            ConfigurationError: The callable gave something else than a sandbox.
        """
        with ExitStack() as stack:
            if isinstance(self._source, self._kind):
                stack.enter_context(self._alone(name))
                yield self._place(self._source)
                return
            made = self._source() if callable(self._source) else None
            if not isinstance(made, self._kind) and isinstance(made, AbstractContextManager):
                made = stack.enter_context(made)
            if not isinstance(made, self._kind):
                raise ConfigurationError(
                    f"The callable made {made!r}, which is no {self._kind.__name__}."
                )
            yield self._place(made)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Keeps one sandbox for one conversation: another one would see what the first left."""
        with self._lock:
            if self._in_use or self._conversation not in ("", name):
                raise QuotaExceededError(
                    "A sandbox that is given as an object serves one conversation. Give a "
                    "callable that makes one for each."
                )
            self._in_use, self._conversation = True, name
        try:
            yield
        finally:
            with self._lock:
                self._in_use = False
