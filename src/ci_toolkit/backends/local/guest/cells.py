"""Rewrites a cell of JavaScript or TypeScript before it is sent to the kernel.

Needs the packages tree-sitter and tree-sitter-typescript.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Language, Node, Parser
from tree_sitter_typescript import language_tsx, language_typescript

__all__ = ["rewrite"]

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

POSTFIX = frozenset(
    {"call_expression", "member_expression", "non_null_expression", "subscript_expression"}
)

USING = re.compile(rb"(await\s+)?using\s+[\w$]+\s*=")


@dataclass(frozen=True)
class Edit:
    """A stretch of bytes to put something around, or to replace."""

    start: int
    end: int
    before: str = ""
    after: str = ""
    replacement: str = ""


def rewrite(code: str, cell: str) -> str:
    """Makes what a cell awaits interruptible and its last value visible; lines stay what they were.

    `await X` at the top level becomes `await __ci_await(X, place)`, `for await (a of X)` gets
    `__ci_iterate(X, place)`, where the place is `cell:line:column`; awaits inside functions and
    classes belong to those. A last statement that is an expression `X` becomes `__ci_show((X))`.
    Imports become declarations with `await import`. `import.meta`, which no cell has, becomes
    `__ci_meta`. An object literal alone becomes an expression instead of a block.

    Args:
        code: Source text.
        cell: The name of the cell.

    Returns:
        The new text; the old one where it cannot be parsed.
    """
    for text in [f"({code}\n)", code] if code.lstrip().startswith("{") else [code]:
        if (root := _parse(text)) is not None:
            return _apply(text, [*_last_value(root), *_edits(root, cell)])
    return code


def _parse(code: str) -> Node | None:
    roots = (parser.parse(code.encode()).root_node for parser in PARSERS)
    return next((root for root in roots if not root.has_error), None)


def _edits(root: Node, cell: str) -> Iterator[Edit]:
    """Finds what to change, an outer node before those inside it."""
    pending = [(root, True)]
    while pending:
        node, top = pending.pop()
        top = top and node.type not in FUNCTIONS
        pending += [(child, top) for child in node.children]
        if node.type == "meta_property" and node.text == b"import.meta":
            yield Edit(node.start_byte, node.end_byte, replacement="__ci_meta")
        elif node.type == "import_statement" and (text := _import(node, cell)) is not None:
            lines = "\n" * (node.text or b"").count(b"\n")
            yield Edit(node.start_byte, node.end_byte, replacement=text + lines)
        elif top and (waited := _waited(node)) is not None:
            guard, operand, end = waited
            place = f", {_place(operand, cell)})"
            yield Edit(operand.start_byte, end, before=f"{guard}(", after=place)


def _waited(node: Node) -> tuple[str, Node, int] | None:
    """Returns the guard for what this node waits for, its operand and the operand's end."""
    if node.type == "for_in_statement" and any(child.type == "await" for child in node.children):
        right = node.child_by_field_name("right")
        return None if right is None else ("__ci_iterate", right, right.end_byte)
    if node.type != "await_expression":
        return None
    operand = [child for child in node.named_children if child.type != "comment"][-1]
    if operand.type == "assignment_expression":  # the parser's reading of `await using a = b`
        return None
    # The parser takes `await f<T>(x).y` for `(await f)<T>(x).y`, but what follows
    # belongs to the operand.
    while (above := node.parent) is not None and above.type in POSTFIX:
        if above.start_byte != node.start_byte:
            break
        node = above
    return "__ci_await", operand, max(operand.end_byte, node.end_byte)


def _place(node: Node, cell: str) -> str:
    return f'"{cell}:{node.start_point[0] + 1}:{node.start_point[1] + 1}"'


def _import(node: Node, cell: str) -> str | None:
    """Gives the declaration that does what an import does; None for `import a = require("b")`."""
    source = node.child_by_field_name("source")
    if source is None:
        return None
    if any(child.type in ("type", "typeof") for child in node.children):
        return ";"
    options = "".join(
        f", {{ with: {_text(each)} }}"
        for child in node.named_children
        if child.type == "import_attribute"
        for each in child.named_children
    )
    module = f"await __ci_await(import({_text(source)}{options}), {_place(node, cell)})"
    names, namespace = _names(node)
    if namespace:
        module, rest = namespace, f"const {namespace} = {module}; "
    else:
        rest = ""
    if names:
        return f"{rest}const {{ {', '.join(names)} }} = {module};"
    return rest or f"void {module};"


def _names(node: Node) -> tuple[list[str], str]:
    """Gives the properties that an import takes of a module, and its name for the whole."""
    names, namespace = [], ""
    for clause in node.named_children:
        for part in clause.named_children if clause.type == "import_clause" else ():
            if part.type == "identifier":
                names.append(f"default: {_text(part)}")
            elif part.type == "namespace_import":
                namespace = _text(part.named_children[-1])
            for each in part.named_children if part.type == "named_imports" else ():
                name, alias = each.child_by_field_name("name"), each.child_by_field_name("alias")
                if name is not None and each.children[0].type not in ("type", "typeof"):
                    names.append(f"{_text(name)}: {_text(alias or name)}")
    return names, namespace


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _last_value(root: Node) -> Iterator[Edit]:
    statements = [child for child in root.named_children if child.type != "comment"]
    if not statements or statements[-1].type != "expression_statement":
        return
    value = next(child for child in statements[-1].named_children if child.type != "comment")
    # The parser takes a namespace and `using a = b` for expressions.
    if value.type != "internal_module" and not USING.match(value.text or b""):
        yield Edit(value.start_byte, value.end_byte, before="__ci_show((", after="))")


def _apply(code: str, edits: list[Edit]) -> str:
    source = code.encode()
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
