"""Carries sandbox files into the workspace; used by the tools that save."""

from collections.abc import Callable, Iterator, Sequence

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.errors import (
    CodeInterpreterError,
    NotAFileError,
    TooLargeError,
    ToolError,
    WorkspaceError,
    WriteFailedError,
)
from ci_toolkit.files import SAVED, ConversationFiles, SavedFile, media_type_of
from ci_toolkit.limits import Limits
from ci_toolkit.moving import send_straight
from ci_toolkit.paths import base_name
from ci_toolkit.results import FileContent, FileInfo, FileReport, Listing
from ci_toolkit.telemetry import scoped_logger

__all__ = ["save_files"]

logger = scoped_logger(__name__)


def save_files(
    paths: Sequence[str],
    *,
    sandbox: Sandbox,
    files: ConversationFiles,
    limits: Limits,
    sent: Callable[[int], None] = lambda _: None,
) -> tuple[FileReport, ...]:
    """Saves files that are new or changed, each whole or not at all, in bounded memory.

    A file that cannot be saved does not keep the others from it.

    Args:
        paths: Sandbox paths.
        sandbox: Where they are.
        files: Where they go.
        limits: `file_bytes` bounds each file.
        sent: Told the size of each file that had to be sent.

    Returns:
        One report for each distinct path, in order.

    Raises:
        SandboxLostError: The sandbox ended; what was stored before is recorded.
        WorkspaceError: The manifest cannot be read.
    """
    asked = list(dict.fromkeys(paths))
    saved = {entry.path: (name, entry) for name, entry in files.saved().items()}
    reports: dict[str, FileReport] = {}
    changed: list[FileInfo] = []
    listings = zip(asked, sandbox.list_files(asked), strict=True)
    found = {path: _the_file(path, listing, limits) for path, listing in listings}
    digests = _digests(
        [p for p, info in found.items() if isinstance(info, FileInfo) and p in saved], sandbox
    )
    for path, info in found.items():
        if isinstance(info, ToolError):
            reports[path] = FileReport(path=path, error=info)
        elif path in saved and saved[path][1].sha256 == digests.get(path):
            reports[path] = _report(*saved[path], remark="unchanged since it was saved")
        else:
            changed.append(info)
    stored = _store(changed, sandbox, files)
    for report in stored.values():
        if report.error is None:
            sent(report.size)
    reports.update(stored)
    return tuple(reports[path] for path in asked)


def _the_file(path: str, listing: Listing, limits: Limits) -> FileInfo | ToolError:
    """The one regular file that a path names, or why it is none."""
    if listing.error is not None:
        return listing.error
    info = next((entry for entry in listing.entries if entry.path == path), None)
    if info is None:
        return NotAFileError(f"{path!r} is a directory. Name its files, or make an archive of it.")
    if info.kind != "file":
        return NotAFileError(f"{path!r} is not a regular file.")
    if info.size > limits.file_bytes:
        return TooLargeError(
            f"{path!r} has {info.size:,} bytes; a saved file may have {limits.file_bytes:,}."
        )
    return info


def _digests(paths: list[str], sandbox: Sandbox) -> dict[str, str]:
    """Digests of files that may be unchanged, reckoned where they are."""
    if not paths:
        return {}
    listings = sandbox.list_files(paths, checksums=True)
    return {entry.path: entry.sha256 for listing in listings for entry in listing.entries}


def _store(
    changed: list[FileInfo], sandbox: Sandbox, files: ConversationFiles
) -> dict[str, FileReport]:
    if not changed:
        return {}
    entries: dict[str, SavedFile] = {}
    errors: dict[str, ToolError] = {}
    try:
        names = files.reserve([info.path for info in changed])
        for path, result in _results(changed, names, sandbox, files):
            if isinstance(result, SavedFile):
                entries[names[path]] = result
            else:
                errors[path] = result
    except WorkspaceError as error:
        errors = {info.path: _refused(info.path, error) for info in changed}
    finally:
        unrecorded = _record(entries, files)
    reports = {path: FileReport(path=path, error=error) for path, error in errors.items()}
    for name, entry in entries.items():
        if unrecorded is None:
            reports[entry.path] = _report(name, entry, remark=_renamed(name, entry.path))
        else:
            reports[entry.path] = FileReport(path=entry.path, error=unrecorded)
    return reports


def _results(
    changed: list[FileInfo], names: dict[str, str], sandbox: Sandbox, files: ConversationFiles
) -> Iterator[tuple[str, SavedFile | ToolError]]:
    """What became of each file, by its path."""
    rest = []
    for info in changed:
        sent = send_straight(names[info.path], info, files, sandbox)
        if sent is None:
            rest.append(info.path)
        else:
            yield info.path, sent
    for content in sandbox.read_files(rest) if rest else ():
        yield content.path, _store_one(names[content.path], content, files)


def _store_one(name: str, content: FileContent, files: ConversationFiles) -> SavedFile | ToolError:
    if content.error is not None:
        return content.error
    try:
        return files.store(name, content.path, content.chunks)
    except TooLargeError as error:
        return error
    except WorkspaceError as error:
        return _refused(content.path, error)


def _record(entries: dict[str, SavedFile], files: ConversationFiles) -> ToolError | None:
    try:
        files.record(entries)
    except WorkspaceError as error:
        return _refused(", ".join(entry.path for entry in entries.values()), error)
    return None


def _refused(path: str, error: CodeInterpreterError) -> ToolError:
    logger.error("Saving %r failed: %s", path, error, exc_info=error)
    return WriteFailedError(
        "The workspace could not store it. The file is still in the sandbox; save it again later."
    )


def _renamed(name: str, path: str) -> str:
    if name == base_name(path):
        return ""
    return f"under another name, since {base_name(path)!r} was saved from another place"


def _report(name: str, entry: SavedFile, *, remark: str) -> FileReport:
    return FileReport(
        path=entry.path,
        size=entry.size,
        media_type=media_type_of(name),
        stored=f"{SAVED}{name}",
        remark=remark,
    )
