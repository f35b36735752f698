"""Checks the types of TypeScript beside its run; used by the JavaScript kernel.

Knows all cells of the session and asks `deno lsp` about the newest. A check can fail or be late
without any harm to the run: then there is nothing to tell.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from language_server import LanguageServer, ServerGoneError
from notebook import Notebook, Server, going_on, with_cell, without_marks

__all__ = ["TypeCheck"]

# How long a run may have to wait for its check, in seconds.
FIRST_WAIT, LATER_WAIT = 5.0, 2.0
ANSWER_SECONDS = 10.0
MAX_RESIDENT_BYTES = 600_000_000
HEAP_MEGABYTES = 512
# A session longer than this is not checked any more.
MAX_CELLS, MAX_CHARS = 400, 1_000_000
MAX_TOLD, MAX_MESSAGE_CHARS = 10, 300

ERROR = 1
# What a cell may do here, other than a module: return at the top level, import what was not loaded
# yet (the run tells), hold namespaces, and leave out types.
RETURN_AT_TOP, CANNOT_FIND_MODULE, IMPORT_ASSIGNMENT, NAMESPACE = 1108, 2307, 1202, 1280
ALLOWED = frozenset({RETURN_AT_TOP, CANNOT_FIND_MODULE, IMPORT_ASSIGNMENT, NAMESPACE})
IMPLICIT_ANY = range(7000, 8000)
UNKNOWN_NAMES = frozenset({2304, 2552, 2580, 2582, 2583, 2584, 2591})
FILE_IMPORT = re.compile(r"""(?:from|import|import\()\s*["'](\.{0,2}/[^"'\n]+)["']""")
QUOTED = re.compile(r"'([\w$]+)'")


class TypeCheck:
    """The type checks of one session.

    Args:
        deno_path: The `deno` program.
        env: The environment of the language server, `DENO_DIR` included.
        directory: Where imports of files are looked for.
    """

    def __init__(self, deno_path: str, *, env: dict[str, str], directory: str) -> None:
        self._deno_path = deno_path
        self._env = {**env, "DENO_V8_FLAGS": f"--max-old-space-size={HEAP_MEGABYTES}"}
        self._directory = directory
        self._cells: Notebook = ()
        self._next: Notebook = ()
        self._server: LanguageServer | None = None
        self._notebook: Server | None = None
        self._whole: Server | None = None
        self._answered = False
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._wait = LATER_WAIT
        self._found: list[str] = []

    def begin(self, code: str, language: str) -> None:
        """Takes the next cell, and starts to check it when it is TypeScript."""
        self._found = []
        if len(self._cells) >= MAX_CELLS or sum(len(c.text) for c in self._cells) > MAX_CHARS:
            self.close()
            return
        self._next = with_cell(self._cells, code, language)
        if language != "typescript":
            return
        earlier = self._thread if self._thread and self._thread.is_alive() else None
        if earlier is None:
            self._began = time.monotonic()
        elif time.monotonic() > self._began + 2 * ANSWER_SECONDS:
            self._end_server()
        self._wait = LATER_WAIT if self._answered else FIRST_WAIT
        arguments = self._next, self._found, earlier
        self._thread = threading.Thread(target=self._check, args=arguments, daemon=True)
        self._thread.start()

    def finish(self, *, begun: bool, wait: float) -> list[str]:
        """Gives what the check has found, for people to read.

        Args:
            begun: Whether the cell has begun to run; if not, it is forgotten.
            wait: The most seconds to wait for the check.
        """
        if begun:
            self._cells = self._next
        self._next = self._cells
        if self._thread is None:
            return []
        self._thread.join(max(0.0, min(wait, self._wait)))
        return self._found if begun and not self._thread.is_alive() else []

    def forget(self) -> None:
        """Forgets all cells, as the kernel has."""
        self._cells = self._next = ()

    def close(self) -> None:
        """Ends the language server."""
        self._end_server()

    def _check(self, cells: Notebook, found: list[str], earlier: threading.Thread | None) -> None:
        if earlier:
            earlier.join()
        # Code in the sandbox may have ended the server: then once more with a new one.
        for _ in range(2):
            try:
                if self._notebook is None:
                    self._start_server()
                if self._notebook and self._whole:
                    self._tell_of_files(cells)
                    found += _told(_errors(self._notebook, self._whole, cells))
                    self._answered = True
                break
            except (ServerGoneError, OSError, LookupError, TypeError, ValueError):
                self._end_server()
        if self._server and self._server.resident_bytes > MAX_RESIDENT_BYTES:
            self._end_server()

    def _start_server(self) -> None:
        server = LanguageServer(self._deno_path, env=self._env, directory=self._directory)
        self._server = server
        server.initialize(ANSWER_SECONDS)
        self._whole = Server(server, f"{self._directory}/whole.ipynb")
        self._notebook = Server(server, f"{self._directory}/session.ipynb")

    def _tell_of_files(self, cells: Notebook) -> None:
        """Makes the server read files again that a cell imports, which may have changed."""
        names = {name for cell in cells for name in FILE_IMPORT.findall(cell.text)}
        paths = [os.path.normpath(os.path.join(self._directory, name)) for name in sorted(names)]
        if self._server and paths:
            changes = [{"uri": f"file://{quote(path)}", "type": 2} for path in paths]
            self._server.notify("workspace/didChangeWatchedFiles", {"changes": changes})

    def _end_server(self) -> None:
        server, self._server, self._notebook = self._server, None, None
        self._answered = False
        if server:
            server.kill()


def _errors(notebook: Server, whole: Server, cells: Notebook) -> list[dict[str, Any]]:
    """Gives what is wrong with the last cell."""
    notebook.show(cells)
    cell, before = cells[-1], cells[:-1]
    found = notebook.diagnostics(cell, ANSWER_SECONDS)
    errors = [each for each in found if _is_error(each) and not _known(each, before)]
    if not errors or not before:
        return errors
    # Each cell is checked by itself. What earlier ones assigned and made sure of (that something is
    # not null, say) counts only within one text: what is an error there too is one.
    others = tuple(each for each in before if each.language != cell.language)
    lines = [f"{going_on(each.text)}\n;" for each in before if each.language == cell.language]
    joined = replace(cell, text="\n".join([*lines, cell.text]))
    offset = sum(line.count("\n") + 1 for line in lines)
    whole.show((*others, joined))
    confirmed = {
        (each.get("code"), _place(each, offset))
        for each in whole.diagnostics(joined, ANSWER_SECONDS)
    }
    return [each for each in errors if (each.get("code"), _place(each)) in confirmed]


def _is_error(item: dict[str, Any]) -> bool:
    code = item.get("code")
    return (
        item.get("severity") == ERROR
        and item.get("source") == "deno-ts"
        and isinstance(code, int)
        and code not in ALLOWED
        and code not in IMPLICIT_ANY
    )


def _known(item: dict[str, Any], before: Notebook) -> bool:
    """Whether it is about a name that earlier cells have given to the global object."""
    name = QUOTED.search(str(item.get("message")))
    if item.get("code") not in UNKNOWN_NAMES or name is None:
        return False
    assigned = re.compile(rf"(?<![\w$]){re.escape(name[1])}\s*=(?!=)")
    return any(assigned.search(cell.text) for cell in before)


def _place(item: dict[str, Any], offset: int = 0) -> tuple[int, int]:
    start = item["range"]["start"]
    return int(start["line"]) - offset, int(start["character"])


def _told(errors: list[dict[str, Any]]) -> Iterator[str]:
    for each in sorted(errors, key=_place)[:MAX_TOLD]:
        line, column = _place(each)
        message = " ".join(without_marks(str(each["message"])).split())
        if len(message) > MAX_MESSAGE_CHARS:
            message = message[: MAX_MESSAGE_CHARS - 3] + "..."
        place = f"line {line + 1}, column {column + 1}"
        yield f"TypeScript: {place}: {message} (TS{each['code']})"
    if len(errors) > MAX_TOLD:
        yield f"TypeScript: {len(errors) - MAX_TOLD} more type errors"
