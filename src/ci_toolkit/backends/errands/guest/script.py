"""Runs a Python script as a kernel runs a cell: the value of a last expression is printed.

The host hands this text to `python3 -c`, with the script's path behind it.
"""

# The standard library only, and old ways with paths: this text is sent with every run.
# ruff: noqa: PTH123, S102, S307, T201

import ast
import linecache
import os
import sys
import traceback
import types
from typing import Any


def main() -> None:
    """Runs the script; what it raises ends the process as it would end Python itself."""
    with open(sys.argv[1], "rb") as file:
        source = file.read().decode("utf-8", "replace")
    sys.argv[:] = [""]
    os.environ.setdefault("MPLBACKEND", "Agg")
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    name = "<code>"
    lines = f"{source}\n".splitlines(keepends=True)  # the last one has to have its end, too
    linecache.cache[name] = (len(source), None, lines, name)
    try:
        _run(ast.parse(source, name), name, module.__dict__)
    except Exception as error:  # noqa: BLE001 - told as Python tells it
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename != name:
            frames = frames.tb_next
        traceback.print_exception(type(error), error, frames)
        sys.exit(1)


def _run(tree: ast.Module, name: str, names: dict[str, Any]) -> None:
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), name, "eval"), names)
        if value is not None:
            print(repr(value))


if __name__ == "__main__":
    main()
