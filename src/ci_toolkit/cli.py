"""The command line, `ci-toolkit`: a thin shell over the library, which takes plain values.

A user's mistake ends in one line on standard error and exit code 2, never in a traceback.
"""

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from ci_toolkit.errors import CodeInterpreterError

try:
    import typer
    from rich.console import Console

    from ci_toolkit.cli_emulate import emulate as emulate_command
except ImportError as error:
    sys.exit(f"ci-toolkit: {error}. The command line needs: pip install 'ci-toolkit[cli]'")

__all__ = ["app", "main"]

app = typer.Typer(
    help="A code interpreter for LangChain and Strands agents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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


@app.callback()
def _root() -> None:
    """A code interpreter for LangChain and Strands agents."""


@app.command()
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


app.command("emulate")(emulate_command)


def main() -> None:
    """Entry point of the `ci-toolkit` script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except CodeInterpreterError as error:
        sys.stderr.write(f"ci-toolkit: {error}\n")
        sys.exit(2)
