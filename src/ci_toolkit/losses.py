"""The words for what a new sandbox has and has not; used by the tenancies."""

from collections.abc import Collection

from ci_toolkit.carrying import CarriedFiles, CarriedVariables

__all__ = ["of_a_loss", "of_a_replacement"]

_NAMES = 20
_REASON_CHARS = 120


def of_a_loss(back: Collection[str], failed: Collection[str]) -> str:
    """What a model has to know after its sandbox was lost.

    Args:
        back: The files that are in the new one.
        failed: Those that could not be put there.
    """
    restored = f"Restored: {_names(back)}." if back else "There were no saved files to restore."
    missing = f" Could not be restored: {_names(failed)}." if failed else ""
    return (
        "The earlier sandbox is gone and this is a new one: variables, imports, installed packages "
        f"and files that were not saved to the workspace were lost. {restored}{missing}"
    )


def of_a_replacement(files: CarriedFiles, variables: CarriedVariables) -> str:
    """What a model has to know after its sandbox was replaced, since its time was nearly up."""
    there = [f"the files {_names(files.there)}"] if files.there else []
    there += [f"the Python variables {_names(variables.there)}"] if variables.there else []
    carried = f"Carried over: {' and '.join(there)}. " if there else ""
    left = _first([f"the file {path}" for path in files.left], "files")
    if not files.complete:
        left.append("files beyond those that one listing has")
    left += _first(
        [
            f"the Python variable {name} ({reason[:_REASON_CHARS]})"
            for name, reason in sorted(variables.left.items())
        ],
        "Python variables",
    )
    if variables.failed:
        left.append(f"all Python variables ({variables.failed})")
    left += ["installed packages", "running processes", "variables of other languages"]
    return (
        "The sandbox came to the end of its time and was replaced before this call. "
        f"{carried}Lost: {'; '.join(left)}."
    )


def _first(words: list[str], kind: str) -> list[str]:
    more = len(words) - _NAMES
    return [*words[:_NAMES], *([f"{more} more {kind}"] if more > 0 else [])]


def _names(paths: Collection[str]) -> str:
    names = sorted(set(paths))
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
