"""The page on troubleshooting knows each message for developers and each sentence for models."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "ci_toolkit"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
GAP = "…"


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Module-level names and what they are."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found


def words(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """A message as readers meet it, with a gap for each part that varies."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(words(part, known) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)) | ast.Name(id=name) if name in known:
            return words(known[name], known)
        case _:
            return GAP


def plain(text: str) -> str:
    """Without what Markdown and lengths of lines add, and with one gap for neighbouring ones."""
    return re.sub(rf"{GAP}(\s*{GAP})*", GAP, " ".join(text.replace("`", "").split()))


def configuration_errors() -> Iterator[str]:
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text())
        known = constants(tree)
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for message in raised(function):
                    yield plain(words(message, known))


def raised(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    """What a function makes configuration errors of, also where it gave it a name before."""
    named = {
        target.id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id="ConfigurationError"), args=[ast.Name(id=name)]):
                yield named.get(name, ast.Name(name))
            case ast.Call(func=ast.Name(id="ConfigurationError"), args=[message]):
                yield message


def sentences_for_models() -> Iterator[str]:
    """The fixed sentences of the rendering: constants, and literals that end like a sentence."""
    tree = ast.parse((SOURCE / "rendering.py").read_text())
    known = constants(tree)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    within = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    for node in ast.walk(tree):
        if (
            not isinstance(node, (ast.Constant, ast.JoinedStr))
            or id(node) in documentation | within
        ):
            continue
        text = plain(words(node, known))
        if text.count(" ") > 1 and re.search(r"[A-Za-z]{3}", text):
            yield text


MESSAGES = sorted({text for text in configuration_errors() if re.search("[a-z]{3}", text)})
SENTENCES = sorted(set(sentences_for_models()))
TEXT = plain(PAGE)


def test_every_configuration_error_is_explained() -> None:
    assert len(MESSAGES) > 50
    assert [message for message in MESSAGES if message not in TEXT] == []


def test_every_fixed_sentence_for_models_is_explained() -> None:
    assert len(SENTENCES) > 20
    assert [sentence for sentence in SENTENCES if sentence not in TEXT] == []


def test_no_message_is_explained_that_nobody_raises() -> None:
    explained = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("## For the model")[0], re.M)

    assert [message for message in map(plain, explained) if message not in MESSAGES] == []
