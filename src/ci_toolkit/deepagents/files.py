"""What is done with files by the sandbox's own verbs, in the words of deepagents."""

from collections.abc import Iterable, Sequence
from typing import Final

from deepagents.backends.protocol import (
    FILE_NOT_FOUND,
    INVALID_PATH,
    IS_DIRECTORY,
    PERMISSION_DENIED,
    DeleteResult,
    FileDownloadResponse,
    FileInfo,
    FileUploadResponse,
    LsResult,
    WriteResult,
)

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.deepagents.access import Access, told
from ci_toolkit.errors import (
    FileMissingError,
    InvalidArgumentsError,
    NotAFileError,
    PathOutsideError,
    ToolError,
    UnsupportedError,
)
from ci_toolkit.results import FileContent, FileWrite

__all__ = ["delete", "download", "first_bytes", "list_directory", "upload", "write"]

_MOST_BYTES: Final = 256 * 1024**2
"""Of one file that is downloaded, since it has to be held in memory."""

_CODES: Final[dict[type[Exception], str]] = {
    FileMissingError: FILE_NOT_FOUND,
    NotAFileError: IS_DIRECTORY,
    PathOutsideError: INVALID_PATH,
    InvalidArgumentsError: INVALID_PATH,
    UnsupportedError: PERMISSION_DENIED,
}


def _code(error: Exception) -> str:
    """The word of deepagents for an error, or a sentence where it has none."""
    return _CODES.get(type(error)) or told(error)


def upload(
    files: Sequence[tuple[str, bytes]], access: Access, cancellation: Cancellation | None = None
) -> list[FileUploadResponse]:
    """Writes files at absolute paths, with the folders above them."""
    # Of a path that is there twice, the last content counts.
    contents = {path: data for path, data in files if path.startswith("/")}

    def work(sandbox: Sandbox) -> dict[str, str | None]:
        writes = [FileWrite(path=path, chunks=[data]) for path, data in contents.items()]
        outcomes = sandbox.write_files(writes)
        return {o.path: None if o.error is None else _code(o.error) for o in outcomes}

    def failed(error: Exception) -> dict[str, str | None]:
        return dict.fromkeys(contents, _code(error))

    errors = access.run_quietly(work, failed, cancellation) if contents else {}
    return [FileUploadResponse(path=p, error=errors.get(p, INVALID_PATH)) for p, _ in files]


def download(
    paths: Sequence[str], access: Access, cancellation: Cancellation | None = None
) -> list[FileDownloadResponse]:
    """Reads files at absolute paths."""
    wanted = list(dict.fromkeys(path for path in paths if path.startswith("/")))

    def work(sandbox: Sandbox) -> dict[str, FileDownloadResponse]:
        return {content.path: _downloaded(content) for content in sandbox.read_files(wanted)}

    def failed(error: Exception) -> dict[str, FileDownloadResponse]:
        code = _code(error)
        return {path: FileDownloadResponse(path=path, error=code) for path in wanted}

    found = access.run_quietly(work, failed, cancellation) if wanted else {}
    relative = {p: FileDownloadResponse(path=p, error=INVALID_PATH) for p in paths}
    return [found.get(path, relative[path]) for path in paths]


def _downloaded(content: FileContent) -> FileDownloadResponse:
    if content.error is not None:
        return FileDownloadResponse(path=content.path, error=_code(content.error))
    try:
        data = first_bytes(content.chunks, _MOST_BYTES + 1)
    except ToolError as error:  # of this file alone, which was changed meanwhile
        return FileDownloadResponse(path=content.path, error=told(error))
    if len(data) > _MOST_BYTES:
        too_large = (
            f"The file is larger than {_MOST_BYTES:,} bytes, which is too much to hold in memory; "
            "save it to the workspace instead."
        )
        return FileDownloadResponse(path=content.path, error=too_large)
    return FileDownloadResponse(path=content.path, content=data)


def first_bytes(chunks: Iterable[bytes], most: int) -> bytes:
    """The beginning of a content: `most` bytes, or all that there is."""
    data = bytearray()
    for chunk in chunks:
        data += chunk[: most - len(data)]
        if len(data) == most:
            break
    return bytes(data)


def list_directory(path: str, access: Access, cancellation: Cancellation | None = None) -> LsResult:
    """Lists what a directory holds."""

    def work(sandbox: Sandbox) -> LsResult:
        (listing,) = sandbox.list_files([path])
        if listing.error is not None:
            return failed(listing.error)
        if [entry.path for entry in listing.entries if entry.kind != "directory"] == [path]:
            return LsResult(error=f"Path '{path}': not_a_directory")
        return LsResult(
            entries=[
                FileInfo(path=entry.path, is_dir=entry.kind == "directory", size=entry.size)
                for entry in listing.entries
            ]
        )

    def failed(error: Exception) -> LsResult:
        return LsResult(error=f"Path '{path}': {told(error)}")

    return access.run_quietly(work, failed, cancellation)


def write(
    path: str, text: str, access: Access, cancellation: Cancellation | None = None
) -> WriteResult:
    """Writes a file, with the folders above it, in place of one that was there."""

    def work(sandbox: Sandbox) -> WriteResult:
        content = FileWrite(path=path, chunks=[text.encode(errors="replace")])
        (outcome,) = sandbox.write_files([content])
        if outcome.error is None:
            return WriteResult(path=path)
        result = failed(outcome.error)
        where = f"Files belong below {sandbox.working_directory} or /tmp."
        return WriteResult(error=f"{result.error} {where}")

    def failed(error: Exception) -> WriteResult:
        return WriteResult(error=f"Failed to write file '{path}': {told(error)}")

    return access.run_quietly(work, failed, cancellation)


def delete(path: str, access: Access, cancellation: Cancellation | None = None) -> DeleteResult:
    """Removes a file, a link, or a directory with all that it holds."""

    def work(sandbox: Sandbox) -> DeleteResult:
        (outcome,) = sandbox.remove_files([path])
        return DeleteResult(path=path) if outcome.error is None else failed(outcome.error)

    def failed(error: Exception) -> DeleteResult:
        if isinstance(error, FileMissingError):
            return DeleteResult(error=f"Error: '{path}' not found")
        return DeleteResult(error=f"Error deleting file '{path}': {told(error)}")

    return access.run_quietly(work, failed, cancellation)
