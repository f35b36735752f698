"""Room 3, one conversation: its sandbox, one call at a time, its loss survived and told once."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import Lock
from typing import TypeVar

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.errors import CancelledCallError, SandboxLostError
from ci_toolkit.files import SAVED, UPLOADS, ConversationFiles, SavedFile
from ci_toolkit.limits import Limits
from ci_toolkit.moving import Delivery, bring_files
from ci_toolkit.scope import Scope
from ci_toolkit.turns import Turns
from ci_toolkit.workspaces.base import StoredFile, Workspace

__all__ = ["Session", "Sessions"]

logger = logging.getLogger(__name__)

_Value = TypeVar("_Value")
_NAMES_IN_A_NOTE = 20
_ENDED_KEPT = 10_000


class Session:
    """One line of work of one conversation; outlives any sandbox.

    Attributes:
        scope: Whose it is.
        files: The conversation's files in the workspace.

    Args:
        scope: Whose it is.
        backend: Where its sandbox is started.
        files: The conversation's files.
        lost: Whether it had a sandbox before, which the model has to be told.
    """

    def __init__(
        self, scope: Scope, backend: Backend, files: ConversationFiles, *, lost: bool = False
    ) -> None:
        self.scope = scope
        self.files = files
        self.used = time.monotonic()
        self._backend = backend
        self._turns = Turns()
        self._sandbox: Sandbox | None = None
        self._lost = lost
        self._closed = False
        self._uploads: dict[str, StoredFile] = {}
        self._upload_digests: dict[str, str] = {}
        self._notes: list[str] = []

    @property
    def started(self) -> bool:
        """Whether it has, or had, a sandbox whose loss was not told yet."""
        return self._sandbox is not None or self._lost

    @property
    def busy(self) -> bool:
        """Whether a call goes on."""
        return self._turns.taken

    def run(
        self, work: Callable[[Sandbox], _Value], cancellation: Cancellation
    ) -> tuple[_Value, tuple[str, ...]]:
        """Does one call's work in the sandbox of this session, after the calls before it.

        Starts a sandbox where there is none, and puts uploads and saved files into it. Work whose
        sandbox turns out to be gone before anything ran is done once more in a new one.

        Returns:
            What `work` returned, and what the model has to be told first.

        Raises:
            CancelledCallError: Cancelled while waiting.
            SandboxLostError: The sandbox ended during the work.
            BackendError, WorkspaceError: No sandbox could be made ready.
        """
        with self._turns.turn(cancellation):
            try:
                value = self._work(work, cancellation)
            except SandboxLostError as error:
                if error.may_have_run:
                    raise
                value = self._work(work, cancellation)
            finally:
                self.used = time.monotonic()
            notes, self._notes = tuple(self._notes), []
            return value, notes

    def is_unchanged_upload(self, path: str, digest: str) -> bool:
        """Whether a sandbox file is an upload as the user sent it."""
        return self._upload_digests.get(path) == digest

    def close(self) -> None:
        """Ends the sandbox; a call that goes on loses it. Idempotent; never raises."""
        self._closed = True
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.close()

    def _work(self, work: Callable[[Sandbox], _Value], cancellation: Cancellation) -> _Value:
        with self._noticing_loss():
            sandbox = self._sandbox
            if sandbox is None:
                sandbox = self._start()
            else:
                self._bring_uploads(sandbox)
            with cancellation.watching(sandbox.interrupt):
                return work(sandbox)

    @contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            yield
        except SandboxLostError as error:
            logger.warning("Sandbox lost in %s: %s", self.scope, error)
            if self._sandbox is not None:
                self._sandbox.close()
                self._lost = True
            self._sandbox = None
            raise

    def _start(self) -> Sandbox:
        digest = sha256(repr(self.scope).encode()).hexdigest()[:16]
        sandbox = self._backend.start(name=f"ci-toolkit-{digest}")
        self._uploads, self._upload_digests, self._notes = {}, {}, []
        try:
            self._bring_uploads(sandbox)
            self._restore(sandbox)
        except BaseException:
            sandbox.close()
            raise
        self._sandbox, self._lost = sandbox, False
        if self._closed:
            # `close` may have come during the start, when it found no sandbox to end.
            sandbox.close()
            raise CancelledCallError("The session was closed; nothing was run.")
        return sandbox

    def _bring_uploads(self, sandbox: Sandbox) -> None:
        """Writes uploads that are new or newer than those in the sandbox."""
        found = {upload.key: upload for upload in self.files.uploads()}
        before = self._uploads
        changed = [
            Delivery(name=f"{UPLOADS}{name}", path=name, size=upload.size)
            for name, upload in found.items()
            if name not in before or before[name].etag != upload.etag
        ]
        if not changed:
            return
        arrivals = bring_files(changed, self.files, sandbox)
        for name, arrival in arrivals.items():
            self._upload_digests[name] = arrival.sha256
            if arrival.error is not None:
                self._notes.append(f"The upload {name!r} is not there: {arrival.error}")
            elif name in before:
                self._notes.append(
                    f"A newer version of {name!r} was uploaded and has replaced the file."
                )
        self._uploads = {**before, **{name: found[name] for name in arrivals}}

    def _restore(self, sandbox: Sandbox) -> None:
        """Puts saved files back and says what a loss took; nothing to say on a first start."""
        saved = self.files.saved()
        if not saved and not self._lost:
            return
        wanted = [
            Delivery(name=f"{SAVED}{name}", path=entry.path, size=entry.size, sha256=entry.sha256)
            for name, entry in saved.items()
            if not self._uploaded_since(entry)
        ]
        arrivals = bring_files(wanted, self.files, sandbox)
        back = [path for path, arrival in arrivals.items() if arrival.error is None]
        failed = [path for path, arrival in arrivals.items() if arrival.error is not None]
        self._notes.insert(0, _loss([*self._uploads, *back], failed))

    def _uploaded_since(self, entry: SavedFile) -> bool:
        upload = self._uploads.get(entry.path)
        return upload is not None and upload.modified > entry.modified


def _loss(back: list[str], failed: list[str]) -> str:
    """What a model has to know after its sandbox was replaced."""
    restored = f"Restored: {_names(back)}." if back else "There were no saved files to restore."
    missing = f" Could not be restored: {_names(failed)}." if failed else ""
    return (
        "The earlier sandbox is gone and this is a new one: variables, imports, installed packages "
        f"and files that were not saved to the workspace were lost. {restored}{missing}"
    )


def _names(paths: list[str]) -> str:
    names = sorted(set(paths))
    more = len(names) - _NAMES_IN_A_NOTE
    return ", ".join(names[:_NAMES_IN_A_NOTE]) + (f" and {more} more" if more > 0 else "")


class Sessions:
    """All sessions of one interpreter, by scope."""

    def __init__(self, backend: Backend, workspace: Workspace, limits: Limits) -> None:
        self._backend = backend
        self._workspace = workspace
        self._limits = limits
        self._lock = Lock()
        self._sessions: dict[Scope, Session] = {}
        # Scopes whose sandbox was ended here: their next call has to tell of it.
        self._ended: OrderedDict[Scope, bool] = OrderedDict()

    def get(self, scope: Scope) -> Session:
        """The session of a scope, new if need be; ends others that were idle for too long."""
        with self._lock:
            idle = self._take_idle(but=scope)
            session = self._sessions.get(scope)
            if session is None:
                lost = self._ended.pop(scope, False)
                most = self._limits.file_bytes
                files = ConversationFiles(self._workspace, scope, file_bytes=most)
                session = Session(scope, self._backend, files, lost=lost)
                self._sessions[scope] = session
            session.used = time.monotonic()
        for other in idle:
            other.close()
        return session

    def close(self, scope: Scope | None = None) -> None:
        """Ends the session of a scope, or all. Idempotent; never raises."""
        with self._lock:
            scopes = list(self._sessions) if scope is None else [scope]
            ended = [self._take(each) for each in scopes if each in self._sessions]
        for session in ended:
            session.close()

    def _take_idle(self, *, but: Scope) -> list[Session]:
        latest = time.monotonic() - self._limits.idle_seconds
        scopes = [
            scope
            for scope, session in self._sessions.items()
            if scope != but and session.used < latest and not session.busy
        ]
        return [self._take(scope) for scope in scopes]

    def _take(self, scope: Scope) -> Session:
        session = self._sessions.pop(scope)
        if session.started:
            self._ended[scope] = True
            while len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)
        return session
