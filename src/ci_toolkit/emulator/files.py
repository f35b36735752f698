"""The four file tools: paths relative to the working directory, `file:///` names, link blocks."""

import base64
from collections.abc import Callable, Mapping, Sequence
from mimetypes import MimeTypes
from posixpath import basename, isabs, normpath
from typing import Any

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.emulator.answers import Result, told
from ci_toolkit.emulator.refusals import invalid
from ci_toolkit.errors import FileMissingError
from ci_toolkit.results import FileContent, FileInfo, FileOutcome, FileWrite

__all__ = ["FILE_TOOLS", "litter"]

_TYPES = MimeTypes(filenames=())  # The same on every machine, whatever it has installed.
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript")
_LITTER = {
    ".ipython/profile_default/.keep": b"",
    "log/.keep": b"",
    "node_modules/.package-lock.json": b"{}\n",
    "nodejs-js-execution/.keep": b"",
    "nodejs-ts-execution/.keep": b"",
    "package-lock.json": b"{}\n",
    "package.json": b"{}\n",
    "run/.keep": b"",
}


def litter(sandbox: Sandbox) -> None:
    """Leaves what the service's own runtime leaves in a new session's working directory."""
    sandbox.write_files([FileWrite(path=p, chunks=[data]) for p, data in _LITTER.items()])


def _write(sandbox: Sandbox, arguments: Mapping[str, Any], _: int) -> Result:
    blocks: Sequence[Mapping[str, Any]] = arguments.get("content") or ()
    if not blocks:
        return told("Error: writeFiles needs 'content'.", error=True)
    paths = [block["path"] for block in blocks]
    bare = [b["path"] for b in blocks if ("text" in b) == ("blob" in b)]
    problem = (
        f"exactly one of 'text' and 'blob' is needed for {bare[0]!r}"
        if bare
        else _problem(paths) or _occupied(sandbox, paths)
    )
    if problem:
        return told(f"Error writing files: {problem}", error=True)
    outcomes = sandbox.write_files([FileWrite(path=b["path"], chunks=[_data(b)]) for b in blocks])
    return _done(outcomes, "writing", f"Successfully wrote all {len(blocks)} files")


def _remove(sandbox: Sandbox, arguments: Mapping[str, Any], _: int) -> Result:
    paths: Sequence[str] = arguments.get("paths") or ()
    problem = _problem(paths) if paths else "removeFiles needs 'paths'"
    if problem:
        return told(f"Error removing files: {problem}", error=True)
    outcomes = sandbox.remove_files(paths)
    return _done(outcomes, "removing", f"Successfully removed all {len(paths)} files")


def _read(sandbox: Sandbox, arguments: Mapping[str, Any], limit: int) -> Result:
    paths: Sequence[str] = arguments.get("paths") or ()
    problem = _problem(paths) if paths else "readFiles needs 'paths'"
    if problem:
        return told(f"Error reading files: {problem}", error=True)
    content: list[dict[str, Any]] = []
    left = limit
    for file in sandbox.read_files(paths):
        if file.error is not None:
            return told(f"Error reading files: {_words(file.path, file.error)}", error=True)
        left -= file.size
        if left < 0:
            raise invalid(f"The response is larger than {limit} bytes.")
        content.append(_resource(file))
    return {"content": content, "isError": False}


def _list(sandbox: Sandbox, arguments: Mapping[str, Any], _: int) -> Result:
    path = arguments.get("directoryPath") or arguments.get("path") or ""
    if problem := _problem([path]):
        return told(f"Error listing files: {problem}", error=True)
    (listing,) = sandbox.list_files([path])
    if listing.error is not None:
        return told(f"Error listing files: {_words(path, listing.error)}", error=True)
    return {"content": [_link(entry) for entry in listing.entries], "isError": False}


FILE_TOOLS: Mapping[str, Callable[[Sandbox, Mapping[str, Any], int], Result]] = {
    "listFiles": _list,
    "readFiles": _read,
    "removeFiles": _remove,
    "writeFiles": _write,
}
"""By name, what each does with a sandbox, its arguments, and the most bytes of a result."""


def _problem(paths: Sequence[str]) -> str:
    """Why the service refuses a path, whatever is there; empty when it does not."""
    for path in paths:
        if isabs(path) or ".." in path.split("/"):
            return f"path traversal detected in {path!r}: use a path relative to the root"
        if "\0" in path:
            return f"invalid path {path!r}"
    return ""


def _occupied(sandbox: Sandbox, paths: Sequence[str]) -> str:
    """Which path cannot be written, because something else than a file is there or above it."""
    for path, listing in zip(paths, sandbox.list_files(paths), strict=True):
        if not path or normpath(path) == ".":
            return f"invalid path {path!r}"
        if listing.error is None and not _is_file(path, listing.entries):
            return f"[Errno 21] Is a directory: {path!r}"
        if listing.error is not None and not isinstance(listing.error, FileMissingError):
            return f"{path!r}: {listing.error}"
    above = sorted({p for path in paths for p in _parents(normpath(path))})
    for path, listing in zip(above, sandbox.list_files(above), strict=True):
        if listing.error is None and _is_file(path, listing.entries):
            return f"[Errno 20] Not a directory: {path!r}"
    return ""


def _is_file(path: str, entries: Sequence[FileInfo]) -> bool:
    return [(e.path, e.kind) for e in entries] == [(path, "file")]


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _data(block: Mapping[str, Any]) -> bytes:
    data: bytes = block["blob"] if "blob" in block else block["text"].encode()
    return data


def _done(outcomes: Sequence[FileOutcome], verb: str, success: str) -> Result:
    failed = [_words(o.path, o.error) for o in outcomes if o.error is not None]
    if failed:
        return told(f"Error {verb} files: {'; '.join(failed)}", error=True)
    return told(success)


def _words(path: str, error: Exception) -> str:
    if isinstance(error, FileMissingError):
        return f"[Errno 2] No such file or directory: {path!r}"
    return f"{path!r}: {error}"


def _resource(file: FileContent) -> dict[str, Any]:
    data = b"".join(file.chunks)
    media_type = _TYPES.guess_type(file.path)[0]
    texty = media_type is None or media_type.startswith(_TEXTS) or media_type.endswith("+xml")
    resource: dict[str, Any] = {"uri": _uri(file.path)}
    try:
        text = data.decode() if texty else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        media_type = media_type or "application/octet-stream"
        body = {"mimeType": media_type, "blob": base64.b64encode(data).decode()}
        return {"type": "resource", "resource": {"type": "blob", **resource, **body}}
    body = {"mimeType": media_type or "text/plain", "text": text}
    return {"type": "resource", "resource": {"type": "text", **resource, **body}}


def _link(entry: FileInfo) -> dict[str, Any]:
    directory = entry.kind == "directory"
    media_type = None if directory else _TYPES.guess_type(entry.path)[0]
    return {
        "type": "resource_link",
        **({"mimeType": media_type} if media_type else {}),
        "uri": _uri(entry.path),
        "name": basename(entry.path),
        "description": "Directory" if directory else "File",
    }


def _uri(path: str) -> str:
    """Not percent-encoded: clients strip the scheme and take the rest as it is."""
    return f"file:///{normpath(path)}"
