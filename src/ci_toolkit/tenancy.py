"""Which sandbox a session is in: found again, started, filled, replaced before its end, left.

Lies between a session and the backend seam. One call at a time uses a tenancy; `leave` and
`describe` may come from another thread.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.backends.detaching import Detaching
from ci_toolkit.carrying import carry_files, carry_variables
from ci_toolkit.contents import Contents
from ci_toolkit.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    CancelledCallError,
    CodeInterpreterError,
    OutcomeUnknownError,
    SandboxLostError,
    WorkspaceError,
)
from ci_toolkit.files import ConversationFiles
from ci_toolkit.limits import Limits
from ci_toolkit.losses import of_a_replacement
from ci_toolkit.records import Kept, Record, Records, digest_of
from ci_toolkit.scope import Scope
from ci_toolkit.telemetry import Telemetry, scoped_logger
from ci_toolkit.workspaces.base import Workspace

__all__ = ["Place", "Tenancy"]

logger = scoped_logger(__name__)

_TRIES: Final = 3
_SHARE: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where sessions find what they need; the same for all of one interpreter.

    Attributes:
        backend: Where sandboxes are started.
        workspace: Where files and records are kept.
        limits: The host's bounds.
        telemetry: Told of starts, transfers and losses.
        clock: Seconds since the epoch.
    """

    backend: Backend
    workspace: Workspace
    limits: Limits
    telemetry: Telemetry = field(default_factory=Telemetry)
    clock: Callable[[], float] = time.time


