"""Paths as models write them, checked without touching a file system."""

from posixpath import isabs, normpath, relpath

from ci_toolkit.errors import InvalidArgumentsError, PathOutsideError

__all__ = ["base_name", "inside"]

_LONGEST = 4000
_LONGEST_PART = 255


def inside(path: str, working_directory: str) -> str:
    """The same path, relative to the working directory.

    Links are not looked at here: a sandbox refuses those that lead out.

    Args:
        path: Relative, or absolute within the working directory.
        working_directory: Absolute path.

    Returns:
        A normal relative path; `.` for the working directory itself.

    Raises:
        InvalidArgumentsError: The text can be no path.
        PathOutsideError: The path leaves the working directory.
    """
    if "\0" in path:
        raise InvalidArgumentsError(f"The path {path!r} holds a NUL character.")
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentsError(f"The path {path!r} is not valid Unicode.") from None
    if len(encoded) > _LONGEST or any(len(p) > _LONGEST_PART for p in encoded.split(b"/")):
        raise InvalidArgumentsError(f"The path {path[:60]!r}... is too long.")
    relative = relpath(path, working_directory) if isabs(path) else normpath(path)
    if relative == ".." or relative.startswith("../"):
        raise PathOutsideError(
            f"The path {path!r} leaves the working directory {working_directory}. "
            "Use a relative path; shell commands reach other places of the sandbox."
        )
    return relative


def base_name(path: str) -> str:
    """The last part of a path."""
    return path.rstrip("/").rpartition("/")[2]
