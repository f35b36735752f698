"""The cells of a session as the type check sees them; between `typecheck` and its server.

A name that is declared again is renamed in the earlier cells, so that those keep their types and
the new cell can give it another.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from declarations import declared
from language_server import LanguageServer
from syntax import Edit, Node, apply, parse, text_of, walk

__all__ = ["Cell", "Notebook", "Server", "going_on", "with_cell", "without_marks"]

IDENTIFIERS = frozenset({"identifier", "type_identifier"})
SHORTHANDS = frozenset({"shorthand_property_identifier", "shorthand_property_identifier_pattern"})
MARK = re.compile(r"__ci\d+\b")
# The language server takes these for the global ones even where a cell declares them: there they
# get other names, whose last letter is of a script that programs are not written in.
GLOBALS = frozenset(
    {
        "AbortController",
        "Blob",
        "BroadcastChannel",
        "Buffer",
        "Event",
        "EventTarget",
        "File",
        "MessageChannel",
        "ReadableStream",
        "TextDecoder",
        "TextEncoder",
        "TransformStream",
        "URL",
        "URLSearchParams",
        "Worker",
        "WritableStream",
        "clearImmediate",
        "clearInterval",
        "clearTimeout",
        "console",
        "crypto",
        "fetch",
        "performance",
        "process",
        "queueMicrotask",
        "setImmediate",
        "setInterval",
        "setTimeout",
        "structuredClone",
        "test",
    }
)
HIDDEN = 0x1401
SHOWN = re.compile(f"(?<=[A-Za-z])[{chr(HIDDEN)}-{chr(HIDDEN + 127)}]")
ENDS = re.compile(rb"(throw|return)\b")
EXIT = re.compile(rb"(process|Deno)\s*\.\s*exit\b")

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Cell:
    """One cell: its text with renamed names, and the names that it declares."""

    number: int
    language: str
    text: str
    names: frozenset[str]


Notebook = tuple[Cell, ...]


def with_cell(cells: Notebook, code: str, language: str) -> Notebook:
    """Adds a cell at the end, after renaming what it declares in those before."""
    number, root = next(_numbers), parse(code)
    own = {name for each in declared(root) for name in each.names} if root else set()
    before = {name for cell in cells for name in cell.names}
    hidden = {name: _hide(name) for name in GLOBALS if name in own or _hide(name) in before}
    names = {hidden.get(name, name) for name in own}
    cells = _without(cells, names, f"__ci{number}")
    return (*cells, Cell(number, language, _rename(code, hidden), frozenset(names)))


def _without(cells: Notebook, names: set[str], mark: str) -> Notebook:
    """Frees names by renaming them, from the cell on that declares them."""
    if not any(cell.names & names for cell in cells):
        return cells
    renamed: list[Cell] = []
    known: set[str] = set()
    for cell in cells:
        known |= cell.names & names
        text = _rename(cell.text, {name: name + mark for name in known})
        renamed.append(replace(cell, text=text, names=cell.names - names))
    return tuple(renamed)


def _hide(name: str) -> str:
    """Gives another name of the same length."""
    return name[:-1] + chr(HIDDEN + ord(name[-1]))


def going_on(text: str) -> str:
    """Gives a cell in which nothing at the top level says that what follows is never reached."""
    root, edits = parse(text), []
    for node in root.named_children if root else ():
        if match := ENDS.match(node.text or b""):
            nothing = "void 0;" if not node.named_children else "void "
            end = node.start_byte + len(match[0])
            edits.append(Edit(node.start_byte, end, replacement=nothing))
        elif EXIT.match(node.text or b""):
            edits.append(Edit(node.start_byte, node.end_byte, before="void "))
    return apply(text, edits)


def without_marks(text: str) -> str:
    """Gives renamed names their own names back."""
    return SHOWN.sub(lambda letter: chr(ord(letter[0]) - HIDDEN), MARK.sub("", text))


def _rename(text: str, names: dict[str, str]) -> str:
    if not any(name in text for name in names):
        return text
    root = parse(text)
    if root is None:
        return text
    return apply(text, [_renamed(node, names) for node, _ in walk(root) if _is_name(node, names)])


def _is_name(node: Node, names: Iterable[str]) -> bool:
    if node.type not in IDENTIFIERS | SHORTHANDS or text_of(node) not in names:
        return False
    parent = node.parent
    # `T` of `module.T`, and `a` of `import { a as b }`, are names of another module's.
    if parent is None or (
        parent.type == "nested_type_identifier" and parent.child_by_field_name("name") == node
    ):
        return False
    return not (
        parent.type == "import_specifier"
        and parent.child_by_field_name("name") == node
        and parent.child_by_field_name("alias") is not None
    )


def _renamed(node: Node, names: dict[str, str]) -> Edit:
    name = text_of(node)
    parent = "" if node.parent is None else node.parent.type
    text = names[name]
    if node.type in SHORTHANDS:
        text = f"{name}: {text}"
    elif parent == "import_specifier" and node.parent.child_by_field_name("name") == node:  # type: ignore[union-attr]
        text = f"{name} as {text}"
    elif parent == "export_specifier":
        text = f"{text} as {name}"
    return Edit(node.start_byte, node.end_byte, replacement=text)


class Server:
    """A language server that is kept in step with the notebook.

    Args:
        server: The server, which has said hello.
        path: Of the notebook, beside which imports of files are looked for; it need not exist.
    """

    def __init__(self, server: LanguageServer, path: str) -> None:
        self._server = server
        self._path = path
        self._sent: Notebook = ()
        self._version = 0

    def show(self, cells: Notebook) -> None:
        """Makes the server see these cells.

        Raises:
            ServerGoneError: It is no longer there.
        """
        self._version += 1
        document = {"uri": f"file://{self._path}", "version": self._version}
        if self._version == 1:
            kind = {"notebookType": "jupyter-notebook"}
            self._server.notify(
                "notebookDocument/didOpen",
                {
                    "notebookDocument": {**document, **kind, "cells": self._references(cells)},
                    "cellTextDocuments": [self._text(cell) for cell in cells],
                },
            )
        else:
            change = {"notebookDocument": document, "change": {"cells": self._change(cells)}}
            self._server.notify("notebookDocument/didChange", change)
        self._sent = cells

    def diagnostics(self, cell: Cell, timeout: float) -> list[dict[str, Any]]:
        """Asks what is wrong with a cell.

        Raises:
            ServerGoneError: It does not answer.
        """
        params = {"textDocument": {"uri": self._uri(cell)}}
        answer = self._server.request("textDocument/diagnostic", params, timeout)
        items = answer.get("items") if isinstance(answer, dict) else None
        return [item for item in items or () if isinstance(item, dict)]

    def _uri(self, cell: Cell) -> str:
        return f"vscode-notebook-cell:{self._path}#c{cell.number}"

    def _references(self, cells: Notebook) -> list[dict[str, Any]]:
        return [{"kind": 2, "document": self._uri(cell)} for cell in cells]

    def _text(self, cell: Cell) -> dict[str, Any]:
        document = {"uri": self._uri(cell), "version": self._version}
        return {**document, "languageId": cell.language, "text": cell.text}

    def _change(self, cells: Notebook) -> dict[str, Any]:
        same = 0
        for before, now in zip(self._sent, cells):  # noqa: B905 - up to the shorter one's end
            if before.number != now.number:
                break
            same += 1
        gone, new = self._sent[same:], cells[same:]
        array = {"start": same, "deleteCount": len(gone), "cells": self._references(new)}
        structure = {
            "array": array,
            "didOpen": [self._text(cell) for cell in new],
            "didClose": [{"uri": self._uri(cell)} for cell in gone],
        }
        changed = [now for before, now in zip(self._sent, cells[:same]) if before != now]  # noqa: B905
        return {
            "structure": structure,
            "textContent": [
                {
                    "document": {"uri": self._uri(cell), "version": self._version},
                    "changes": [{"text": cell.text}],
                }
                for cell in changed
            ],
        }
