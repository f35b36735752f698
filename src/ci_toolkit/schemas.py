"""Room 1, what the model may say: one pydantic model per tool, lenient in form, strict in meaning.

A model that sends `"a.txt"` or `'["a.txt"]'` where a list is asked for is understood; a parameter
that no tool has is refused with the nearest name, since ignoring it would lose what was meant.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ci_toolkit.errors import InvalidArgumentsError

__all__ = [
    "Arguments",
    "ExecuteCodeArguments",
    "ExecuteCommandArguments",
    "FileOperationsArguments",
    "FileText",
    "PushArguments",
    "WorkspaceListArguments",
    "WorkspaceReadArguments",
    "json_schema",
]

_BINARY = re.compile(
    r"7z|bin|bmp|db|docx|duckdb|feather|gif|gz|h5|ico|jpe?g|mp[34]|np[yz]|ods|parquet|pdf|pickle"
    r"|pkl|png|pptx|sqlite|tar|tgz|tiff?|wav|webp|xlsx?|zip"
)
_NAME_SHOWN = 200
_JSON_TYPES = (str, int, float, list, dict, type(None))


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text, without lone surrogates") from None
    return value


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _lower(value: object) -> object:
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    return {"py": "python", "js": "javascript", "node": "javascript", "ts": "typescript"}.get(
        name, name
    )


def _as_list(value: object) -> object:
    """One thing, or a list in JSON text, as the list that was meant."""
    if value is None:
        return []
    if isinstance(value, str):
        if value.lstrip().startswith(("[", "{")):
            try:
                return _as_list(json.loads(value))
            except (ValueError, RecursionError):
                pass
        return [value]
    return [value] if isinstance(value, Mapping) else value


Text = Annotated[str, AfterValidator(_text)]
Source = Annotated[Text, AfterValidator(_not_empty)]
Paths = Annotated[list[Source], BeforeValidator(_as_list)]


class Arguments(BaseModel):
    """What all tools' arguments have in common."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_its_parameters(cls, data: object) -> object:
        """Refuses parameters that do not exist.

        Only JSON values can come from a model; a framework may put objects of its own beside them.
        """
        if isinstance(data, Mapping):
            for name, value in data.items():
                if name not in cls.model_fields and isinstance(value, _JSON_TYPES):
                    raise ValueError(cls._unknown(str(name)))
        return data

    @classmethod
    def _unknown(cls, name: str) -> str:
        name = name[:_NAME_SHOWN]  # a comparison takes time and memory by its length
        near = get_close_matches(name, cls.model_fields, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        return f"there is no parameter {name!r}{meant} Parameters: {', '.join(cls.model_fields)}"

    @classmethod
    def parse(cls, data: object) -> Self:
        """Checks what a model sent.

        Raises:
            InvalidArgumentsError: It does not fit; the text names each parameter and what it takes.
        """
        if isinstance(data, cls):
            return data
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InvalidArgumentsError(cls.explain(error)) from None

    @classmethod
    def explain(cls, error: ValidationError) -> str:
        """A validation error in short words, without what was sent."""
        problems = [
            f"{'.'.join(str(part) for part in item['loc']) or 'arguments'}: "
            f"{item['msg'].removeprefix('Value error, ').partition(' or instance of ')[0]}"
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        return "Invalid arguments, nothing was run. " + "; ".join(problems[:10])


class ExecuteCodeArguments(Arguments):
    """Arguments of `execute_code`."""

    code: Source = Field(description="Code to run. print() what you want to see.")
    language: Annotated[Literal["python", "javascript", "typescript"], BeforeValidator(_lower)] = (
        Field(default="python", description="Language of the code.")
    )
    output_filename: Text = Field(
        default="",
        description="A file to save to the workspace after the run; "
        "the code must write a file of exactly this name.",
    )

    @field_validator("output_filename", mode="before")
    @classmethod
    def _none_is_empty(cls, value: object) -> object:
        return "" if value is None else value.strip() if isinstance(value, str) else value


class ExecuteCommandArguments(Arguments):
    """Arguments of `execute_command`."""

    command: Source = Field(
        description="Shell command, such as 'ls -la' or 'pip install requests'."
    )


class FileText(BaseModel):
    """One text file to write."""

    path: Source = Field(description="Where, relative to the working directory.")
    text: Text = Field(description="The whole new content.")

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, data: object) -> object:
        if isinstance(data, Mapping) and (odd := set(data) - {"path", "text"}):
            raise ValueError(
                f"an entry has 'path' and 'text', not {', '.join(map(repr, sorted(odd)))}; "
                "binary files are made by running code"
            )
        if isinstance(data, str):
            said = "an entry is such as {'path': 'a.txt', 'text': 'hello'}, not a text alone"
            raise ValueError(said)  # noqa: TRY004 - pydantic passes on ValueErrors
        return data

    @field_validator("path")
    @classmethod
    def _takes_text(cls, value: str) -> str:
        suffix = PurePosixPath(value).suffix.lower().removeprefix(".")
        if _BINARY.fullmatch(suffix):
            raise ValueError(
                f"a .{suffix} file is binary and cannot be written as text; "
                "make it by running code with a library that writes this format"
            )
        return value


class FileOperationsArguments(Arguments):
    """Arguments of `file_operations`."""

    operation: Annotated[Literal["read", "write", "list", "remove"], BeforeValidator(_lower)] = (
        Field(description="What to do.")
    )
    paths: Paths = Field(
        default_factory=list,
        description="For read, list and remove: paths in the sandbox, such as ['data.csv'] "
        "or ['.'] to list the working directory.",
        validate_default=True,
    )
    content: Annotated[list[FileText], BeforeValidator(_as_list)] = Field(
        default_factory=list, description="For write: the files.", validate_default=True
    )

    @field_validator("paths")
    @classmethod
    def _paths_where_needed(cls, value: list[str], info: ValidationInfo) -> list[str]:
        operation = info.data.get("operation")
        if operation in {"read", "remove"} and not value:
            raise ValueError(f"{operation} needs at least one path, such as ['data.csv']")
        return value or ["."]

    @field_validator("content")
    @classmethod
    def _content_where_needed(cls, value: list[FileText], info: ValidationInfo) -> list[FileText]:
        if info.data.get("operation") == "write" and not value:
            raise ValueError("write needs content, such as [{'path': 'a.txt', 'text': 'hello'}]")
        return value


class PushArguments(Arguments):
    """Arguments of `ci_push_to_workspace`."""

    paths: Paths = Field(
        default_factory=list,
        description="Sandbox files to save; without it, all files of the working directory.",
    )


class WorkspaceReadArguments(Arguments):
    """Arguments of `workspace_read`."""

    path: Source = Field(description="Such as 'code-interpreter/chart.png'.")


class WorkspaceListArguments(Arguments):
    """Arguments of `workspace_list`."""

    path: Text = Field(default="", description="Such as 'code-interpreter/'; empty for all.")


def json_schema(model: type[Arguments]) -> dict[str, Any]:
    """The JSON schema that a model provider is given: flat, without titles or references."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    clean: dict[str, Any] = _clean(schema, definitions)
    return {key: clean[key] for key in ("type", "properties", "required") if key in clean}


def _clean(node: Any, definitions: dict[str, Any]) -> Any:
    """Puts definitions in the place of references; drops titles and models' docstrings."""
    if isinstance(node, list):
        return [_clean(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _clean(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if "properties" in node:
        node = {key: value for key, value in node.items() if key != "description"}
        properties = {k: _clean(v, definitions) for k, v in node["properties"].items()}
        return {**{k: v for k, v in node.items() if k != "title"}, "properties": properties}
    return {key: _clean(value, definitions) for key, value in node.items() if key != "title"}
