"""Room 3, one conversation: one call at a time, in order; its loss survived and told once."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock, Thread, Timer
from typing import Final, TypeVar
from weakref import WeakMethod

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.errors import SandboxLostError
from ci_toolkit.files import ConversationFiles
from ci_toolkit.scope import Scope
from ci_toolkit.tenancy import Place, Tenancy
from ci_toolkit.turns import Order, Turns

__all__ = ["Session", "Sessions"]

_Value = TypeVar("_Value")
_ENDED_KEPT: Final = 10_000
_LONGEST_LOOK: Final = 60.0


class Session:
    """One line of work of one conversation; outlives any sandbox.

    Attributes:
        scope: Whose it is.
        used: When it was last used, by the monotonic clock.

    Args:
        scope: Whose it is.
        place: Where its sandboxes are started.
        lost: Whether it had a sandbox before, which the model has to be told.
    """

    def __init__(self, scope: Scope, place: Place, *, lost: bool = False) -> None:
        self.scope = scope
        self.used = time.monotonic()
        self._turns = Turns()
        self._tenancy = Tenancy(scope, place, lost=lost)
        self._calls = 0

    @property
    def files(self) -> ConversationFiles:
        """The conversation's files in the workspace."""
        return self._tenancy.files

    @property
    def started(self) -> bool:
        """Whether it has, or had, a sandbox whose loss was not told yet."""
        return self._tenancy.started

    @property
    def busy(self) -> bool:
        """Whether a call goes on."""
        return self._turns.taken

    def run(
        self,
        work: Callable[[Sandbox], _Value],
        cancellation: Cancellation,
        order: Order | None = None,
    ) -> tuple[_Value, tuple[str, ...]]:
        """Does one call's work in the sandbox of this session, after the calls before it.

        Starts a sandbox where there is none, and puts uploads and saved files into it. Work whose
        sandbox turns out to be gone before anything ran is done once more in a new one.

        Returns:
            What `work` returned, and what the model has to be told first. After a cancelled call
            the next one is told.

        Raises:
            CancelledCallError: Cancelled while waiting.
            SandboxLostError: The sandbox ended during the work.
            BackendError, WorkspaceError: No sandbox could be made ready.
        """
        with self._turns.turn(cancellation, order):
            self._calls += 1
            try:
                value = self._work(work, cancellation)
            except SandboxLostError as error:
                if error.may_have_run:
                    raise
                value = self._work(work, cancellation)
            finally:
                self.used = time.monotonic()
            # Nobody may hear the answer of a call that was cancelled.
            return value, () if cancellation.cancelled else self._tenancy.take_notes()

    def is_unchanged_upload(self, path: str, digest: str) -> bool:
        """Whether a sandbox file is an upload as the user sent it."""
        return self._tenancy.is_unchanged_upload(path, digest)

    def close(self) -> None:
        """Ends the sandbox; a call that goes on loses it. Idempotent; never raises."""
        self._tenancy.leave(end=True)

    def close_if_owned(self) -> None:
        """As `close`, but a sandbox that another process has taken over goes on."""
        self._tenancy.leave(end=self._tenancy.release())

    def detach(self) -> None:
        """Lets go of the sandbox, which goes on where it can, for another process to find."""
        self._tenancy.leave(end=False)

    def describe(self) -> dict[str, object]:
        """The state, for an operator's eyes: JSON types only."""
        return {
            "user_id": self.scope.user_id,
            "session_id": self.scope.session_id,
            "branch": self.scope.branch,
            "calls": self._calls,
            "calls_in_line": self._turns.length,
            "idle_seconds": round(time.monotonic() - self.used, 3),
            **self._tenancy.describe(),
        }

    def _work(self, work: Callable[[Sandbox], _Value], cancellation: Cancellation) -> _Value:
        try:
            sandbox = self._tenancy.enter()
            with cancellation.watching(sandbox.interrupt):
                return work(sandbox)
        except SandboxLostError as error:
            self._tenancy.lose(error)
            raise


class Sessions:
    """All sessions of one interpreter, by scope. Idle ones are ended by a thread of its own.

    Args:
        place: Where their sandboxes are started.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = Lock()
        self._sessions: dict[Scope, Session] = {}
        # Scopes whose sandbox was ended here: their next call has to tell of it.
        self._ended: OrderedDict[Scope, bool] = OrderedDict()
        self._timer: Timer | None = None

    def get(self, scope: Scope) -> Session:
        """The session of a scope, new if need be."""
        with self._lock:
            session = self._sessions.get(scope)
            if session is None:
                session = Session(scope, self._place, lost=self._ended.pop(scope, False))
                self._sessions[scope] = session
            session.used = time.monotonic()
            self._look_later()
        return session

    def close(self, scope: Scope | None = None) -> None:
        """Ends the session of a scope, or all. Idempotent; never raises.

        Of all, those go on whose sandbox another process has taken over.
        """
        if scope is None:
            _beside_each_other(each.close_if_owned for each in self._take(lambda _: True))
        else:
            _beside_each_other(each.close for each in self._take(lambda s: s.scope == scope))

    def detach(self, scope: Scope | None = None) -> None:
        """Lets go of the session of a scope, or of all. Idempotent; never raises."""
        taken = self._take(lambda session: scope in (None, session.scope))
        _beside_each_other(session.detach for session in taken)

    def describe(self, scope: Scope | None = None) -> list[dict[str, object]]:
        """The state of the session of a scope, or of all that there are."""
        with self._lock:
            found = [s for each, s in self._sessions.items() if scope in (None, each)]
        return [session.describe() for session in found]

    def _take(self, chosen: Callable[[Session], bool]) -> list[Session]:
        """Takes sessions out; a call that comes later finds a new one."""
        with self._lock:
            taken = [session for session in self._sessions.values() if chosen(session)]
            for session in taken:
                del self._sessions[session.scope]
                if session.started:
                    self._ended[session.scope] = True
            while len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)
            if not self._sessions and self._timer is not None:
                self._timer.cancel()
                self._timer = None
        return taken

    def _look_later(self) -> None:
        """Looks for idle sessions after a while, as long as there are any sessions."""
        if self._timer is None and self._sessions:
            wait = min(self._place.limits.idle_seconds, _LONGEST_LOOK)
            # Whoever drops the sessions ends them; a timer must not keep them alive.
            timer = Timer(wait, _look, [WeakMethod(self._end_idle)])
            timer.daemon = True
            timer.start()
            self._timer = timer

    def _end_idle(self) -> None:
        latest = time.monotonic() - self._place.limits.idle_seconds
        with self._lock:
            self._timer = None
        idle = self._take(lambda session: session.used <= latest and not session.busy)
        _beside_each_other(session.close_if_owned for session in idle)
        with self._lock:
            self._look_later()


def _look(end_idle: WeakMethod[Callable[[], None]]) -> None:
    found = end_idle()
    if found is not None:
        found()


def _beside_each_other(ends: Iterable[Callable[[], None]]) -> None:
    """Calls them all, each in a thread where there can still be threads."""
    waiting = list(ends)
    if len(waiting) == 1:
        waiting.pop()()
    threads = [Thread(target=end, daemon=True) for end in waiting]
    for thread, end in zip(threads, waiting, strict=True):
        try:
            thread.start()
        except RuntimeError:  # The interpreter is ending.
            end()
    for thread in threads:
        if thread.ident is not None:
            thread.join()
