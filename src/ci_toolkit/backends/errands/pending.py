"""`Pending`: work in a thread of its own that nobody has to wait for."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

__all__ = ["Pending"]

_Value = TypeVar("_Value")


class Pending(Generic[_Value]):
    """Work in a thread of its own, which nobody has to wait for.

    The thread is a daemon: a connection that hangs for a quarter of an hour keeps no process
    from ending.

    Args:
        work: What to do; takes an event that is set when its result is not wanted any more.
        woken: Set when the work is done; others may set it to wake who waits.
    """

    def __init__(
        self, work: Callable[[threading.Event], _Value], woken: threading.Event | None = None
    ) -> None:
        self._work = work
        self.woken = woken or threading.Event()
        self._done = threading.Event()
        self._give_up = threading.Event()
        self._value: list[_Value] = []
        self._error: BaseException | None = None
        # In this context, so that log records carry the scope, and spans their parent.
        context = copy_context()
        threading.Thread(
            target=context.run, args=(self._run,), name="ci-toolkit-call", daemon=True
        ).start()

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits for the result; says whether it is there."""
        return self._done.wait(seconds)

    def result(self) -> _Value:
        """The result of work that is done, or what it raised."""
        if self._error is not None:
            raise self._error
        return self._value[0]

    def abandon(self) -> None:
        """Says that nobody waits any more."""
        self._give_up.set()

    def _run(self) -> None:
        try:
            self._value.append(self._work(self._give_up))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        finally:
            self._done.set()
            self.woken.set()
