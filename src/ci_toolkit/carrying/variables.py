"""Variables of Python out of one sandbox's process into another's, by programs that run there."""

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, StringConstraints, ValidationError

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.errors import ToolError
from ci_toolkit.results import FileWrite

__all__ = ["CarriedVariables", "carry_variables"]

_GUEST: Final = Path(__file__).parent / "guest"
_FOLDER: Final = ".ci/carrying"
_PICKLE: Final = f"{_FOLDER}/variables.pickle"
_SAVED: Final = f"{_FOLDER}/saved.json"
_LOADED: Final = f"{_FOLDER}/loaded.json"
_SECONDS: Final = 120.0
_ROUNDS: Final = 3
_REPORT_BYTES: Final = 4 * 1024 * 1024

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
    missing: _Text = ""


def carry_variables(old: Sandbox, new: Sandbox) -> CarriedVariables:
    """Takes over what can be written down of one process's variables into another's.

    Functions, classes and imports are taken as well; what two variables share is shared again.
    Connections, open files, threads and the like cannot be. A package that only the old sandbox
    has costs the variables that need it.

    Raises:
        BackendError: As the sandboxes raise it.
    """
    without: list[str] = []
    loaded = _Report()
    for _ in range(_ROUNDS):
        if _run(old, "save", f"namespace, folder, {without!r}", _SAVED) is None:
            return CarriedVariables(failed="they could not be written down")
        _copy(old, new)
        answer = _run(new, "load", "namespace, folder", _LOADED)
        if answer is None:
            return CarriedVariables(failed="they could not be read again")
        loaded = answer
        if not loaded.missing or loaded.missing in without:
            break
        without.append(loaded.missing)
    for sandbox in (old, new):
        sandbox.remove_files([_FOLDER])
    return CarriedVariables(there=tuple(sorted(set(loaded.variables))), left=loaded.left)


def _run(sandbox: Sandbox, name: str, arguments: str, report: str) -> _Report | None:
    """Runs a program in the process of Python; gives what it reports, or None."""
    sandbox.write_files([FileWrite(path=f"{_FOLDER}/{p}", chunks=[c]) for p, c in _library()])
    source = (_GUEST / f"{name}.py").read_text(encoding="utf-8") + f"\n\n{name}({arguments})\n"
    folder = f"{sandbox.working_directory}/{_FOLDER}"
    # A namespace of its own: nothing of the program is seen among the user's variables.
    code = f'exec({source!r}, {{"namespace": globals(), "folder": {folder!r}}})'
    try:
        sandbox.execute_code(code, timeout=_SECONDS)
        (content,) = sandbox.read_files([report])
    except ToolError:
        return None
    if content.error is not None or content.size > _REPORT_BYTES:
        return None
    try:
        return _Report.model_validate_json(b"".join(content.chunks))
    except ValidationError:
        return None


def _copy(old: Sandbox, new: Sandbox) -> None:
    contents = (c for c in old.read_files([_PICKLE, _SAVED]) if c.error is None)
    new.write_files(FileWrite(path=content.path, chunks=content.chunks) for content in contents)


@cache
def _library() -> tuple[tuple[str, bytes], ...]:
    """The source of cloudpickle, which not every sandbox has."""
    package = resources.files("cloudpickle")
    return tuple(
        (f"cloudpickle/{file.name}", file.read_bytes())
        for file in package.iterdir()
        if file.name.endswith(".py")
    )
