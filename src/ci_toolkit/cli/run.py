"""The command `ci-toolkit run`: a program in a fresh sandbox, with its output and exit code."""

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.cli.keeping import Files, keep_files, keep_images, made_since, user_files
from ci_toolkit.cli.options import (
    BackendOption,
    EndpointOption,
    IdentifierOption,
    IsolationOption,
    NetworkOption,
    PythonOption,
    RegionOption,
    SessionTimeoutOption,
    TimeoutOption,
    in_options,
    open_backend,
)
from ci_toolkit.cli.programs import Language, Program, send_files
from ci_toolkit.cli.streams import Echo, say
from ci_toolkit.errors import BackendError, OutcomeUnknownError
from ci_toolkit.results import Execution

__all__ = ["run"]

_TIMED_OUT = 124
_NOT_DONE = 125
_NAMED = 5
_OUTPUT_BYTES = 32 * 1024 * 1024


def run(  # noqa: PLR0913 - each is an option
    file: Annotated[
        str,
        typer.Argument(help="A .py, .js, .ts or .sh file; '-' reads it from standard input."),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What the program is given; after '--' anything.")
    ] = None,
    *,
    upload: Annotated[
        list[Path] | None,
        typer.Option(
            "--upload", "-u", metavar="PATH", help="A file or folder that it needs; repeatable."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Where the files and figures that it makes are kept.",
        ),
    ] = None,
    language: Annotated[
        Language | None,
        typer.Option(metavar="NAME", help="python, javascript, typescript or shell."),
    ] = None,
    timeout: TimeoutOption = 300.0,
    backend: BackendOption = "local",
    isolation: IsolationOption = "bubblewrap",
    network: NetworkOption = "none",
    python: PythonOption = None,
    region: RegionOption = None,
    identifier: IdentifierOption = None,
    endpoint_url: EndpointOption = None,
    session_timeout: SessionTimeoutOption = 3600,
) -> None:
    """Run a program in a fresh sandbox, and pass on its output and its exit code.

    Exit code 124 says that it timed out, 125 that it could not be run or what it made not be kept,
    130 that Ctrl-C ended it.
    """
    program = Program.read(file, arguments or (), language)
    with ExitStack() as stack:
        engine = open_backend(
            backend,
            isolation=isolation,
            network=network,
            python=python,
            region=region,
            identifier=identifier,
            endpoint_url=endpoint_url,
            session_timeout=session_timeout,
            output_bytes=_OUTPUT_BYTES,
        )
        stack.callback(engine.close)
        try:
            with Console(stderr=True).status("Starting a sandbox"):
                sandbox = engine.start(name="ci-toolkit-run")
                stack.callback(sandbox.close)
                send_files(sandbox, program, upload or ())
                before = user_files(sandbox)
            execution = _execute(sandbox, program, timeout)
        except (BackendError, OutcomeUnknownError) as error:
            say(in_options(str(error)))
            raise typer.Exit(_NOT_DONE) from error
        kept = _kept(sandbox, execution, before, output)
    code = _exit_code(execution, timeout)
    raise typer.Exit(code or (0 if kept else _NOT_DONE))


def _execute(sandbox: Sandbox, program: Program, timeout: float) -> Execution:
    echo = Echo()
    execution = _interruptible(
        lambda: program.execute(sandbox, timeout=timeout, on_output=echo), sandbox
    )
    echo.finish(execution)
    return execution


def _interruptible(work: Callable[[], Execution], sandbox: Sandbox) -> Execution:
    """Does the work in a thread, so that Ctrl-C can interrupt it, and at the second time end it."""
    results: list[Execution] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def begin() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again by the one who waits
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=begin, daemon=True).start()
    interrupted = False
    while not ended.is_set():
        try:
            ended.wait()
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            say("interrupting; Ctrl-C once more ends the sandbox")
            threading.Thread(target=sandbox.interrupt, daemon=True).start()
    if errors:
        raise errors[0]
    return results[0]


def _kept(sandbox: Sandbox, execution: Execution, before: Files, folder: Path | None) -> bool:
    """As `_keep`; False where files were wanted from a sandbox that the run has outlived."""
    try:
        _keep(sandbox, execution, before, folder)
    except (BackendError, OutcomeUnknownError) as error:
        say(in_options(str(error)))
        return folder is None
    return True


def _keep(sandbox: Sandbox, execution: Execution, before: Files, folder: Path | None) -> None:
    """Copies what was made into the folder, or says that it is gone."""
    after = user_files(sandbox)
    made = made_since(before, after)
    if not after.complete:
        say("the program made more files than can be listed; some of them are not kept")
    if folder is None:
        count = len(made) + len(execution.images)
        if count:
            files = "a file or figure" if count == 1 else f"{count} files and figures"
            say(f"{files} went with the sandbox; --output FOLDER keeps them")
        return
    for problem in keep_files(sandbox, made, folder):
        say(problem)
    kept = [*made, *keep_images(execution.images, made, folder)]
    if kept:
        more = f" and {len(kept) - _NAMED} more" if len(kept) > _NAMED else ""
        say(f"kept in {folder}: {', '.join(kept[:_NAMED])}{more}")


def _exit_code(execution: Execution, timeout: float) -> int:
    """As a shell would have it."""
    if execution.ended == "timed_out":
        say(f"timed out after {timeout:g} s (--timeout)")
        return _TIMED_OUT
    if execution.ended == "interrupted":
        return 128 + signal.SIGINT
    if execution.exit_code < 0:
        say(f"the program was killed by signal {-execution.exit_code}")
        return 128 - execution.exit_code
    if execution.ended == "died" and execution.exit_code == 0:
        return 1
    return execution.exit_code & 0xFF
