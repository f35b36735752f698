"""Writes the variables of a session into a file, inside its own sandbox and its own process."""

from __future__ import annotations

import json
import os
import sys
import types
from typing import Any

# What belongs to IPython, and what a new process has of its own.
OWN = {"In", "Out", "exit", "quit", "get_ipython", "open"}
MOST_BYTES = 256 * 1024 * 1024
MOST_NAMES = 2000


def save(namespace: dict[str, Any], folder: str, without: list[str]) -> None:
    """Writes `variables.pickle` and `saved.json`.

    Args:
        namespace: The user's.
        folder: Where `cloudpickle` lies, and where the files go.
        without: Packages that the other side does not have.
    """
    sys.path.insert(0, folder)
    try:
        import cloudpickle
    finally:
        sys.path.remove(folder)
    modules: dict[str, str] = {}
    values: dict[str, Any] = {}
    left: dict[str, str] = {}
    room = MOST_BYTES
    for name in names_of(namespace):
        value = namespace[name]
        if isinstance(value, types.ModuleType):
            modules[name] = value.__name__
            continue
        try:
            data = cloudpickle.dumps(value)
        except BaseException as error:
            left[name] = f"{type(error).__name__}: {str(error)[:100]}"
            continue
        missing = [module for module in without if module.encode() in data]
        if missing:
            left[name] = f"it needs the package {missing[0]}"
        elif len(data) > room:
            left[name] = f"too large, {len(data)} bytes"
        else:
            room -= len(data)
            values[name] = value
    # All in one, so that what two variables share is shared again.
    data = cloudpickle.dumps(values)
    with open(os.path.join(folder, "variables.pickle"), "wb") as file:
        file.write(data)
    report = {
        "python": list(sys.version_info[:2]),
        "modules": modules,
        "variables": sorted(values),
        "left": left,
        "directory": os.getcwd(),
    }
    with open(os.path.join(folder, "saved.json"), "w") as file:
        json.dump(report, file)


def names_of(namespace: dict[str, Any]) -> list[str]:
    """The user's own names, as many as there may be."""
    shell = namespace.get("get_ipython")
    hidden = set(getattr(shell(), "user_ns_hidden", ())) if callable(shell) else set()
    return [
        name
        for name in list(namespace)
        if not name.startswith("_") and name not in OWN and name not in hidden
    ][:MOST_NAMES]
