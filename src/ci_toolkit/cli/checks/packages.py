"""The packages of each extra, by the metadata of this package as it is installed."""

import re
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, version

from ci_toolkit.cli.checks.findings import Finding, carry_out

__all__ = ["check_packages"]

_US = "ci-toolkit"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:[^;]*?>=\s*([0-9.]+))?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_NOT_SHOWN = {"all", "dev"}
_NAMED = 6


def check_packages() -> Iterator[Finding]:
    """Each extra: whether what it brings is installed, and new enough."""
    requirements = distribution(_US).requires or []
    extras: dict[str, list[tuple[str, str]]] = {}
    for requirement in requirements:
        extra = _EXTRA.search(requirement)
        match = _REQUIREMENT.match(requirement)
        name = extra[1] if extra else ""
        if match and name not in _NOT_SHOWN and match[1] != _US:
            extras.setdefault(name, []).append((match[1], match[2] or "0"))
    for name, needs in extras.items():
        check = f"extra {name}" if name else "packages"
        yield carry_out(check, 10, partial(_extra, check, name, needs))


def _extra(check: str, extra: str, needs: list[tuple[str, str]]) -> Finding:
    found = {name: _version(name) for name, _ in needs}
    missing = [name for name, has in found.items() if not has]
    old = [
        f"{name} {found[name]} (needs {least})"
        for name, least in needs
        if _older(found[name], least)
    ]
    install = f"pip install --upgrade '{_US}[{extra}]'" if extra else f"pip install --upgrade {_US}"
    if old:
        return Finding(check=check, status="fail", found=f"too old: {_some(old)}", advice=install)
    if missing:
        return Finding(
            check=check,
            status="off" if extra else "fail",
            found=f"without {_some(missing)}",
            advice=install,
        )
    return Finding(check=check, status="ok", found=_some([f"{n} {v}" for n, v in found.items()]))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _older(has: str, least: str) -> bool:
    return bool(has) and _numbers(has) < _numbers(least)


def _numbers(text: str) -> tuple[int, ...]:
    release = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
    numbers = [int(part) for part in release[0].split(".")] if release else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _some(words: list[str]) -> str:
    more = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {more} more" if more > 0 else "")
