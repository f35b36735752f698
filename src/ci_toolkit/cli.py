"""The command line, `ci-toolkit`: a thin shell over the library, which takes plain values.

A user's mistake ends in one line on standard error and exit code 2, never in a traceback.
"""

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from ci_toolkit.errors import CodeInterpreterError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.workspaces import DirectoryWorkspace

try:
    import typer
    from rich.console import Console
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


@app.callback()
def _root() -> None:
    """Keeps `demo` a command of its own while it is the only one."""


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
    isolation: Annotated[
        Isolation, typer.Option(help="How code is confined; 'none' runs it unconfined.")
    ] = Isolation.BUBBLEWRAP,
    agent: Annotated[Agents, typer.Option(help="Which agents take part.")] = Agents.BOTH,
) -> None:
    """Watch two agents analyse a data set in a local sandbox. Needs no key and no account."""
    try:
        from ci_toolkit.backends.local import LocalBackend  # noqa: PLC0415 - an extra
        from ci_toolkit.demo import AGENTS, run_demo  # noqa: PLC0415 - an extra
    except ImportError as error:
        sys.exit(f"ci-toolkit: {error}. The demo needs: pip install 'ci-toolkit[all]'")
    console = Console()
    chosen = tuple(AGENTS) if agent is Agents.BOTH else (agent.value,)
    backend = LocalBackend(isolation=isolation.value)
    with CodeInterpreter(backend, DirectoryWorkspace(workspace)) as interpreter:
        well = run_demo(interpreter, console, file=file, folder=workspace, agents=chosen)
    if not well:
        raise typer.Exit(code=1)


def main() -> None:
    """Entry point of the `ci-toolkit` script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except CodeInterpreterError as error:
        sys.stderr.write(f"ci-toolkit: {error}\n")
        sys.exit(2)
