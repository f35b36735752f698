"""What `ci-toolkit doctor --stop-orphans` does: ends what processes that crashed have left."""

import sys
import time
from collections.abc import Iterable

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ci_toolkit.backends.orphans import Leftover, Orphans
from ci_toolkit.cli.checks.aws import has_credentials
from ci_toolkit.cli.checks.settings import Settings
from ci_toolkit.cli.options import BackendName
from ci_toolkit.cli.streams import say
from ci_toolkit.errors import CodeInterpreterError
from ci_toolkit.terminal import plain

__all__ = ["stop_orphans"]

_PREFIX = "ci-toolkit-"


def stop_orphans(settings: Settings, console: Console, *, older_than: float, sure: bool) -> bool:
    """Ends what is surely abandoned, and after a question what only may be.

    Args:
        settings: Which backends to ask, and how.
        console: Where to list what was found.
        older_than: Seconds since the start of a sandbox of which it is not known whether its
            process lives; younger ones are left alone.
        sure: Whether the question was answered beforehand.

    Returns:
        Whether all that was to be ended has been.
    """
    names: list[BackendName] = ["local"]
    if settings.backend == "agentcore" or has_credentials(settings):
        names.append("agentcore")
    results = [_of(name, settings, console, older_than=older_than, sure=sure) for name in names]
    return all(results)


def _of(
    name: BackendName, settings: Settings, console: Console, *, older_than: float, sure: bool
) -> bool:
    try:
        backend = settings.open(name)
    except CodeInterpreterError as error:
        say(f"{name}: {error}")
        return name != settings.backend
    try:
        if not isinstance(backend, Orphans):
            return True
        found = backend.list_leftovers(_PREFIX)
        before = time.time() - older_than
        chosen = [left for left in found if left.abandoned or left.started < before]
        console.print(_table(name, found, chosen))
        doubtful = [left for left in chosen if not left.abandoned]
        if doubtful and not sure and not _agreed(len(doubtful)):
            chosen = [left for left in chosen if left.abandoned]
            _end(backend, chosen)
            return False
        return _end(backend, chosen)
    except CodeInterpreterError as error:
        say(f"{name}: {error}")
        return False
    finally:
        backend.close()


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        say(f"{count} may be in use by a process that lives; nothing of them was stopped (--yes)")
        return False
    return typer.confirm(
        f"Processes that live may be using these {count}, and would lose them. Stop them?"
    )


def _end(backend: Orphans, chosen: Iterable[Leftover]) -> bool:
    well = True
    for left in chosen:
        try:
            backend.end_leftover(left.id)
        except CodeInterpreterError as error:
            say(f"{left.name}: {error}")
            well = False
    return well


def _table(name: str, found: Iterable[Leftover], chosen: list[Leftover]) -> Table | str:
    rows = list(found)
    if not rows:
        return f"{name}: nothing was left behind."
    table = Table(title=f"{name}: left behind, or in use elsewhere", title_justify="left")
    for heading in ("name", "age", ""):
        table.add_column(heading)
    for left in rows:
        what = "to be ended" if left in chosen else "too young"
        sure = "" if left.abandoned else ", perhaps in use"
        table.add_row(Text(plain(left.name)), _age(left.started), f"{what}{sure}")
    return table


def _age(started: float) -> str:
    seconds = max(0, int(time.time() - started))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
