"""The command `ci-toolkit emulate`: the AgentCore emulator until a signal ends it."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from ci_toolkit.backends.base import Backend
from ci_toolkit.cli.options import WHERE_CODE_RUNS, IsolationName, IsolationOption, open_backend
from ci_toolkit.errors import ConfigurationError

if TYPE_CHECKING:
    from ci_toolkit.emulator import Fault

__all__ = ["emulate"]

_OUTPUT_BYTES = 32 * 1024 * 1024


def emulate(  # noqa: PLR0913 - each is an option
    *,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Where to listen. Whoever reaches it can run code."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 for any that is free.")] = 8787,
    backend: Annotated[
        Literal["local", "memory"],
        typer.Option(
            help="'memory' runs Python in this process, unconfined, and no commands.",
            rich_help_panel=WHERE_CODE_RUNS,
        ),
    ] = "local",
    isolation: IsolationOption = "bubblewrap",
    latency: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds added to each call.")
    ] = 0.0,
    start_latency: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds added to the start of a session.")
    ] = 0.0,
    ttl: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Seconds that every session lives.")
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="How many sessions may be open at once.")
    ] = None,
    concurrent_invokes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many calls of one session may be under way."),
    ] = None,
    keep_javascript_state: Annotated[
        bool,
        typer.Option(
            "--keep-javascript-state", help="Keep variables of JavaScript and TypeScript."
        ),
    ] = False,
    images: Annotated[bool, typer.Option("--images", help="Send figures as image blocks.")] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", help="What goes wrong first: KIND, KIND:TOOL or KIND:TOOL:TIMES."
        ),
    ] = None,
) -> None:
    """Serve the API of Bedrock AgentCore's code interpreter on this machine."""
    try:
        from ci_toolkit.emulator import AgentCoreEmulator  # noqa: PLC0415 - an extra
    except ImportError as error:
        sys.exit(f"ci-toolkit: {error}")
    faults = [_fault(text) for text in fault or ()]
    with _running(backend, isolation) as place:
        emulator = AgentCoreEmulator(
            place,
            host=host,
            port=port,
            latency=latency,
            start_latency=start_latency,
            ttl=ttl,
            max_sessions=max_sessions,
            concurrent_invokes=concurrent_invokes,
            keep_javascript_state=keep_javascript_state,
            images=images,
        )
        for one in faults:
            emulator.fault(one)
        with _signals() as ended, emulator as url:
            sys.stdout.write(f"AgentCore emulator listening on {url}\n")
            sys.stdout.flush()
            ended.wait()


@contextmanager
def _running(name: Literal["local", "memory"], isolation: IsolationName) -> Iterator[Backend]:
    place = open_backend(name, isolation=isolation, output_bytes=_OUTPUT_BYTES)
    try:
        yield place
    finally:
        place.close()


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that is set when the process is asked to end."""
    ended = threading.Event()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: ended.set()) for kind in kinds]
    try:
        yield ended
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _fault(text: str) -> "Fault":
    from ci_toolkit.emulator import Fault  # noqa: PLC0415 - an extra
    from ci_toolkit.emulator.faults import FaultKind  # noqa: PLC0415 - an extra

    kind, tool, times = (*text.split(":"), "", "")[:3]
    for known in get_args(FaultKind):
        if kind == known and (times or "1").isdecimal():
            return Fault(kind=known, tool=tool, times=int(times or 1))
    raise ConfigurationError(
        f"--fault is KIND[:TOOL[:TIMES]], not {text!r}; "
        f"the kinds are {', '.join(get_args(FaultKind))}."
    )
