"""Trusted Python in this process, on the files of an `InMemorySandbox`."""

import ast
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO, TextIOBase
from threading import RLock

from ci_toolkit.backends.memory.files import FileTree
from ci_toolkit.backends.memory.opening import files_seen_by_code
from ci_toolkit.results import Stream

__all__ = ["PythonRunner"]

_Print = Callable[[str, Stream], None]
_Source = tuple[int, None, list[str], str]

# What a run replaces (standard streams, `open`) belongs to the whole process.
_ONE_AT_A_TIME = RLock()


class PythonRunner:
    """Runs cell after cell with the same variables, one at a time in the whole process.

    A run cannot be interrupted, and nothing is kept from it: only for code that one would run
    anyway. Cells see the sandbox's files through `open`, `pathlib.Path` and the everyday functions
    of `os` (see `ci_toolkit.backends.memory.opening`), so that pandas and matplotlib read and
    write them too.
    """

    def __init__(self, files: FileTree) -> None:
        self._files = files
        self._variables: dict[str, object] = {"__name__": "__main__"}
        self._sources: dict[str, _Source] = {}

    def run(self, code: str, write: _Print) -> int:
        """Runs one cell and prints the value of its last expression.

        Returns:
            The exit code: 1 after an exception, what `sys.exit` was given, or 0.
        """
        cell = f"<cell {len(self._sources) + 1}>"
        self._sources[cell] = (len(code), None, code.splitlines(keepends=True), cell)
        with _ONE_AT_A_TIME, self._surroundings(write):
            try:
                self._execute(code, cell)
            except SystemExit as end:
                return _exit_code(end)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the cell's answer
                sys.stderr.write("".join(_traceback(error).format()))
                return 1
        return 0

    def _execute(self, code: str, cell: str) -> None:
        tree = ast.parse(code, cell)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, cell, "exec"), self._variables)  # noqa: S102 - the class's purpose
        if isinstance(last, ast.Expr):
            value = compile(ast.Expression(last.value), cell, "eval")
            result = eval(value, self._variables)  # noqa: S307 - the class's purpose
            if result is not None:
                sys.stdout.write(f"{result!r}\n")

    @contextmanager
    def _surroundings(self, write: _Print) -> Iterator[None]:
        stdin, sys.stdin = sys.stdin, StringIO()
        linecache.cache.update(self._sources)
        try:
            with (
                redirect_stdout(_Stream("stdout", write)),
                redirect_stderr(_Stream("stderr", write)),
                files_seen_by_code(self._files),
            ):
                yield
        finally:
            sys.stdin = stdin
            for cell in self._sources:
                linecache.cache.pop(cell, None)


class _Stream(TextIOBase):
    def __init__(self, name: Stream, write: _Print) -> None:
        self._name = name
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._write(text, self._name)
        return len(text)


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code
    sys.stderr.write(f"{end.code}\n")
    return 1


def _traceback(error: BaseException) -> traceback.TracebackException:
    """A traceback that shows the cells' lines only, in the causes of the error as well."""
    told = traceback.TracebackException.from_exception(error)
    waiting = [told]
    while waiting:
        one = waiting.pop()
        one.stack = traceback.StackSummary.from_list(
            [frame for frame in one.stack if frame.filename.startswith("<cell ")]
        )
        waiting += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        waiting += one.exceptions or []
    return told