class Tenancy:
    """The sandbox of one session, whichever it is at the time.

    Args:
        scope: Whose it is.
        place: Where it is started, and where its files are.
        lost: Whether the session had a sandbox before, which the model has to be told.

    Attributes:
        files: The conversation's files in the workspace.
    """

    def __init__(self, scope: Scope, place: Place, *, lost: bool = False) -> None:
        self.scope = scope
        self.files = ConversationFiles(place.workspace, scope, file_bytes=place.limits.file_bytes)
        self._place = place
        self._records = Records(place.workspace, scope)
        # Its own, and not the interpreter's: of one interpreter there may be forks.
        self._owner = uuid4().hex
        self._kept: Kept | None = None
        self._sandbox: Sandbox | None = None
        self._began = 0.0
        self._tries = _TRIES
        self._lost = lost
        self._losses = 0
        self._gone = ""
        self._left = False
        self._contents = Contents(self.files, scope=scope, telemetry=place.telemetry)
        self._notes: list[str] = []

    @property
    def started(self) -> bool:
        """Whether there is, or was, a sandbox whose loss was not told yet."""
        return self._sandbox is not None or self._lost

    def enter(self) -> Sandbox:
        """The sandbox, ready for a call: with all uploads, and with time left.

        Raises:
            CancelledCallError: The session was closed; nothing was run.
            SandboxLostError: It is gone; nothing was run.
            BackendError, WorkspaceError: None could be made ready.
        """
        if self._left:
            # The record may name the sandbox of the session that came after this one.
            raise CancelledCallError("The session was closed; nothing was run.")
        try:
            return self._enter()
        except SandboxLostError as error:
            raise SandboxLostError(str(error), may_have_run=False) from error
        except OutcomeUnknownError as error:
            # What is unknown is whether files arrived, and not whether the model's code ran.
            raise BackendUnavailableError(f"No sandbox could be made ready: {error}") from error

    def _enter(self) -> Sandbox:
        sandbox = self._sandbox
        if sandbox is None:
            sandbox = self._find_or_start()
        else:
            if self._ends_soon(sandbox):
                sandbox = self._replace(sandbox)
            self._bring_uploads(sandbox)
        if self._left:
            # `leave` may have come during the start, when it found nothing to end.
            self.leave(end=True)
            raise CancelledCallError("The session was closed; nothing was run.")
        return sandbox

    def lose(self, error: SandboxLostError) -> None:
        """Takes note that the sandbox is gone."""
        logger.warning("Sandbox lost in %s: %s", self.scope, error)
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            self._place.telemetry.sandbox_lost(
                scope=self.scope,
                backend=self._place.backend.name,
                may_have_run=error.may_have_run,
            )
            sandbox.close()
            self._gone = sandbox.id
            self._lost = True
            self._losses += 1

    def take_notes(self) -> tuple[str, ...]:
        """What the model has to be told first; told once."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def is_unchanged_upload(self, path: str, digest: str) -> bool:
        """Whether a sandbox file is an upload as the user sent it."""
        return self._contents.is_unchanged_upload(path, digest)

    def leave(self, *, end: bool) -> None:
        """Ends the sandbox, or lets go of it where it can go on without this process.

        Idempotent; never raises. A call that goes on loses the sandbox.

        Args:
            end: False keeps it for another process, where the backend can attach.
        """
        self._left = True
        sandbox = self._sandbox
        if sandbox is None:
            return
        if not end and isinstance(sandbox, Detaching):
            sandbox.detach()
            return
        sandbox.close()
        if self.scope.branch:
            # There is no end of branches; a conversation has one record that stays.
            self._forget()

    def release(self) -> bool:
        """Takes the sandbox out of the record, so that nobody finds it, before it is ended.

        Never raises: a record that cannot be written is taken to be this session's own.

        Returns:
            False where somebody else has attached to the sandbox since this session did.
        """
        sandbox, kept = self._sandbox, self._kept
        if sandbox is None or kept is None or not self._place.backend.abilities.attach:
            return True
        try:
            if self._records.write(kept.record.model_copy(update={"sandbox": ""}), kept):
                return True
            kept = self._records.read()
        except Exception as error:  # noqa: BLE001 - whatever a workspace does, a sandbox has to end
            logger.warning("The record of %s cannot be written: %s", self.scope, error)
            return True
        if kept is None or kept.record.sandbox != sandbox.id:
            return True
        return kept.record.owner == self._owner

    def describe(self) -> dict[str, object]:
        """The state, for an operator's eyes: JSON types only, and no content of files."""
        sandbox = self._sandbox
        return {
            "sandbox": None if sandbox is None else sandbox.id,
            "began": self._began or None,
            "expires_at": None if sandbox is None else sandbox.expires_at,
            "losses": self._losses,
            "loss_to_be_told": self._lost,
            "notes_to_be_told": list(self._notes),
            "uploads": sorted(self._contents.uploads),
        }

    # Where a sandbox comes from.

    def _find_or_start(self) -> Sandbox:
        """The sandbox that is recorded, if it is still there; else a new one, recorded."""
        for _ in range(_TRIES):
            self._kept = self._records.read()
            sandbox = self._attach()
            if sandbox is None:
                with self._place.telemetry.session_start(
                    scope=self.scope, backend=self._place.backend.name, after_loss=self._lost
                ):
                    sandbox = self._start()
            if sandbox is not None:
                return sandbox
        raise WorkspaceError(f"The record of {self.scope} changes too fast to be written.")

    def _attach(self) -> Sandbox | None:
        if self._kept is None:
            return None
        backend = self._place.backend
        for _ in range(_TRIES if backend.abilities.attach else 0):
            record = self._kept.record
            if record.backend != backend.name or record.sandbox in ("", self._gone):
                break
            try:
                sandbox = backend.attach(record.sandbox)
            except (SandboxLostError, AccessDeniedError) as error:
                logger.info("The recorded sandbox of %s is out of reach: %s", self.scope, error)
                break
            if self._take_over(sandbox, record):
                return sandbox
        # There was one, in this process or before it.
        self._lost = True
        return None

    def _take_over(self, sandbox: Sandbox, record: Record) -> bool:
        """Makes a sandbox that was found this session's own, if it is still the recorded one."""
        self._began, self._tries = record.began, _TRIES
        self._contents.uploads = dict(record.uploads)
        if not self._claim(sandbox, over=record.sandbox):
            return False
        # Where it came in place of one that was lost here, who started it has told of that.
        self._sandbox, self._lost = sandbox, False
        self._bring_uploads(sandbox)
        return True

    def _start(self) -> Sandbox | None:
        """Starts a sandbox with everything that was saved; None where others were first."""
        before = self._kept.record.sandbox if self._kept else ""
        sandbox = self._place.backend.start(name=self._name)
        try:
            self._began, self._tries = self._place.clock(), _TRIES
            self._contents.uploads = {}
            brought = self._contents.bring(self._contents.outdated(), sandbox)
            self._notes = [*self._contents.restore(sandbox, lost=self._lost), *brought]
            first = self._claim(sandbox, over=before)
        except BaseException:
            sandbox.close()
            raise
        if not first:
            sandbox.close()
            self._notes = []  # Whoever was first tells of the loss.
            return None
        self._sandbox, self._lost = sandbox, False
        return sandbox

    @property
    def _name(self) -> str:
        return f"ci-toolkit-{digest_of(self.scope)}"

    # What is told to other processes.

    def _claim(self, sandbox: Sandbox, *, over: str) -> bool:
        """Records a sandbox as this scope's own.

        Args:
            sandbox: Which.
            over: The one that may be recorded now.

        Returns:
            False where another process has recorded another one meanwhile, or has released it.
        """
        record = Record(
            scope=digest_of(self.scope),
            backend=self._place.backend.name,
            sandbox=sandbox.id,
            owner=self._owner,
            began=self._began,
            uploads=self._contents.uploads,
        )
        free = {over} if over == sandbox.id else {over, ""}
        try:
            for _ in range(_TRIES):
                kept = self._records.write(record, self._kept)
                if kept is not None:
                    self._kept = kept
                    return True
                self._kept = self._records.read()
                if self._kept is not None and self._kept.record.sandbox not in free:
                    return False
        except WorkspaceError as error:
            # A conversation goes on where nothing can be written, but nobody else finds it.
            logger.warning("The sandbox of %s is not recorded: %s", self.scope, error)
            return True
        return False

    def _forget(self) -> None:
        try:
            self._records.forget()
        except WorkspaceError as error:
            logger.warning("The record of %s stays: %s", self.scope, error)

    # What is in it.

    def _bring_uploads(self, sandbox: Sandbox) -> None:
        """Writes uploads that are new or newer than those in the sandbox, and tells of it."""
        outdated = self._contents.outdated()
        shared = self._place.backend.abilities.attach
        if outdated and shared:
            # Another process may have brought them already.
            self._kept = self._records.read()
            if self._kept is not None and self._kept.record.sandbox == sandbox.id:
                self._contents.uploads |= self._kept.record.uploads
                outdated = self._contents.still_outdated(outdated)
        if not outdated:
            return
        self._notes += self._contents.bring(outdated, sandbox)
        if shared:
            self._claim(sandbox, over=sandbox.id)

    # Before its end.

    def _ends_soon(self, sandbox: Sandbox) -> bool:
        """Whether a call could outlive the sandbox; of a short life, the last quarter is soon."""
        if sandbox.expires_at is None or not self._tries:
            return False
        margin = min(self._place.limits.timeout, _SHARE * (sandbox.expires_at - self._began))
        return self._place.clock() + margin >= sandbox.expires_at

    def _replace(self, old: Sandbox) -> Sandbox:
        """Moves everything that can be moved into a new sandbox.

        Where that fails the old one serves on, as long as it lives.
        """
        self._tries -= 1
        try:
            new = self._place.backend.start(name=self._name)
        except CodeInterpreterError as error:
            logger.warning("No new sandbox for %s before the end of its own: %s", self.scope, error)
            return old
        began, self._began = self._began, self._place.clock()
        moved = False
        try:
            # The directory where the variables' process is has to be there before it.
            files = carry_files(old, new, most=self._place.limits.carry_bytes)
            variables = carry_variables(old, new)
            moved = self._claim(new, over=old.id)
        except CodeInterpreterError as error:
            logger.warning("Nothing was carried over in %s: %s", self.scope, error)
        finally:
            if not moved:
                self._began = began
                new.close()
        if not moved:
            return old
        self._sandbox, self._tries = new, _TRIES
        self._notes.append(of_a_replacement(files, variables))
        old.close()
        return new
