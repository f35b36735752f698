"""Rewrites a cell of JavaScript or TypeScript before it is sent to the kernel.

Needs the packages tree-sitter and tree-sitter-typescript.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from declarations import Names
from syntax import Edit, Node, apply, parse, text_of, walk

__all__ = ["Names", "rewrite"]

POSTFIX = frozenset(
    {"call_expression", "member_expression", "non_null_expression", "subscript_expression"}
)

# Calls that give no promise.
QUICK = re.compile(rb"(console|process|super)\b|require\b|__ci_")
USING = re.compile(rb"(await\s+)?using\s+[\w$]+\s*=")


def rewrite(code: str, cell: str, names: Names) -> str:
    """Makes a cell do here what its text means in Node.js; lines stay what they were.

    What it awaits becomes interruptible: `await X` at the top level becomes
    `await __ci_await(X, place)`, and `for await (a of X)` gets `__ci_iterate(X, place)`, where the
    place is `cell:line:column`; awaits inside functions and classes belong to those. Its last value
    is shown: a last statement that is an expression `X` becomes `__ci_show((X))`, a `return X` of
    the top level ends the cell with it. Promises of its statements that nobody awaits are awaited
    at its end, by `__ci_end`. What is thrown and is not a new error goes through
    `__ci_throw`, so that it can be told. Imports become declarations with `await import`, and
    `import.meta`, which no cell has, becomes `__ci_meta`. An object literal alone becomes an
    expression instead of a block. Names can be declared again.

    Args:
        code: Source text.
        cell: The name of the cell.
        names: What earlier cells have declared.

    Returns:
        The new text, which calls `__ci_begin` first.
    """
    for text in [f"({code}\n)", code] if code.lstrip().startswith("{") else [code]:
        if (root := parse(text)) is not None:
            before, changes = names.rewrite(root)
            shown, after = _values(root, cell)
            edits = [*changes, *shown, *names.refusals(root), *_edits(root, cell, names)]
            return _begin(cell, before) + apply(text, edits) + after
    return _begin(cell) + code


def _begin(cell: str, more: str = "") -> str:
    """Gives what runs before a cell, in a form that the prelude can take away again."""
    return f'/*ci{{*/__ci_begin("{cell}");{more}/*}}ci*/'


def _edits(root: Node, cell: str, names: Names) -> Iterator[Edit]:
    """Finds what to change, an outer node before those inside it."""
    for node, top in walk(root):
        if node.type == "meta_property" and node.text == b"import.meta":
            yield Edit(node.start_byte, node.end_byte, replacement="__ci_meta")
        elif node.type == "import_statement" and (text := _import(node, cell, names)) is not None:
            lines = "\n" * (node.text or b"").count(b"\n")
            yield Edit(node.start_byte, node.end_byte, replacement=text + lines)
        elif node.type == "throw_statement":
            yield from _thrown(node, cell)
        elif top and node.type == "return_statement":
            yield from _returned(node)
        elif top and (waited := _waited(node)) is not None:
            guard, operand, end = waited
            place = f", {_place(operand, cell)})"
            yield Edit(operand.start_byte, end, before=f"{guard}(", after=place)


def _thrown(node: Node, cell: str) -> Iterator[Edit]:
    value = next((child for child in node.named_children if child.type != "comment"), None)
    if value is not None and value.type != "new_expression":
        place = f"), {_place(node, cell)})"
        yield Edit(value.start_byte, value.end_byte, before="__ci_throw((", after=place)


def _returned(node: Node) -> Iterator[Edit]:
    keyword = node.children[0]
    value = next((child for child in node.named_children if child.type != "comment"), None)
    text = "throw __ci_return()" if value is None else "throw __ci_return("
    yield Edit(keyword.start_byte, keyword.end_byte, replacement=text)
    if value is not None:
        yield Edit(value.start_byte, value.end_byte, after=")")


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


def _import(node: Node, cell: str, known: Names) -> str | None:
    """Gives the declaration that does what an import does; None for `import a = require("b")`."""
    source = node.child_by_field_name("source")
    if source is None:
        return None
    if any(child.type in ("type", "typeof") for child in node.children):
        return ";"
    options = "".join(
        f", {{ with: {text_of(each)} }}"
        for child in node.named_children
        if child.type == "import_attribute"
        for each in child.named_children
    )
    module = f"await __ci_await(import({text_of(source)}{options}), {_place(node, cell)})"
    names, namespace = _names(node)
    keyword = known.keyword([*(name.rpartition(": ")[2] for name in names), namespace])
    if namespace:
        module, rest = namespace, f"{keyword} {namespace} = {module}; "
    else:
        rest = ""
    if names:
        return f"{rest}{keyword} {{ {', '.join(names)} }} = {module};"
    return rest or f"void {module};"


def _names(node: Node) -> tuple[list[str], str]:
    """Gives the properties that an import takes of a module, and its name for the whole."""
    names, namespace = [], ""
    for clause in node.named_children:
        for part in clause.named_children if clause.type == "import_clause" else ():
            if part.type == "identifier":
                names.append(f"default: {text_of(part)}")
            elif part.type == "namespace_import":
                namespace = text_of(part.named_children[-1])
            for each in part.named_children if part.type == "named_imports" else ():
                name, alias = each.child_by_field_name("name"), each.child_by_field_name("alias")
                if name is not None and each.children[0].type not in ("type", "typeof"):
                    names.append(f"{text_of(name)}: {text_of(alias or name)}")
    return names, namespace


def _values(root: Node, cell: str) -> tuple[list[Edit], str]:
    """Finds the statements whose values matter; gives also what is to run after the cell.

    A call whose promise nobody awaits, like `main()`, has to end before the cell does, as in a
    program. Cells without one stay free of `await`: they are interrupted more quickly.
    """
    statements = [child for child in root.named_children if child.type != "comment"]
    last = _value(statements[-1]) if statements else None
    values = [_value(node) for node, top in walk(root) if top]
    calls = [value for value in values if value and _may_promise(value)]
    if not calls and b"exitCode" not in (root.text or b""):
        if last is None:
            return [], ""
        return [Edit(last.start_byte, last.end_byte, before="__ci_show((", after="))")], ""
    edits = [
        Edit(
            call.start_byte, call.end_byte, before="__ci_float((", after=f"), {_place(call, cell)})"
        )
        for call in calls
        if call != last
    ]
    if last is None:
        return edits, "\n;await __ci_end()"
    after = f"), {_place(last, cell)})"
    return [
        *edits,
        Edit(last.start_byte, last.end_byte, before="await __ci_end((", after=after),
    ], ""


def _value(statement: Node) -> Node | None:
    """Gives the expression that a statement is."""
    if statement.type != "expression_statement":
        return None
    value = next(child for child in statement.named_children if child.type != "comment")
    # The parser takes a namespace and `using a = b` for expressions.
    if value.type == "internal_module" or USING.match(value.text or b""):
        return None
    return value


def _may_promise(value: Node) -> bool:
    return value.type == "call_expression" and not QUICK.match(value.text or b"")
