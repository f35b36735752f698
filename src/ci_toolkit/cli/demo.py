"""The command `ci-toolkit demo`: two agents analyse real data in a sandbox."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = ["demo"]


class Isolation(StrEnum):
    """How code is confined."""

    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


class Agents(StrEnum):
    """Which agents take part."""

    BOTH = "both"
    LANGCHAIN = "langchain"
    STRANDS = "strands"


class Backends(StrEnum):
    """Where code runs."""

    LOCAL = "local"
    AGENTCORE = "agentcore"


def demo(
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="A CSV file of yours; without it, Mauna Loa's carbon dioxide."),
    ] = None,
    workspace: Annotated[Path, typer.Option(help="The folder where results are left.")] = Path(
        "workspace"
    ),
    backend: Annotated[Backends, typer.Option(help="Where code runs.")] = Backends.LOCAL,
    emulate: Annotated[
        bool, typer.Option(help="With agentcore: play the service and S3 on this machine.")
    ] = False,
    region: Annotated[str | None, typer.Option(help="With agentcore: the AWS region.")] = None,
    isolation: Annotated[
        Isolation, typer.Option(help="How code is confined here; 'none' runs it unconfined.")
    ] = Isolation.BUBBLEWRAP,
    agent: Annotated[Agents, typer.Option(help="Which agents take part.")] = Agents.BOTH,
) -> None:
    """Watch two agents analyse a data set in a sandbox. Locally it needs no key and no account."""
    try:
        from ci_toolkit.demo import AGENTS, places, run_demo  # noqa: PLC0415 - an extra

        if backend is Backends.LOCAL:
            place = places.local(isolation.value, workspace)
        elif emulate:
            place = places.emulated(isolation.value)
        else:
            place = places.agentcore(region, workspace)
        chosen = tuple(AGENTS) if agent is Agents.BOTH else (agent.value,)
        with place as interpreter:
            well = run_demo(interpreter, Console(), file=file, folder=workspace, agents=chosen)
    except ImportError as error:
        needs = "pip install 'ci-toolkit[all]'" + (" 'moto[s3,server]'" if emulate else "")
        sys.exit(f"ci-toolkit: {error}. The demo needs: {needs}")
    if not well:
        raise typer.Exit(code=1)
