"""What a model may say, and what it is told when it says something else."""

import json
from typing import Any

import pytest

from ci_toolkit.errors import InvalidArgumentsError
from ci_toolkit.schemas import (
    Arguments,
    ExecuteCodeArguments,
    ExecuteCommandArguments,
    FileOperationsArguments,
    FileText,
    PushArguments,
    json_schema,
)
from ci_toolkit.tools import TOOLS, WORKSPACE_TOOLS


@pytest.mark.parametrize("tool", [*TOOLS, *WORKSPACE_TOOLS], ids=lambda tool: tool.name)
def test_every_parameter_has_a_type_and_a_description(tool: Any) -> None:
    schema = json_schema(tool.arguments)

    assert set(schema) <= {"type", "properties", "required"}
    for parameter in schema["properties"].values():
        assert parameter["type"]
        assert parameter["description"]


def test_the_names_types_and_defaults_are_the_promised_ones() -> None:
    schemas = {tool.name: json_schema(tool.arguments) for tool in TOOLS}
    summary = {
        name: {
            key: (value["type"], key in schema.get("required", []), value.get("enum"))
            for key, value in schema["properties"].items()
        }
        for name, schema in schemas.items()
    }

    languages, operations = (
        ["python", "javascript", "typescript"],
        ["read", "write", "list", "remove"],
    )
    assert summary == {
        "execute_code": {
            "code": ("string", True, None),
            "language": ("string", False, languages),
            "output_filename": ("string", False, None),
        },
        "execute_command": {"command": ("string", True, None)},
        "file_operations": {
            "operation": ("string", True, operations),
            "paths": ("array", False, None),
            "content": ("array", False, None),
        },
        "ci_push_to_workspace": {"paths": ("array", False, None)},
    }


def test_schemas_are_flat_without_references_unions_or_titles() -> None:
    for tool in TOOLS:
        text = json.dumps(json_schema(tool.arguments))
        assert not {"$ref", "$defs", "anyOf", "oneOf", '"title"'} & set(text.split('"')), text


@pytest.mark.parametrize(
    ("model", "sent", "understood"),
    [
        (ExecuteCodeArguments, {"code": "1", "language": " Python "}, {"language": "python"}),
        (ExecuteCodeArguments, {"code": "1", "language": "JS"}, {"language": "javascript"}),
        (ExecuteCodeArguments, {"code": "1", "output_filename": None}, {"output_filename": ""}),
        (PushArguments, {"paths": "a.txt"}, {"paths": ["a.txt"]}),
        (PushArguments, {"paths": '["a", "b"]'}, {"paths": ["a", "b"]}),
        (PushArguments, {"paths": "[draft].txt"}, {"paths": ["[draft].txt"]}),
        (PushArguments, {"paths": None}, {"paths": []}),
        (PushArguments, {}, {"paths": []}),
        (FileOperationsArguments, {"operation": "LIST"}, {"operation": "list", "paths": ["."]}),
        (
            FileOperationsArguments,
            {"operation": "write", "content": '[{"path": "a", "text": "b"}]'},
            {"content": [FileText(path="a", text="b")]},
        ),
        (
            FileOperationsArguments,
            {"operation": "write", "content": {"path": "a", "text": ""}},
            {"content": [FileText(path="a", text="")]},
        ),
    ],
)
def test_a_loose_form_is_understood(
    model: type[Arguments], sent: dict[str, Any], understood: dict[str, Any]
) -> None:
    parsed = model.parse(sent)

    assert {key: getattr(parsed, key) for key in understood} == understood


@pytest.mark.parametrize(
    ("model", "sent", "said"),
    [
        (
            ExecuteCodeArguments,
            {"cod": "1"},
            "there is no parameter 'cod'; did you mean 'code'? Parameters: code, language, ",
        ),
        (
            ExecuteCodeArguments,
            {"code": "1", "timeout": 5},
            "there is no parameter 'timeout'. Parameters: code, language, output_filename",
        ),
        (ExecuteCodeArguments, {}, "code: Field required"),
        (ExecuteCodeArguments, {"code": " \n"}, "code: must not be empty"),
        (ExecuteCodeArguments, {"code": ["1"]}, "code: Input should be a valid string"),
        (ExecuteCodeArguments, {"code": "\ud800"}, "without lone surrogates"),
        (
            ExecuteCodeArguments,
            {"code": "1", "language": "Ruby"},
            "language: Input should be 'python', 'javascript' or 'typescript'",
        ),
        (ExecuteCommandArguments, {"command": "a\0b"}, "must not hold a NUL character"),
        (
            FileOperationsArguments,
            {"operation": "move"},
            "operation: Input should be 'read', 'write', 'list' or 'remove'",
        ),
        (FileOperationsArguments, {"operation": "read"}, "read needs at least one path"),
        (FileOperationsArguments, {"operation": "remove", "paths": []}, "remove needs at least"),
        (FileOperationsArguments, {"operation": "write"}, "write needs content"),
        (FileOperationsArguments, {"operation": "read", "paths": [3]}, "paths.0: Input should be"),
        (
            FileOperationsArguments,
            {"operation": "write", "content": [{"path": "a.bin", "blob": "AA=="}]},
            "an entry has 'path' and 'text', not 'blob'; binary files are made by running code",
        ),
        (
            FileOperationsArguments,
            {"operation": "write", "paths": ["a.txt"], "content": "hello"},
            "content.0: an entry is such as {'path': 'a.txt', 'text': 'hello'}, not a text alone",
        ),
        (
            FileOperationsArguments,
            {"operation": "write", "content": [{"path": "a.PNG", "text": "AA=="}]},
            "a .png file is binary and cannot be written as text",
        ),
        (PushArguments, "a.txt", "Input should be a valid dictionary"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place_and_the_way_out(
    model: type[Arguments], sent: Any, said: str
) -> None:
    with pytest.raises(InvalidArgumentsError) as raised:
        model.parse(sent)

    assert str(raised.value).startswith("Invalid arguments, nothing was run. ")
    assert said in str(raised.value)


def test_a_long_value_is_not_sent_back() -> None:
    with pytest.raises(InvalidArgumentsError) as raised:
        ExecuteCodeArguments.parse({"code": "x" * 50_000, "language": "y" * 50_000})

    assert len(str(raised.value)) < 300
