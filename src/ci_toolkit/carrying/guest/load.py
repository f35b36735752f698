"""Takes the variables of another sandbox of the same session over, inside the new one."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
import types
from contextlib import suppress
from typing import Any

# As `save` has it.
SIDE = "_ci_toolkit_side"


def load(namespace: dict[str, Any], folder: str) -> None:
    """Reads what `save` wrote into the user's namespace; writes `loaded.json`."""
    with open(os.path.join(folder, "saved.json")) as file:
        saved = json.load(file)
    there: list[str] = []
    left: dict[str, str] = dict(saved["left"])
    broken: list[str] = []
    enter(saved["directory"], saved["path"])
    for name, (module, *below) in saved["modules"].items():
        try:
            namespace[name] = importlib.import_module(module)
            there.append(name)
        except BaseException as error:
            left[name] = reason(error)
            continue
        for each in below:
            with suppress(BaseException):  # It may have been there by way of another.
                importlib.import_module(each)
    if saved["python"] != list(sys.version_info[:2]):
        left.update(dict.fromkeys(saved["variables"], "another version of Python"))
    else:
        with open(os.path.join(folder, "variables.pickle"), "rb") as file:
            pieces = pickle.load(file)
        for names, data in zip(saved["groups"], pieces, strict=True):
            try:
                namespace.update(read(data, namespace, folder))
                there.extend(names)
            except BaseException as error:
                left.update(dict.fromkeys(names, reason(error)))
                broken.extend(names)
    with open(os.path.join(folder, "loaded.json"), "w") as file:
        json.dump({"variables": there, "left": left, "broken": broken}, file)


def enter(directory: str, path: list[str]) -> None:
    """Goes where the other process was, and looks for modules where it did."""
    with suppress(OSError):  # It may be none of the folders that were carried over.
        if os.getcwd() != directory:
            os.chdir(directory)
    sys.path += [entry for entry in path if entry not in sys.path and os.path.isdir(entry)]


def read(data: bytes, namespace: dict[str, Any], folder: str) -> dict[str, Any]:
    """Some variables; their functions are of this namespace."""
    side: Any = types.ModuleType(SIDE)
    side.here = namespace
    builtins = namespace.get("__builtins__")
    sys.path.insert(0, folder)
    sys.modules[SIDE] = side
    try:
        return dict(pickle.loads(data))
    finally:
        del sys.modules[SIDE]
        sys.path.remove(folder)
        if builtins is not None:
            namespace["__builtins__"] = builtins


def reason(error: BaseException) -> str:
    """Why a variable is not there."""
    try:
        if isinstance(error, ModuleNotFoundError) and error.name:
            text = f"it needs the package {error.name.partition('.')[0]}"
        else:
            text = f"{type(error).__name__}: {str(error)[:100]}"
    except BaseException:
        text = "it cannot be read again"
    return text.encode(errors="backslashreplace").decode()
