"""The command `ci-toolkit sandbox-env`: an environment for sandboxes, made and tried."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ci_toolkit.errors import ConfigurationError
from ci_toolkit.libraries import LIBRARIES, Library
from ci_toolkit.sandbox_env import (
    Environment,
    Step,
    Tried,
    check,
    install,
    install_missing,
    missing,
    requirements,
)
from ci_toolkit.terminal import plain

if TYPE_CHECKING:
    from ci_toolkit.backends.base import Backend

__all__ = ["sandbox_env"]

_SIZES = {"data": "0.8 GB", "all": "9 GB on x86-64, of which 7 GB are torch, and 3 GB elsewhere"}


class _Libraries(StrEnum):
    DATA = "data"
    ALL = "all"


class _Isolations(StrEnum):
    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


def sandbox_env(
    *,
    libraries: Annotated[
        _Libraries, typer.Option(help="'data': the everyday ones; 'all': all that are promised.")
    ] = _Libraries.DATA,
    path: Annotated[Path, typer.Option(help="The folder of the environment.")] = Path(
        "sandbox-env"
    ),
    python: Annotated[
        str | None, typer.Option(help="The Python to make it with; by default this one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be installed.")] = False,
    system: Annotated[
        bool,
        typer.Option(help="As root, install what libraries need of Debian's or Ubuntu's packages."),
    ] = True,
    trials: Annotated[
        bool, typer.Option("--check", help="Then do one small thing with each in a sandbox.")
    ] = False,
    isolation: Annotated[
        _Isolations, typer.Option(help="With --check: how code is confined.")
    ] = _Isolations.BUBBLEWRAP,
) -> None:
    """Make the Python environment that code in local sandboxes uses; run it again to go on."""
    console = Console()
    chosen = [each for each in LIBRARIES if each.everyday or libraries is _Libraries.ALL]
    if dry_run:
        for line in requirements(chosen):
            console.print(line, markup=False, highlight=False)
        return
    environment = Environment(path)
    console.print(f"{len(chosen)} libraries; they take {_SIZES[libraries]}.", highlight=False)
    installed = _install(environment, chosen, python or sys.executable, console)
    console.print(
        f"{len(installed)} packages were installed now." if installed else "All is there."
    )
    _see_to_the_system(environment, chosen, console, install=system)
    well = not trials or _check(_backend(environment, isolation), chosen, console)
    use = f"\nUse it:  LocalBackend(python={environment.python!r})"
    console.print(use, markup=False, soft_wrap=True)
    if not well:
        raise typer.Exit(code=1)


def _install(
    environment: Environment, chosen: list[Library], base: str, console: Console
) -> tuple[str, ...]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("Looking", total=None)
        said = ""

        def report(step: Step) -> None:
            nonlocal said
            progress.update(task, description=step.text, completed=step.done)
            progress.tasks[0].total = step.total or None
            if disable and step.text != said and "Resolving" not in step.text:
                console.print(step.text, markup=False, highlight=False)
            said = step.text

        return install(environment, chosen, base=base, report=report)


def _see_to_the_system(
    environment: Environment, chosen: list[Library], console: Console, *, install: bool
) -> None:
    lacking = missing(environment, chosen)
    if lacking and install and install_missing(lacking):
        console.print(f"Installed in the system: {', '.join(each.what for each in lacking)}.")
        lacking = missing(environment, chosen)
    for each in lacking:
        words = " ".join(each.packages)
        console.print(
            f"{each.library} needs {each.what} of the system: apt-get install {words}",
            style="yellow",
        )


def _backend(environment: Environment, isolation: _Isolations) -> "Backend":
    try:
        from ci_toolkit.backends.local import LocalBackend  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            f"{error}. --check needs: pip install 'ci-toolkit[local]'"
        ) from error
    return LocalBackend(python=environment.python, isolation=isolation.value)


def _check(backend: "Backend", chosen: list[Library], console: Console) -> bool:
    """Shows each trial when it is over, and then all; gives whether all libraries worked."""
    tried: list[Tried] = []
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=len(chosen))
            for each in chosen:
                progress.update(task, description=f"Trying {each.name}")
                tried += check(backend, [each])
                progress.advance(task)
    finally:
        backend.close()
    console.print(_table(tried))
    working = sum(each.works for each in tried)
    console.print(f"{working} of {len(tried)} libraries did their work.", highlight=False)
    return working == len(tried)


def _table(tried: list[Tried]) -> Table:
    table = Table("Library", "Version", "Seconds", "What was done")
    for each in tried:
        done = Text(each.does) if each.works else Text(plain(each.failure), style="red")
        version = Text(plain(each.version))
        table.add_row(each.library.name, version, f"{each.seconds:.1f}", done)
    return table
