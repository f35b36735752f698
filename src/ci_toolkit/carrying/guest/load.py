"""Takes the variables of another sandbox of the same session over, inside the new one."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
from typing import Any


def load(namespace: dict[str, Any], folder: str) -> None:
    """Reads what `save` wrote into the user's namespace; writes `loaded.json`."""
    with open(os.path.join(folder, "saved.json")) as file:
        saved = json.load(file)
    there: list[str] = []
    left: dict[str, str] = dict(saved["left"])
    missing = ""
    for name, module in saved["modules"].items():
        try:
            namespace[name] = importlib.import_module(module)
            there.append(name)
        except BaseException as error:
            left[name] = f"{type(error).__name__}: {str(error)[:100]}"
    try:
        values = read(folder, saved["python"])
        namespace.update(values)
        there.extend(values)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        left.update(dict.fromkeys(saved["variables"], f"it needs the package {missing}"))
    except BaseException as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        left.update(dict.fromkeys(saved["variables"], reason))
    try:
        if os.getcwd() != saved["directory"]:
            os.chdir(saved["directory"])
    except OSError:
        pass  # It was none of the folders that were carried over.
    with open(os.path.join(folder, "loaded.json"), "w") as file:
        json.dump({"variables": there, "left": left, "missing": missing}, file)


def read(folder: str, python: list[int]) -> dict[str, Any]:
    """The variables; a version of Python reads only its own."""
    if python != list(sys.version_info[:2]):
        raise RuntimeError("another version of Python")
    sys.path.insert(0, folder)
    try:
        with open(os.path.join(folder, "variables.pickle"), "rb") as file:
            return dict(pickle.load(file))
    finally:
        sys.path.remove(folder)
