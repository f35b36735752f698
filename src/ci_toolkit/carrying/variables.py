"""Variables of Python out of one sandbox's process into another's, by programs that run there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, StringConstraints, ValidationError

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.carrying.files import bounded
from ci_toolkit.errors import ToolError
from ci_toolkit.results import FileWrite

__all__ = ["CarriedVariables", "carry_variables"]

_GUEST: Final = Path(__file__).parent / "guest"
_FOLDER: Final = ".ci/carrying"
_PICKLE: Final = f"{_FOLDER}/variables.pickle"
_SAVED: Final = f"{_FOLDER}/saved.json"
_LOADED: Final = f"{_FOLDER}/loaded.json"
_SECONDS: Final = 120.0
_REPORT_BYTES: Final = 4 * 1024 * 1024
# More than the program writes, whatever it is in a sandbox that answers in its place.
_MOST_BYTES: Final = 600 * 1024 * 1024

_Text = Annotated[str, StringConstraints(max_length=500)]


@dataclass(frozen=True, kw_only=True)
class CarriedVariables:
    """What became of the variables.

    Attributes:
        there: The names that the new process has.
        left: The names that it has not, and why.
        failed: Why nothing is known of any; empty otherwise.
    """

    there: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict)
    failed: str = ""


class _Report(BaseModel):
    """What the program in a sandbox tells; believed in nothing but its form."""

    variables: list[_Text] = []
    left: dict[_Text, _Text] = {}
    broken: list[_Text] = []


def carry_variables(old: Sandbox, new: Sandbox) -> CarriedVariables:
    """Takes over what can be written down of one process's variables into another's.

    Functions, classes and imports are taken as well; what two variables share is shared again.
    Connections, open files, threads and the like cannot be. One that cannot be read, such as one
    of a package that only the old sandbox has, costs itself alone.

    Raises:
        BackendError: As the sandboxes raise it.
        TooLargeError: The old sandbox gives more than it may.
    """
    try:
        carried = _carry(old, new)
        if isinstance(carried, _Report) and carried.broken:
            carried = _carry_all_but_broken(old, new)
    finally:
        for sandbox in (old, new):
            sandbox.remove_files([_FOLDER])
    if isinstance(carried, str):
        return CarriedVariables(failed=carried)
    return CarriedVariables(there=tuple(sorted(set(carried.variables))), left=carried.left)


def _carry_all_but_broken(old: Sandbox, new: Sandbox) -> _Report | str:
    """Finds out what cannot be read, and carries the rest together."""
    apart = _carry(old, new, apart=True)
    if isinstance(apart, str):
        return apart
    together = _carry(old, new, without=apart.broken)
    if isinstance(together, str) or together.broken:
        return apart
    left = {name: apart.left.get(name, "") for name in apart.broken}
    return together.model_copy(update={"left": {**together.left, **left}})


def _carry(
    old: Sandbox, new: Sandbox, *, without: Sequence[str] = (), apart: bool = False
) -> _Report | str:
    """What the new sandbox tells, or why it tells nothing."""
    if _run(old, "save", f"namespace, folder, {list(without)!r}, apart={apart!r}", _SAVED) is None:
        return "they could not be written down"
    _copy(old, new)
    return _run(new, "load", "namespace, folder", _LOADED) or "they could not be read again"


def _run(sandbox: Sandbox, name: str, arguments: str, report: str) -> _Report | None:
    """Runs a program in the process of Python; gives what it reports, or None."""
    sandbox.write_files([FileWrite(path=f"{_FOLDER}/{p}", chunks=[c]) for p, c in _library()])
    source = (_GUEST / f"{name}.py").read_text(encoding="utf-8") + f"\n\n{name}({arguments})\n"
    folder = f"{sandbox.working_directory}/{_FOLDER}"
    # A namespace of its own: nothing of the program is seen among the user's variables. And no
    # word that the user may have given another meaning.
    code = (
        f'__import__("builtins").exec({source!r}, '
        f'{{"namespace": __import__("builtins").globals(), "folder": {folder!r}}})'
    )
    try:
        sandbox.remove_files([report])
        sandbox.execute_code(code, timeout=_SECONDS)
        (content,) = sandbox.read_files([report])
        told = b"".join(bounded(content.chunks, _REPORT_BYTES))
    except ToolError:
        return None
    try:
        return _Report.model_validate_json(told)
    except ValidationError:
        return None


def _copy(old: Sandbox, new: Sandbox) -> None:
    contents = (c for c in old.read_files([_PICKLE, _SAVED]) if c.error is None)
    new.write_files(
        FileWrite(path=content.path, chunks=bounded(content.chunks, _MOST_BYTES))
        for content in contents
    )


@cache
def _library() -> tuple[tuple[str, bytes], ...]:
    """The source of cloudpickle, which not every sandbox has."""
    package = resources.files("cloudpickle")
    return tuple(
        (f"cloudpickle/{file.name}", file.read_bytes())
        for file in package.iterdir()
        if file.name.endswith(".py")
    )
