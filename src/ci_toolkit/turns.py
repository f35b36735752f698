"""One call at a time, in the order in which they came; used by the sessions."""

import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Final, Literal

from ci_toolkit.cancellation import Cancellation
from ci_toolkit.errors import CancelledCallError

__all__ = ["Order", "Turns"]

_LOOK_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 0.25
_REMEMBERED: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Order:
    """Where a call stands among the calls that a model made in one turn.

    Frameworks hand such calls over side by side, so that a later one may be here first.

    Attributes:
        calls: Identifiers of the calls of the turn, in the model's order.
        own: The identifier of this one.
    """

    calls: tuple[str, ...]
    own: str

    @property
    def earlier(self) -> tuple[str, ...]:
        """The calls that come before this one."""
        return self.calls[: self.calls.index(self.own)] if self.own in self.calls else ()


class Turns:
    """A queue at a door that lets one in at a time.

    Unlike a lock it is fair, and it can be left by a call that is cancelled while it waits. The
    calls of one model turn are let in in the model's order; one that does not come at all, since
    it was refused, holds up those behind it for a quarter of a second.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._queue: deque[object] = deque()
        self._seen: OrderedDict[tuple[tuple[str, ...], str], Literal["here", "queued"]]
        self._seen = OrderedDict()

    @property
    def taken(self) -> bool:
        """Whether somebody is in, or waits."""
        return bool(self._queue)

    @property
    def length(self) -> int:
        """How many are in or wait."""
        return len(self._queue)

    @contextmanager
    def turn(self, cancellation: Cancellation, order: Order | None = None) -> Iterator[None]:
        """Waits for its turn, which lasts for the `with` block.

        Raises:
            CancelledCallError: Cancelled while waiting; the turn was not taken.
        """
        ticket = object()
        # Whatever ends the wait, Ctrl-C included, must take the ticket out of the queue.
        try:
            with self._changed:
                try:
                    self._wait_for_earlier(order, cancellation)
                    self._queue.append(ticket)
                finally:
                    self._mark(order, "queued")
                while self._queue[0] is not ticket:
                    self._wait(cancellation, _LOOK_SECONDS)
            yield
        finally:
            self._leave(ticket)

    def _wait_for_earlier(self, order: Order | None, cancellation: Cancellation) -> None:
        if order is None:
            return
        self._mark(order, "here")
        deadline = time.monotonic() + _GRACE_SECONDS
        while True:
            waited_for = [self._seen.get((order.calls, each)) for each in order.earlier]
            left = deadline - time.monotonic()
            if "here" not in waited_for and (left <= 0 or None not in waited_for):
                return
            self._wait(cancellation, min(_LOOK_SECONDS, max(left, 0.01)))

    def _mark(self, order: Order | None, state: Literal["here", "queued"]) -> None:
        if order is None:
            return
        key = (order.calls, order.own)
        self._seen[key] = state
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._changed.notify_all()

    def _wait(self, cancellation: Cancellation, seconds: float) -> None:
        if cancellation.cancelled:
            raise CancelledCallError("The call was cancelled; nothing was run.")
        self._changed.wait(seconds)

    def _leave(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._queue:
                self._queue.remove(ticket)
            self._changed.notify_all()
