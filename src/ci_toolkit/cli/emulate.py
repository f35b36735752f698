"""The command `ci-toolkit emulate`: the AgentCore emulator until a signal ends it."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ci_toolkit.backends.base import Backend
from ci_toolkit.errors import ConfigurationError

if TYPE_CHECKING:
    from ci_toolkit.emulator import Fault

__all__ = ["emulate"]

_OUTPUT_BYTES = 32 * 1024 * 1024


class _Backends(StrEnum):
    LOCAL = "local"
    MEMORY = "memory"


class _Isolations(StrEnum):
    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


def emulate(  # noqa: PLR0913 - each is an option
    *,
    host: Annotated[
        str, typer.Option(help="Where to listen. Whoever reaches it can run code.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8787,
    backend: Annotated[
        _Backends,
        typer.Option(help="Where code runs; 'memory' runs Python in this process and no commands."),
    ] = _Backends.LOCAL,
    isolation: Annotated[
        _Isolations, typer.Option(help="How code is confined; 'none' runs it unconfined.")
    ] = _Isolations.BUBBLEWRAP,
    latency: Annotated[float, typer.Option(min=0, help="Seconds added to each call.")] = 0.0,
    start_latency: Annotated[
        float, typer.Option(min=0, help="Seconds added to the start of a session.")
    ] = 0.0,
    ttl: Annotated[
        float | None, typer.Option(min=0, help="Seconds that every session lives.")
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option(min=0, help="How many sessions may be open at once.")
    ] = None,
    concurrent_invokes: Annotated[
        int | None, typer.Option(min=1, help="How many calls of one session may be under way.")
    ] = None,
    keep_javascript_state: Annotated[
        bool, typer.Option(help="Keep variables of JavaScript and TypeScript.")
    ] = False,
    images: Annotated[bool, typer.Option(help="Send figures as image blocks.")] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="What goes wrong first: KIND[:TOOL[:TIMES]], such as throttle::2."),
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
def _running(kind: _Backends, isolation: _Isolations) -> Iterator[Backend]:
    place = _memory() if kind is _Backends.MEMORY else _local(isolation)
    try:
        yield place
    finally:
        place.close()


def _memory() -> Backend:
    from ci_toolkit.backends.memory import InMemoryBackend  # noqa: PLC0415 - only where asked for

    return InMemoryBackend(run_python=True)


def _local(isolation: _Isolations) -> Backend:
    try:
        from ci_toolkit.backends.local import LocalBackend  # noqa: PLC0415 - an extra
    except ImportError as error:
        sys.exit(f"ci-toolkit: {error}. It needs: pip install 'ci-toolkit[local]'")
    return LocalBackend(isolation=isolation.value, output_bytes=_OUTPUT_BYTES)


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
