"""Lets a cell declare again what earlier cells have declared, as whatever it likes.

V8 allows that only within a kind: `let` again as `let`, `function` again as `function`. Here
`const` becomes `let`, whose assignments are refused one by one, and a name keeps the kind that it
had first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from syntax import Edit, Node, names_in, text_of, walk

__all__ = ["Declared", "Names", "declared"]

FUNCTION_KINDS = ("function_declaration", "generator_function_declaration")
CLASS_KINDS = ("class_declaration", "abstract_class_declaration")
TYPE_KINDS = ("interface_declaration", "type_alias_declaration")
OBJECT_KINDS = ("enum_declaration", "internal_module", "module")
# The last three are not seen from outside of a cell's functions, but shadow a name inside of them.
SHADOWS = (*FUNCTION_KINDS, *CLASS_KINDS, "function_expression", "class")


@dataclass(frozen=True)
class Declared:
    """One declaration of the top level, with all of its names."""

    kind: str
    names: tuple[str, ...]
    node: Node


def declared(root: Node) -> Iterator[Declared]:
    """Gives what a cell declares: `var` wherever it stands, everything else at the top level."""
    for child in root.named_children:
        statement = child
        if child.type in ("export_statement", "ambient_declaration"):
            statement = child.child_by_field_name("declaration") or child.named_children[-1]
        if statement.type == "expression_statement":  # the parser's reading of a namespace
            statement = statement.named_children[0]
        yield from _declared_by(statement)
    for node, top in walk(root):
        if top and node.type == "variable_declaration":
            yield Declared("var", tuple(_declarator_names(node)), node)
        elif top and node.type == "for_in_statement" and _kind(node) == "var":
            left = node.child_by_field_name("left")
            yield Declared("var", tuple(names_in(left) if left else ()), node)


def _declared_by(statement: Node) -> Iterator[Declared]:
    if statement.type == "lexical_declaration":
        kind = text_of(statement.children[0])
        yield Declared(kind, tuple(_declarator_names(statement)), statement)
    elif statement.type == "import_statement":
        yield Declared("import", tuple(_import_names(statement)), statement)
    else:
        for kind, types in (
            ("function", (*FUNCTION_KINDS, "function_signature")),
            ("class", CLASS_KINDS),
            ("object", OBJECT_KINDS),
            ("type", TYPE_KINDS),
        ):
            name = statement.child_by_field_name("name")
            if statement.type in types and name is not None:
                yield Declared(kind, (text_of(name),), statement)


def _kind(node: Node) -> str:
    kind = node.child_by_field_name("kind")
    return "" if kind is None else text_of(kind)


def _declarator_names(node: Node) -> Iterator[str]:
    for declarator in node.named_children:
        name = declarator.child_by_field_name("name")
        if declarator.type == "variable_declarator" and name is not None:
            yield from names_in(name)


def _import_names(node: Node) -> Iterator[str]:
    for each, _ in walk(node):
        if each.type == "import_specifier":
            name = each.child_by_field_name("alias") or each.child_by_field_name("name")
            yield text_of(name) if name else ""
        elif each.type in ("import_clause", "namespace_import", "import_require_clause"):
            yield from (text_of(child) for child in each.children if child.type == "identifier")


class Names:
    """What the kernel's top level holds, and how: as a lexical or as a global name."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._constants: set[str] = set()
        self._new_kinds: dict[str, str] = {}
        self._new_constants: set[str] = set()

    def keep(self) -> None:
        """Takes over what the cell rewritten last declares; to be called once it has begun."""
        self._kinds, self._constants = self._new_kinds, self._new_constants

    def rewrite(self, root: Node) -> tuple[str, list[Edit]]:
        """Finds what to change in a cell.

        Args:
            root: The cell.

        Returns:
            What is to run before the cell, and the changes.
        """
        before: list[str] = []
        edits: list[Edit] = []
        self._new_kinds = dict(self._kinds)
        self._new_constants = set(self._constants)
        for each in declared(root):
            if each.kind == "type" or each.node.type == "function_signature" or _ambient(each.node):
                continue
            lexical = each.kind in ("const", "let", "class", "import")
            for name in each.names:
                self._new_kinds.setdefault(name, "lexical" if lexical else "global")
                self._new_constants.discard(name)
            if each.kind in ("const", "import"):
                self._new_constants.update(each.names)
            first, changes = self._redeclare(each)
            before += first
            edits += changes
        return "".join(before), edits

    def keyword(self, names: list[str]) -> str:
        """Gives what an import of these names declares them with."""
        return "var" if any(self._kinds.get(name) == "global" for name in names) else "let"

    def refusals(self, root: Node) -> Iterator[Edit]:
        """Makes assignments to constants fail, in the cell that `rewrite` has seen."""
        if not self._new_constants:
            return
        for node, _ in walk(root):
            if node.type in ("assignment_expression", "augmented_assignment_expression"):
                left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
            elif node.type == "update_expression":
                left, right = node.child_by_field_name("argument"), None
            else:
                continue
            if left is None or left.type != "identifier":
                continue
            name = text_of(left)
            if name not in self._new_constants or _shadowed(node, name):
                continue
            if right is None:
                yield Edit(node.start_byte, node.end_byte, replacement="__ci_constant()")
            else:
                yield Edit(left.start_byte, right.start_byte, replacement="__ci_constant(")
                yield Edit(right.start_byte, right.end_byte, after=")")

    def _redeclare(self, each: Declared) -> tuple[list[str], list[Edit]]:
        kinds = {self._kinds.get(name) for name in each.names}
        node = each.node
        if each.kind in ("const", "let") and "global" in kinds:
            return [self._fresh(name) for name in each.names], _assignments(node, "undefined")
        if each.kind == "const":
            # As long as before, so that columns stay what they are.
            keyword = node.children[0]
            return [], [Edit(keyword.start_byte, keyword.end_byte, replacement="let  ")]
        if each.kind == "var" and "lexical" in kinds:
            others = [name for name in each.names if self._kinds.get(name) != "lexical"]
            return [f"var {name};" for name in others], _assignments(node, "0")
        if each.kind == "class" and "global" in kinds:
            text = f"var {each.names[0]} = "
            return [], [Edit(node.start_byte, node.end_byte, before=text, after=";")]
        return self._redeclare_hoisted(each, kinds)

    def _redeclare_hoisted(
        self, each: Declared, kinds: set[str | None]
    ) -> tuple[list[str], list[Edit]]:
        if each.kind == "function" and "lexical" in kinds:
            name, hidden = each.names[0], f"__ci_function_{each.names[0]}"
            return [f'let {name} = __ci_named({hidden}, "{name}");'], [_renamed(each.node, hidden)]
        if each.kind == "object" and kinds != {None}:
            return self._anew(each)
        return [], []

    def _anew(self, each: Declared) -> tuple[list[str], list[Edit]]:
        """Declares an enum or a namespace that would otherwise add to the one before."""
        name = each.names[0]
        if self._kinds[name] == "global":
            return [f"{name} = undefined;"], []
        hidden = f"__ci_function_{name}"
        node, after = each.node, f"; void ({name} = {hidden});"
        whole = Edit(node.start_byte, node.end_byte, after=after)
        return [f"globalThis.{hidden} = undefined;let {name};"], [whole, _renamed(node, hidden)]

    def _fresh(self, name: str) -> str:
        return f"var {name};" if self._kinds.get(name) == "global" else f"let {name};"


