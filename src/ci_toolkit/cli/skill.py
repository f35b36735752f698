"""The command `ci-toolkit skill`: prints or installs the guidance for models."""

import sys
from pathlib import Path
from shutil import copytree
from typing import Annotated

import typer

from ci_toolkit.errors import ConfigurationError
from ci_toolkit.skill import SKILL_DIR, skill_prompt

__all__ = ["skill"]


def skill(
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Install the skill's directory below this folder of skills."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --out: replace files that differ.")
    ] = False,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Print the fragment for a system prompt instead.")
    ] = False,
    available: Annotated[
        list[str] | None,
        typer.Option(metavar="SKILL", help="With --prompt: a skill that the host has; repeatable."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="With --prompt: what tool names begin with.")] = "",
    workspace_tools: Annotated[
        bool, typer.Option("--workspace-tools", help="With --prompt: these tools are offered, too.")
    ] = False,
) -> None:
    """Print SKILL.md, or install the skill's directory, for agents that load Agent Skills."""
    if prompt and out is not None:
        raise ConfigurationError("--prompt prints a text and --out writes files; choose one.")
    if not prompt and (available or prefix or workspace_tools):
        raise ConfigurationError("--available, --prefix and --workspace-tools need --prompt.")
    if prompt:
        text = skill_prompt(available, prefix=prefix, workspace_tools=workspace_tools)
        sys.stdout.write(f"{text}\n")
    elif out is None:
        sys.stdout.write((SKILL_DIR / "SKILL.md").read_text(encoding="utf-8"))
    else:
        sys.stdout.write(f"{install(out, force=force)}\n")


def install(folder: Path, *, force: bool) -> Path:
    """Copies the skill's directory below a folder, and returns where it is.

    Raises:
        ConfigurationError: Other files are there, or the folder cannot be written.
    """
    target = folder / SKILL_DIR.name
    if not force and (changed := _changed(target)):
        raise ConfigurationError(
            f"{target} has other contents ({', '.join(changed)}); --force replaces them."
        )
    try:
        copytree(SKILL_DIR, target, dirs_exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"The skill cannot be written to {target}: {error}.") from None
    return target


def _changed(target: Path) -> list[str]:
    """The files of the skill that are there with other contents."""
    files = [file.relative_to(SKILL_DIR) for file in sorted(SKILL_DIR.rglob("*")) if file.is_file()]
    return [
        str(name)
        for name in files
        if (target / name).exists()
        and (
            not (target / name).is_file()
            or (target / name).read_bytes() != (SKILL_DIR / name).read_bytes()
        )
    ]
