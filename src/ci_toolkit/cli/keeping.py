"""Files that a program made, from its sandbox to a folder of the user's."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import uuid4

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.errors import ConfigurationError, ToolError
from ci_toolkit.results import Image

__all__ = ["Files", "keep_files", "keep_images", "made_since", "user_files"]


@dataclass(frozen=True, kw_only=True)
class Files:
    """The user's files in a sandbox.

    Attributes:
        states: Paths, and what tells one state of a file from another.
        complete: Whether these are all.
    """

    states: dict[str, tuple[float, int]]
    complete: bool


_LITTER = {"__pycache__", "node_modules"}


def user_files(sandbox: Sandbox) -> Files:
    """What lies in the working directory, without hidden files and what runtimes leave there."""
    (listing,) = sandbox.list_files(["."], recursive=True)
    states = {
        entry.path: (entry.changed, entry.size)
        for entry in listing.entries
        if entry.kind == "file"
        and not any(part.startswith(".") or part in _LITTER for part in entry.path.split("/"))
    }
    return Files(states=states, complete=listing.complete)


def made_since(before: Files, after: Files) -> list[str]:
    """The files that are new or changed."""
    return [path for path, state in after.states.items() if before.states.get(path) != state]


def keep_files(sandbox: Sandbox, paths: Iterable[str], folder: Path) -> list[str]:
    """Copies files of the sandbox into a folder, where they replace those of the same names.

    Nothing is written outside the folder, whatever the sandbox says and whatever links are there.

    Returns:
        Why files were not kept, a line for each.
    """
    problems = []
    for content in sandbox.read_files(list(paths)):
        problem: Exception | None = content.error
        if problem is None:
            try:
                _write(_target(folder, content.path), content.chunks)
            except (ConfigurationError, ToolError) as error:
                problem = error
        if problem is not None:
            problems.append(f"{content.path} was not kept: {problem}")
    return problems


def keep_images(images: Iterable[Image], taken: Iterable[str], folder: Path) -> list[str]:
    """Writes figures into a folder, under names that no kept file has; returns the names."""
    used = set(taken)
    names = []
    for image in images:
        name, number = image.name, 1
        while name in used:
            number += 1
            name = f"{Path(image.name).stem}-{number}{Path(image.name).suffix}"
        used.add(name)
        _write(_target(folder, name), [image.data])
        names.append(name)
    return names


def _target(folder: Path, path: str) -> Path:
    """Where a file of this path belongs.

    Raises:
        ConfigurationError: Outside the folder.
    """
    pure = PurePosixPath(path)
    target = folder.joinpath(*pure.parts)
    inside = not pure.is_absolute() and ".." not in pure.parts and pure.parts
    try:
        reached = target.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # Links in a circle, or no path at all.
        reached = False
    if not inside or not reached:
        raise ConfigurationError(f"{path!r} would lie outside {str(folder)!r}.")
    return target


def _write(target: Path, chunks: Iterable[bytes]) -> None:
    """Writes a file whole or not at all."""
    new = target.with_name(f".{uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with new.open("xb") as file:
            file.writelines(_nonempty(chunks))
        new.replace(target)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {target}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            new.unlink()


def _nonempty(chunks: Iterable[bytes]) -> Iterator[bytes]:
    return (chunk for chunk in chunks if chunk)
