"""Carries files between workspace and sandbox; used by the sessions and by `saving`.

Small files pass through the host, in pieces and many per call of the sandbox. Large ones go
straight, by a link for one file, where the workspace gives out links and the sandbox can use them;
where that fails, they pass through the host after all. Digests are compared on both sides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.backends.transfers import Transfers
from ci_toolkit.errors import ToolError, WorkspaceError
from ci_toolkit.files import ConversationFiles, Hashed, SavedFile
from ci_toolkit.results import FileInfo, FileWrite
from ci_toolkit.telemetry import scoped_logger

__all__ = ["LARGE", "Arrival", "Delivery", "bring_files", "send_straight"]

logger = scoped_logger(__name__)

LARGE = 32 * 1024 * 1024
"""Bytes from which a file is worth a link of its own."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A file that has to be in the sandbox.

    Attributes:
        name: Where it is in the workspace, such as `uploads/sales.csv`.
        path: Where it belongs in the sandbox.
        size: Bytes.
        sha256: Its digest; empty where it is not known.
    """

    name: str
    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What became of a delivery: the digest of what arrived, or why it did not."""

    sha256: str = ""
    error: ToolError | None = None


def bring_files(
    deliveries: Sequence[Delivery], files: ConversationFiles, sandbox: Sandbox
) -> dict[str, Arrival]:
    """Puts workspace files into a sandbox, each whole or not at all.

    Returns:
        Sandbox path to what became of it.

    Raises:
        WorkspaceError: A file could not be read.
        BackendError: As the sandbox raises it.
    """
    arrivals: dict[str, Arrival] = {}
    rest: list[Delivery] = []
    for delivery in deliveries:
        arrival = _bring_straight(delivery, files, sandbox) if delivery.size >= LARGE else None
        if arrival is None:
            rest.append(delivery)
        else:
            arrivals[delivery.path] = arrival
    contents = {each.path: Hashed(_content(each, files)) for each in rest}
    writes = [FileWrite(path=path, chunks=content) for path, content in contents.items()]
    for outcome, path in zip(sandbox.write_files(writes) if writes else (), contents, strict=True):
        arrivals[path] = Arrival(sha256=contents[path].hexdigest, error=outcome.error)
    return arrivals


def send_straight(
    name: str, info: FileInfo, files: ConversationFiles, sandbox: Sandbox
) -> SavedFile | None:
    """Stores a large sandbox file under a reserved name without its passing the host.

    Returns:
        None where it cannot be done so; nothing was stored that counts.

    Raises:
        BackendError: As the sandbox raises it.
    """
    if info.size < LARGE or not isinstance(sandbox, Transfers) or not files.gives_links:
        return None
    (listing,) = sandbox.list_files([info.path], checksums=True)
    seen = next((entry for entry in listing.entries if entry.path == info.path), None)
    if seen is None or not seen.sha256:
        return None
    try:
        link = files.link_to_store(name, size=seen.size, sha256=seen.sha256)
        sent = sandbox.upload_to(info.path, link.url, link.headers, sha256=seen.sha256)
        if sent.error is None:
            return files.stored_straight(name, info.path, sha256=seen.sha256)
    except WorkspaceError as error:
        logger.info("%r goes through the host: %s", info.path, error)
    else:
        logger.info("%r goes through the host: %s", info.path, sent.error)
    return None


def _bring_straight(
    delivery: Delivery, files: ConversationFiles, sandbox: Sandbox
) -> Arrival | None:
    if not isinstance(sandbox, Transfers) or not files.gives_links:
        return None
    try:
        link = files.link_to_open(delivery.name)
    except WorkspaceError as error:
        logger.info("%r goes through the host: %s", delivery.path, error)
        return None
    got = sandbox.download_from(
        link.url, delivery.path, headers=link.headers, sha256=delivery.sha256
    )
    if got.error is None:
        return Arrival(sha256=got.sha256)
    logger.info("%r goes through the host: %s", delivery.path, got.error)
    return None


def _content(delivery: Delivery, files: ConversationFiles) -> Iterator[bytes]:
    """Opens the file when its turn has come, so that a long batch holds nothing open."""
    yield from files.open(delivery.name)
