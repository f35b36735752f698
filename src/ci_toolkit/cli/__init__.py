"""The command line, `ci-toolkit`: a thin shell over the library, which takes plain values.

A user's mistake ends in one line on standard error and exit code 2, never in a traceback. Each
command is a module of its own, and imports the extras that it needs when it runs.
"""

import logging
import sys

from ci_toolkit.errors import CodeInterpreterError

try:
    import typer

    from ci_toolkit.cli.demo import demo
    from ci_toolkit.cli.emulate import emulate
    from ci_toolkit.cli.sandbox_env import sandbox_env
except ImportError as error:
    sys.exit(f"ci-toolkit: {error}. The command line needs: pip install 'ci-toolkit[cli]'")

__all__ = ["app", "main"]

app = typer.Typer(
    help="A code interpreter for LangChain and Strands agents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """A code interpreter for LangChain and Strands agents."""


app.command("demo")(demo)
app.command("emulate")(emulate)
app.command("sandbox-env")(sandbox_env)


def main() -> None:
    """Entry point of the `ci-toolkit` script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except CodeInterpreterError as error:
        sys.stderr.write(f"ci-toolkit: {error}\n")
        sys.exit(2)
