"""Writes the variables of a session into a file, inside its own sandbox and its own process."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# What IPython sets anew with every cell, and what every module has.
OWN = re.compile(r"_+|_i+|_i?\d+|_[iod]h|_exit_code|__\w+__")
# What IPython and its surroundings give, unless the user has given it another meaning.
SHELL = {"In", "Out", "exit", "quit", "get_ipython", "open"}
# A module that only the two programs know, for what is another thing on the other side.
SIDE = "_ci_toolkit_side"
MOST_BYTES = 256 * 1024 * 1024
MOST_NAMES = 2000
MOST_MODULES = 500


def save(namespace: dict[str, Any], folder: str, without: list[str], *, apart: bool) -> None:
    """Writes `variables.pickle` and `saved.json`.

    Args:
        namespace: The user's.
        folder: Where `cloudpickle` lies, and where the files go.
        without: Names that are left out.
        apart: Whether each variable is written by itself, so that one that cannot be read costs no
            other; what two share is then no longer shared.
    """
    dumps = pickler(namespace, folder)
    modules: dict[str, list[str]] = {}
    pieces: dict[str, bytes] = {}
    left: dict[str, str] = {}
    room = MOST_BYTES
    for number, name in enumerate(n for n in names_of(namespace) if n not in without):
        try:
            value = namespace[name]
            if isinstance(value, types.ModuleType):
                modules[name] = modules_of(value)
                continue
            data = dumps({name: value}) if number < MOST_NAMES else b""
        except BaseException as error:
            left[name] = reason(error)
            continue
        if not data:
            left[name] = f"there are more than {MOST_NAMES} variables"
        elif len(data) > room:
            left[name] = f"too large, {len(data)} bytes"
        else:
            room -= len(data)
            pieces[name] = data
    groups = [[name] for name in pieces]
    written = list(pieces.values())
    if not apart:
        # All in one, so that what two variables share is shared again; where that can be.
        with suppress(BaseException):
            written = [dumps({name: namespace[name] for name in pieces})]
            groups = [list(pieces)]
    with open(os.path.join(folder, "variables.pickle"), "wb") as file:
        pickle.dump(written, file)
    report = {
        "python": list(sys.version_info[:2]),
        "modules": modules,
        "groups": groups,
        "variables": list(pieces),
        "left": left,
        "directory": os.getcwd(),
        "path": [entry for entry in sys.path if isinstance(entry, str)],
    }
    with open(os.path.join(folder, "saved.json"), "w") as file:
        json.dump(report, file)


def pickler(namespace: dict[str, Any], folder: str) -> Callable[[object], bytes]:
    """Gives what `cloudpickle.dumps` is, for functions that stay in the user's namespace."""
    sys.path.insert(0, folder)
    try:
        import cloudpickle
    finally:
        sys.path.remove(folder)

    class Here:
        __module__ = SIDE

        def __reduce__(self) -> str:
            return "here"

    # The library has no types.
    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            reduced = super().reducer_override(value)
            in_user_s = isinstance(value, types.FunctionType) and value.__globals__ is namespace
            if not in_user_s or not isinstance(reduced, tuple) or len(reduced) != 6:
                return reduced
            # By itself it would get a namespace of its own, and see no later change of a variable.
            make, (code, _, *more), (attributes, slots), *rest = reduced
            slots = {**slots, "__globals__": {}}
            return (make, (code, here, *more), (attributes, slots), *rest)

    here = Here()
    side: Any = types.ModuleType(SIDE)
    side.here = here

    def dumps(value: object) -> bytes:
        sys.modules[SIDE] = side
        try:
            file = io.BytesIO()
            Pickler(file).dump(value)
            return file.getvalue()
        finally:
            del sys.modules[SIDE]

    return dumps


def names_of(namespace: dict[str, Any]) -> list[str]:
    """The user's own names."""
    shell = namespace.get("get_ipython")
    hidden = getattr(shell(), "user_ns_hidden", {}) if callable(shell) else {}

    def own(name: object) -> bool:
        if not isinstance(name, str) or not name.isidentifier() or OWN.fullmatch(name):
            return False
        value = namespace[name]
        if name in SHELL and callable(shell):
            return name not in ("In", "Out") and not callable(value)
        return hidden.get(name, hidden) is not value

    return [name for name in list(namespace) if own(name)]


def modules_of(module: types.ModuleType) -> list[str]:
    """A module, and those below it that were imported too."""
    name = module.__name__
    below = [each for each in list(sys.modules) if each.startswith(f"{name}.")]
    return [name, *sorted(below)[:MOST_MODULES]]


def reason(error: BaseException) -> str:
    """Why a variable cannot be carried."""
    try:
        text = f"{type(error).__name__}: {str(error)[:100]}"
    except BaseException:
        text = "it cannot be written down"
    return text.encode(errors="backslashreplace").decode()
