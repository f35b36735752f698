"""What a sandbox has of its conversation's files: uploads, and what was saved; for tenancies."""

from collections.abc import Mapping

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.errors import FileMissingError, WorkspaceError, WorkspaceFileMissingError
from ci_toolkit.files import SAVED, UPLOADS, ConversationFiles, SavedFile
from ci_toolkit.losses import of_a_loss
from ci_toolkit.moving import Arrival, Delivery, bring_files
from ci_toolkit.records import UploadRecord
from ci_toolkit.scope import Scope
from ci_toolkit.telemetry import Telemetry, scoped_logger
from ci_toolkit.workspaces.base import StoredFile

__all__ = ["Contents"]

logger = scoped_logger(__name__)


class Contents:
    """The workspace's files in one sandbox.

    Args:
        files: The conversation's files in the workspace.
        scope: Whose they are.
        telemetry: Told of what is brought.

    Attributes:
        uploads: What was brought of the uploads, by name.
    """

    def __init__(self, files: ConversationFiles, *, scope: Scope, telemetry: Telemetry) -> None:
        self.uploads: dict[str, UploadRecord] = {}
        self._files = files
        self._scope = scope
        self._telemetry = telemetry

    def is_unchanged_upload(self, path: str, digest: str) -> bool:
        """Whether a sandbox file is an upload as the user sent it."""
        upload = self.uploads.get(path)
        return upload is not None and upload.sha256 == digest

    def outdated(self) -> dict[str, StoredFile]:
        """The uploads, by name, that are new or newer than those in the sandbox; one listing."""
        return self.still_outdated({upload.key: upload for upload in self._files.uploads()})

    def still_outdated(self, found: Mapping[str, StoredFile]) -> dict[str, StoredFile]:
        """Those among the uploads that are new or newer than those in the sandbox."""
        return {
            name: upload
            for name, upload in found.items()
            if name not in self.uploads or self.uploads[name].etag != upload.etag
        }

    def bring(self, uploads: Mapping[str, StoredFile], sandbox: Sandbox) -> list[str]:
        """Writes uploads into the sandbox.

        Returns:
            What the model has to be told: of files that were replaced, and of those that failed.

        Raises:
            WorkspaceError, BackendError: As workspace and sandbox raise them.
        """
        notes = []
        deliveries = [
            Delivery(name=f"{UPLOADS}{name}", path=name, size=upload.size)
            for name, upload in uploads.items()
        ]
        for name, arrival in self._bring(deliveries, sandbox).items():
            newer = name in self.uploads
            self.uploads[name] = _record(uploads[name], arrival)
            if arrival.error is not None:
                notes.append(f"The upload {name!r} is not there: {arrival.error}")
            elif newer:
                notes.append(f"A newer version of {name!r} was uploaded and has replaced the file.")
        return notes

    def restore(self, sandbox: Sandbox, *, lost: bool) -> list[str]:
        """Puts saved files back where they were.

        Args:
            sandbox: A new one, in which the uploads are.
            lost: Whether another one was lost.

        Returns:
            What a loss took, for the model; nothing on a first start.

        Raises:
            WorkspaceError, BackendError: As workspace and sandbox raise them.
        """
        try:
            saved = self._files.saved()
        except WorkspaceError:
            # Uploads were listed before: it is what is kept that is damaged, and stays so.
            logger.exception("Nothing is restored in %s.", self._scope)
            unread = "Which files were saved cannot be read; none of them is here."
            return [of_a_loss(self._there(), []), unread]
        if not saved and not lost:
            return []
        wanted = [
            Delivery(name=f"{SAVED}{name}", path=entry.path, size=entry.size, sha256=entry.sha256)
            for name, entry in saved.items()
            if not self._uploaded_since(entry)
        ]
        arrivals = self._bring(wanted, sandbox)
        back = [path for path, arrival in arrivals.items() if arrival.error is None]
        failed = [path for path, arrival in arrivals.items() if arrival.error is not None]
        return [of_a_loss([*back, *self._there()], failed)]

    def _there(self) -> list[str]:
        return [path for path, upload in self.uploads.items() if upload.sha256]

    def _uploaded_since(self, entry: SavedFile) -> bool:
        upload = self.uploads.get(entry.path)
        return upload is not None and upload.modified > entry.modified

    def _bring(self, deliveries: list[Delivery], sandbox: Sandbox) -> dict[str, Arrival]:
        if not deliveries:
            return {}
        with self._telemetry.transfer("to_sandbox", scope=self._scope) as transfer:
            arrivals = self._arrivals(deliveries, sandbox)
            for delivery in deliveries:
                if arrivals[delivery.path].error is None:
                    transfer.arrived(delivery.size)
            return arrivals

    def _arrivals(self, deliveries: list[Delivery], sandbox: Sandbox) -> dict[str, Arrival]:
        try:
            return bring_files(deliveries, self._files, sandbox)
        except WorkspaceFileMissingError as error:
            # Somebody has removed one; it must not cost the others.
            if len(deliveries) == 1:
                logger.warning("%r is not brought: %s", deliveries[0].path, error)
                gone = FileMissingError("It was removed from the workspace.")
                return {deliveries[0].path: Arrival(error=gone)}
        return {
            path: arrival
            for delivery in deliveries
            for path, arrival in self._arrivals([delivery], sandbox).items()
        }


def _record(upload: StoredFile, arrival: Arrival) -> UploadRecord:
    """What is remembered of an upload; of one that failed, that it is not to be tried again."""
    if arrival.error is not None:
        return UploadRecord(etag=upload.etag)
    return UploadRecord(etag=upload.etag, sha256=arrival.sha256, modified=upload.modified)