def _ambient(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "ambient_declaration"


def _renamed(node: Node, name: str) -> Edit:
    place = node.child_by_field_name("name") or node
    return Edit(place.start_byte, place.end_byte, replacement=name)


def _assignments(node: Node, nothing: str) -> list[Edit]:
    """Makes a declaration assign to names that are declared already."""
    keyword = node.child_by_field_name("kind") or node.children[0]
    if node.type == "for_in_statement":
        return [Edit(keyword.start_byte, keyword.end_byte, replacement=" ")]
    declarators = [each for each in node.named_children if each.type == "variable_declarator"]
    # An expression that cannot be taken for the end of the line before, and that has no value.
    edits = [
        Edit(keyword.start_byte, keyword.end_byte, replacement="void ("),
        Edit(declarators[-1].start_byte, declarators[-1].end_byte, after=")"),
    ]
    for declarator in declarators:
        name, value = (declarator.child_by_field_name(field) for field in ("name", "value"))
        if value is None:
            text = f"{text_of(name)} = {nothing}" if name and nothing != "0" else nothing
            edits.append(Edit(declarator.start_byte, declarator.end_byte, replacement=text))
            continue
        edits.append(Edit(declarator.start_byte, declarator.end_byte, before="(", after=")"))
        kind = declarator.child_by_field_name("type")
        if kind is not None:
            edits.append(Edit(kind.start_byte, kind.end_byte, replacement=" "))
    return edits


def _shadowed(node: Node, name: str) -> bool:
    """Whether something around an assignment may declare the name anew."""
    above = node.parent
    while above is not None and above.parent is not None:
        if any(name in _local_names(each) for each, _ in walk(above)):
            return True
        above = above.parent
    return False


def _local_names(node: Node) -> list[str]:
    if node.type in ("variable_declarator", *SHADOWS):
        pattern = node.child_by_field_name("name")
    elif node.type in ("required_parameter", "optional_parameter"):
        pattern = node.child_by_field_name("pattern")
    elif node.type in ("arrow_function", "catch_clause"):
        pattern = node.child_by_field_name("parameter")
    elif node.type == "for_in_statement" and _kind(node):
        pattern = node.child_by_field_name("left")
    else:
        pattern = None
    return list(names_in(pattern)) if pattern is not None else []
