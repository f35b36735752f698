"""The command `ci-toolkit chat`: an agent in the terminal."""

import contextlib
import glob
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

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
    WorkspaceOption,
    open_backend,
    open_workspace,
)
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.limits import Limits
from ci_toolkit.scope import Scope

if TYPE_CHECKING:
    from ci_toolkit.chat import Conversation

__all__ = ["chat"]

_PROMPT = "you> "
_USER = "cli"


def chat(  # noqa: PLR0913 - each is an option
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            envvar="CI_TOOLKIT_MODEL",
            show_envvar=False,
            help="PROVIDER:MODEL, such as anthropic:claude-sonnet-4-5, or python:MODULE.NAME for a "
            "model object of your own.",
        ),
    ],
    framework: Annotated[
        Literal["langchain", "strands"],
        typer.Option(envvar="CI_TOOLKIT_FRAMEWORK", show_envvar=False, help="Whose agent it is."),
    ] = "langchain",
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", metavar="TEXT", help="Ask this, and end after the answer."),
    ] = None,
    upload: Annotated[
        list[Path] | None,
        typer.Option("--upload", "-u", metavar="FILE", help="A file for the sandbox; repeatable."),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="An earlier chat whose files are wanted; else a new one."
        ),
    ] = None,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Show no pictures to the model, if it refuses them.")
    ] = False,
    workspace: WorkspaceOption = "workspace",
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
    """Talk with an agent that runs code in a sandbox.

    The provider's key is where its own library looks for it, such as ANTHROPIC_API_KEY.
    """
    with Console(stderr=True).status("Getting ready"):
        try:
            from ci_toolkit.chat import Conversation, WatchedInterpreter, open_agent  # noqa: PLC0415
            from ci_toolkit.chat.view import ChatView  # noqa: PLC0415
        except ImportError as error:
            needs = f"pip install 'ci-toolkit[{framework}]'"
            raise ConfigurationError(f"{error}. The chat needs: {needs}") from error
    # As it is now: a fake that runs code in this process puts another stream in its place.
    view = ChatView(Console(file=sys.stdout, highlight=False))
    name = session or f"chat-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    scope = Scope(user_id=_USER, session_id=name)
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
        )
        stack.callback(engine.close)
        interpreter = stack.enter_context(
            WatchedInterpreter(
                engine, open_workspace(workspace), view, limits=Limits(timeout=timeout)
            )
        )
        with Console(stderr=True).status("Getting ready"):
            agent = open_agent(framework, model, interpreter, scope, images=not no_images)
            conversation = Conversation(agent, interpreter, scope, view)
            stack.callback(conversation.close)
            _upload_all(conversation, upload or ())
            conversation.begin()
        if prompt is not None:
            raise typer.Exit(0 if conversation.ask(prompt) else 1)
        if sys.stdin.isatty():
            view.note(f"{model} with a {backend} sandbox. /help says what there is, /quit leaves.")
        conversation.talk(_lines(conversation.commands))
        if sys.stdin.isatty() and interpreter.files(scope):
            view.note(f"The files stay; go on with them by --session {name}")


def _upload_all(conversation: "Conversation", paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            conversation.upload(path)
        except OSError as error:
            raise ConfigurationError(f"Cannot read {path}: {error.strerror}.") from error


def _lines(commands: Sequence[str]) -> Iterator[str]:
    """What the user types, or standard input where that is no terminal."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.rstrip("\n")
        return
    _complete(commands)
    while True:
        try:
            yield input(_PROMPT)
        except KeyboardInterrupt:
            sys.stdout.write("\n(Ctrl-D or /quit leaves)\n")
        except EOFError:
            sys.stdout.write("\n")
            return


def _complete(commands: Sequence[str]) -> None:
    """Lets the tab key complete commands and paths, and the arrow keys find earlier lines."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: PLC0415 - not on every system

        readline.set_completer_delims(" ")
        readline.set_completer(_completer(commands))
        readline.parse_and_bind("tab: complete")


def _completer(commands: Sequence[str]) -> Callable[[str, int], str | None]:
    def complete(text: str, number: int) -> str | None:
        matches = sorted(glob.glob(f"{text}*"))  # noqa: PTH207 - it takes absolute ones as well
        paths = [f"{path}/" if Path(path).is_dir() else path for path in matches]
        found = [c for c in commands if text and c.startswith(text)] + paths
        return found[number] if number < len(found) else None

    return complete
