"""The service's own API model, as botocore ships it: which operations there are, what fits them."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

__all__ = ["Operation", "Problems", "operations", "read"]

_SERVICES = ("bedrock-agentcore", "bedrock-agentcore-control")
Problems = list[tuple[str, str]]
"""Names of members that do not fit, and why."""


@dataclass(frozen=True)
class Operation:
    """One operation of the API.

    Attributes:
        name: Such as `StartCodeInterpreterSession`.
        method: Of HTTP.
        path: With names of members in braces.
        status: Of an answer.
        input: What a request may hold.
    """

    name: str
    method: str
    path: str
    status: int
    input: StructureShape


@cache
def operations() -> tuple[Operation, ...]:
    """All operations about code interpreters and their sessions."""
    models = (ServiceModel(Loader().load_service_model(s, "service-2")) for s in _SERVICES)
    found = ((model, name) for model in models for name in model.operation_names)
    return tuple(_operation(m, name) for m, name in found if "CodeInterpreter" in name)


def _operation(model: ServiceModel, name: str) -> Operation:
    operation = model.operation_model(name)
    http: Mapping[str, Any] = operation.http
    shape = operation.input_shape
    if not isinstance(shape, StructureShape):
        raise TypeError(f"{name} has no input.")
    return Operation(name, http["method"], http["requestUri"], http["responseCode"], shape)


def read(
    operation: Operation, body: Mapping[str, object], places: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Any], Problems]:
    """The members of a request, and what is wrong with them.

    Args:
        operation: What is asked for.
        body: The members in the body.
        places: By the model's names of places (`uri`, `querystring`, `header`), what each holds.
    """
    values: dict[str, object] = dict(body)
    for name, shape in operation.input.members.items():
        location = shape.serialization.get("location", "body")
        if location in places:
            values.pop(name, None)
            text = places[location].get(shape.serialization.get("name", name))
            if text is not None:
                values[name] = _number(text) if shape.type_name == "integer" else text
    problems: Problems = []
    checked: dict[str, Any] = _structure(operation.input, values, "", problems)
    return checked, problems


def _number(text: str) -> int | str:
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else text


def _check(shape: Shape, value: object, path: str, problems: Problems) -> Any:
    return _CHECKS[shape.type_name](shape, value, path, problems)


_MISFIT = object()


def _misfit(path: str, constraint: str, problems: Problems) -> Any:
    problems.append((path, f"Value at '{path}' failed to satisfy constraint: {constraint}"))
    return _MISFIT


def _structure(shape: StructureShape, value: object, path: str, problems: Problems) -> Any:
    if not isinstance(value, dict):
        return _misfit(path, "Member must be a structure", problems)
    prefix = f"{path}." if path else ""
    given = {n: v for n, v in value.items() if v is not None and n in shape.members}
    for name in shape.required_members:
        if name not in given:
            _misfit(prefix + name, "Member must not be null", problems)
    if shape.is_tagged_union and len(given) != 1:
        return _misfit(path, "Exactly one member of a union must be set", problems)
    return {n: _check(shape.members[n], v, prefix + n, problems) for n, v in given.items()}


def _list(shape: ListShape, value: object, path: str, problems: Problems) -> Any:
    if not isinstance(value, list):
        return _misfit(path, "Member must be a list", problems)
    _size(shape, len(value), path, problems)
    return [
        _check(shape.member, item, f"{path}.{number}.member", problems)
        for number, item in enumerate(value, 1)
    ]


def _map(shape: MapShape, value: object, path: str, problems: Problems) -> Any:
    if not isinstance(value, dict):
        return _misfit(path, "Member must be a map", problems)
    _size(shape, len(value), path, problems)
    for key, item in value.items():
        _check(shape.key, key, f"{path}.key", problems)
        _check(shape.value, item, f"{path}.value", problems)
    return value


def _string(shape: Shape, value: object, path: str, problems: Problems) -> Any:
    if not isinstance(value, str):
        return _misfit(path, "Member must be a string", problems)
    if not value.isprintable() and re.search("[\ud800-\udfff]", value):
        return _misfit(path, "Member must be valid Unicode", problems)
    enum: list[str] = shape.metadata.get("enum", [])
    if enum and value not in enum:
        return _misfit(path, f"Member must satisfy enum value set: [{', '.join(enum)}]", problems)
    if not _size(shape, len(value), path, problems):
        return _MISFIT
    pattern: str = shape.metadata.get("pattern", "")
    if pattern and not re.fullmatch(pattern, value):
        constraint = f"Member must satisfy regular expression pattern: {pattern}"
        return _misfit(path, constraint, problems)
    return value


def _blob(shape: Shape, value: object, path: str, problems: Problems) -> Any:
    if not isinstance(value, str):
        return _misfit(path, "Member must be a base64 string", problems)
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return _misfit(path, "Member must be valid base64", problems)
    return data if _size(shape, len(data), path, problems) else _MISFIT


def _integer(shape: Shape, value: object, path: str, problems: Problems) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return _misfit(path, "Member must be an integer", problems)
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        constraint = f"Member must have value greater than or equal to {least}"
        return _misfit(path, constraint, problems)
    if most is not None and value > most:
        return _misfit(path, f"Member must have value less than or equal to {most}", problems)
    return value


def _boolean(_: Shape, value: object, path: str, problems: Problems) -> Any:
    return value if isinstance(value, bool) else _misfit(path, "Member must be a boolean", problems)


def _size(shape: Shape, size: int, path: str, problems: Problems) -> bool:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        _misfit(path, f"Member must have length greater than or equal to {least}", problems)
        return False
    if most is not None and size > most:
        _misfit(path, f"Member must have length less than or equal to {most}", problems)
        return False
    return True


_CHECKS: Mapping[str, Callable[..., Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "blob": _blob,
    "integer": _integer,
    "boolean": _boolean,
}
