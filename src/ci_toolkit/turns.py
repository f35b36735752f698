"""One call at a time, in the order in which they came; used by the sessions."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from ci_toolkit.cancellation import Cancellation
from ci_toolkit.errors import CancelledCallError

__all__ = ["Turns"]

_LOOK_SECONDS = 0.1


class Turns:
    """A queue at a door that lets one in at a time.

    Unlike a lock it is fair, so that the tool calls of one model turn keep their order, and it can
    be left by a call that is cancelled while it waits.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._queue: deque[object] = deque()

    @property
    def taken(self) -> bool:
        """Whether somebody is in, or waits."""
        return bool(self._queue)

    @contextmanager
    def turn(self, cancellation: Cancellation) -> Iterator[None]:
        """Waits for its turn, which lasts for the `with` block.

        Raises:
            CancelledCallError: Cancelled while waiting; the turn was not taken.
        """
        ticket = object()
        # Whatever ends the wait, Ctrl-C included, must take the ticket out of the queue.
        try:
            with self._changed:
                self._queue.append(ticket)
                while self._queue[0] is not ticket:
                    if cancellation.cancelled:
                        raise CancelledCallError("The call was cancelled; nothing was run.")
                    self._changed.wait(_LOOK_SECONDS)
            yield
        finally:
            self._leave(ticket)

    def _leave(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._queue:
                self._queue.remove(ticket)
            self._changed.notify_all()
