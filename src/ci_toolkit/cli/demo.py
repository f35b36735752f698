"""The command `ci-toolkit demo`: two agents analyse real data in a sandbox."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ci_toolkit.cli.options import WHERE_CODE_RUNS, IsolationOption, RegionOption

__all__ = ["demo"]


def demo(
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="A CSV file of yours; without it, Mauna Loa's carbon dioxide."),
    ] = None,
    workspace: Annotated[Path, typer.Option(help="The folder where results are left.")] = Path(
        "workspace"
    ),
    backend: Annotated[
        Literal["local", "agentcore"],
        typer.Option(help="This machine, or AgentCore.", rich_help_panel=WHERE_CODE_RUNS),
    ] = "local",
    emulate: Annotated[
        bool,
        typer.Option(
            "--emulate",
            help="With agentcore: play the service and S3 on this machine.",
            rich_help_panel=WHERE_CODE_RUNS,
        ),
    ] = False,
    region: RegionOption = None,
    isolation: IsolationOption = "bubblewrap",
    agent: Annotated[
        Literal["both", "langchain", "strands"], typer.Option(help="Which agents take part.")
    ] = "both",
) -> None:
    """Watch two agents analyse a data set in a sandbox. Locally it needs no key and no account."""
    try:
        from ci_toolkit.demo import AGENTS, places, run_demo  # noqa: PLC0415 - an extra

        if backend == "local":
            place = places.local(isolation, workspace)
        elif emulate:
            place = places.emulated(isolation)
        else:
            place = places.agentcore(region, workspace)
        chosen = tuple(AGENTS) if agent == "both" else (agent,)
        with place as interpreter:
            well = run_demo(interpreter, Console(), file=file, folder=workspace, agents=chosen)
    except ImportError as error:
        needs = "pip install 'ci-toolkit[all]'" + (" 'moto[s3,server]'" if emulate else "")
        sys.exit(f"ci-toolkit: {error}. The demo needs: {needs}")
    if not well:
        raise typer.Exit(code=1)
