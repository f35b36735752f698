"""The command `ci-toolkit doctor`: what works on this machine, and what to do about the rest."""

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ci_toolkit.cli.checks import Finding, Settings, Status, check_all
from ci_toolkit.cli.options import (
    BackendOption,
    EndpointOption,
    IdentifierOption,
    IsolationOption,
    NetworkOption,
    PythonOption,
    RegionOption,
)
from ci_toolkit.cli.orphans import stop_orphans
from ci_toolkit.terminal import plain

__all__ = ["doctor"]

_NAME_WIDTH = 16
_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "off": ("·", "dim"),
    "warn": ("!", "yellow"),
    "fail": ("✗", "red"),
}


def doctor(  # noqa: PLR0913 - each is an option
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON, for programs.")
    ] = False,
    orphans: Annotated[
        bool,
        typer.Option(
            "--stop-orphans", help="End what crashed processes have left behind, and do no checks."
        ),
    ] = False,
    older_than: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            help="With --stop-orphans: leave sessions of AgentCore alone that are younger.",
        ),
    ] = 900.0,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --stop-orphans: do not ask.")
    ] = False,
    workspace: Annotated[
        str,
        typer.Option(
            help="A folder or s3://BUCKET/PREFIX to try as well.",
            metavar="PLACE",
            envvar="CI_TOOLKIT_WORKSPACE",
            show_envvar=False,
        ),
    ] = "",
    backend: BackendOption = "local",
    isolation: IsolationOption = "bubblewrap",
    network: NetworkOption = "none",
    python: PythonOption = None,
    region: RegionOption = None,
    identifier: IdentifierOption = None,
    endpoint_url: EndpointOption = None,
) -> None:
    """See what works on this machine, and what to do about what does not.

    Everything is really tried. With --backend agentcore a session of the service is started, too.
    The exit code is 1 where something is broken; what is merely not installed is not.
    """
    settings = Settings(
        backend=backend,
        isolation=isolation,
        network=network,
        python=python,
        region=region,
        identifier=identifier,
        endpoint_url=endpoint_url,
        workspace=workspace,
    )
    if orphans:
        well = stop_orphans(settings, Console(), older_than=older_than, sure=yes)
    elif as_json:
        well = _report(list(check_all(settings)))
    else:
        well = _show(settings, Console(highlight=False))
    raise typer.Exit(0 if well else 1)


def _report(findings: list[Finding]) -> bool:
    well = all(finding.status != "fail" for finding in findings)
    record = {
        "version": version("ci-toolkit"),
        "ok": well,
        "checks": [asdict(finding) for finding in findings],
    }
    sys.stdout.write(json.dumps(record, indent=2) + "\n")
    return well


def _show(settings: Settings, console: Console) -> bool:
    counts: dict[Status, int] = dict.fromkeys(_MARKS, 0)
    with console.status("Looking"):
        for finding in check_all(settings):
            counts[finding.status] += 1
            console.print(_row(finding))
    if counts["fail"]:
        console.print(f"\n[red]{counts['fail']} broken[/], {counts['ok']} in order.")
    else:
        console.print(f"\n[green]Nothing is broken[/]: {counts['ok']} in order.")
    return not counts["fail"]


def _row(finding: Finding) -> Table:
    mark, style = _MARKS[finding.status]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=_NAME_WIDTH)
    grid.add_column()
    said = Text(plain(finding.found), style="dim" if finding.status == "off" else "")
    if finding.advice:
        said.append(f"\n→ {plain(finding.advice)}", style="" if finding.status == "off" else style)
    grid.add_row(Text(mark, style=style), finding.check, said)
    return grid
