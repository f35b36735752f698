"""The command line, `ci-toolkit`: a thin shell over the library, which takes plain values.

A user's mistake ends in one line on standard error and exit code 2, a backend that fails in one
line and exit code 1, neither in a traceback. Each command is a module of its own, and imports the
extras that it needs when it runs.
"""

import logging
import os
import signal
import sys
from importlib.metadata import version as installed_version
from typing import Annotated, NoReturn

from ci_toolkit.errors import BackendError, CodeInterpreterError

try:
    import typer

    from ci_toolkit.cli.chat import chat
    from ci_toolkit.cli.demo import demo
    from ci_toolkit.cli.doctor import doctor
    from ci_toolkit.cli.emulate import emulate
    from ci_toolkit.cli.mcp import mcp
    from ci_toolkit.cli.options import in_options
    from ci_toolkit.cli.routing import routing
    from ci_toolkit.cli.run import run
    from ci_toolkit.cli.sandbox_env import sandbox_env
    from ci_toolkit.cli.skill import skill
    from ci_toolkit.cli.streams import say
    from ci_toolkit.terminal import plain
except ImportError as error:
    sys.exit(f"ci-toolkit: {error}. The command line needs: pip install 'ci-toolkit[cli]'")

__all__ = ["app", "main"]

_FORMAT = "%(levelname)s %(name)s: %(message)s"


class _Plain(logging.Formatter):
    """Makes records plain: what a sandbox said cannot command the terminal by them."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


class _Brief(_Plain):
    """Leaves tracebacks out: `--verbose` shows them."""

    def format(self, record: logging.LogRecord) -> str:
        brief = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        return super().format(brief)


_log = logging.StreamHandler()
_log.setFormatter(_Brief(_FORMAT))

app = typer.Typer(
    help="A code interpreter for LangChain and Strands agents.",
    epilog="Options that say where code runs, and some others, can also be set by environment "
    "variables, such as CI_TOOLKIT_BACKEND for --backend.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(*, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"ci-toolkit {installed_version('ci-toolkit')}\n")
        raise typer.Exit


@app.callback()
def _root(
    *,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Log what happens inside, on standard error."),
    ] = False,
    version: Annotated[  # noqa: ARG001 - answered by its callback
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """A code interpreter for LangChain and Strands agents."""
    if verbose:
        _log.setFormatter(_Plain(_FORMAT))
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger("ci_toolkit").setLevel(logging.DEBUG)


app.command("demo")(demo)
app.command("chat")(chat)
app.command("run")(run)
app.command("doctor")(doctor)
app.command("emulate")(emulate)
app.command("mcp")(mcp)
app.command("routing")(routing)
app.command("skill")(skill)
app.command("sandbox-env")(sandbox_env)


def main() -> None:
    """Entry point of the `ci-toolkit` script."""
    logging.basicConfig(level=logging.WARNING, handlers=[_log])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        app()
    except CodeInterpreterError as error:
        say(in_options(str(error)))
        sys.exit(1 if isinstance(error, BackendError) else 2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # Whoever read the output has enough of it; the interpreter would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _end(number: int, _frame: object) -> NoReturn:
    """Ends the process as an exception does, so that sandboxes are ended with it."""
    sys.exit(128 + number)
