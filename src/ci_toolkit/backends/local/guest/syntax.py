"""Parses JavaScript and TypeScript, and changes stretches of it; between a cell and its readers.

Needs the packages tree-sitter and tree-sitter-typescript.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tree_sitter import Language, Node, Parser
from tree_sitter_typescript import language_tsx, language_typescript

__all__ = ["FUNCTIONS", "Edit", "Node", "apply", "names_in", "parse", "text_of", "walk"]

PARSERS = [Parser(Language(language())) for language in (language_typescript, language_tsx)]

FUNCTIONS = frozenset(
    {
        "arrow_function",
        "class_body",
        "function_declaration",
        "function_expression",
        "generator_function",
        "generator_function_declaration",
        "method_definition",
    }
)

# Of a pattern like `{ a: b = c }`, the fields that hold no name which it declares.
NO_NAMES = frozenset({"key", "right", "type", "value"})


@dataclass(frozen=True)
class Edit:
    """A stretch of bytes to put something around, or to replace."""

    start: int
    end: int
    before: str = ""
    after: str = ""
    replacement: str = ""


def parse(code: str) -> Node | None:
    """Gives the program; None when it is not well formed."""
    roots = (parser.parse(code.encode()).root_node for parser in PARSERS)
    return next((root for root in roots if not root.has_error), None)


def walk(root: Node) -> Iterator[tuple[Node, bool]]:
    """Gives each node, an outer one before those inside it, and whether no function holds it."""
    pending = [(root, True)]
    while pending:
        node, top = pending.pop()
        top = top and node.type not in FUNCTIONS
        yield node, top
        pending += [(child, top) for child in node.children]


def text_of(node: Node) -> str:
    """Gives the node's source."""
    return (node.text or b"").decode()


def names_in(pattern: Node) -> Iterator[str]:
    """Gives the names that the left side of a declaration declares."""
    if pattern.type in ("identifier", "shorthand_property_identifier_pattern"):
        yield text_of(pattern)
    for number, child in enumerate(pattern.children):
        field = pattern.field_name_for_child(number)
        if field not in NO_NAMES or (field == "value" and pattern.type == "pair_pattern"):
            yield from names_in(child)


def apply(code: str, edits: Iterable[Edit]) -> str:
    """Makes the changes; edits of one place come with the outer one first."""
    source = code.encode()
    edits = list(edits)
    # Where several edits meet, the inner one closes first and the outer one opens first.
    cuts = [(edit.end, edit.end, edit.after) for edit in reversed(edits) if edit.after]
    for edit in edits:
        if edit.replacement:
            cuts.append((edit.start, edit.end, edit.replacement))
        else:
            cuts.append((edit.start, edit.start, edit.before))
    pieces, at = [], 0
    for start, end, text in sorted(cuts, key=lambda cut: cut[0]):
        pieces += [source[at:start], text.encode()]
        at = end
    return b"".join([*pieces, source[at:]]).decode()
