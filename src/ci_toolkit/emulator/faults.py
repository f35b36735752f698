"""Faults on demand: what goes wrong with the next request that fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Literal, get_args

from ci_toolkit.emulator.refusals import STATUSES
from ci_toolkit.errors import ConfigurationError

__all__ = ["INSTEAD", "INVOKE", "Fault", "FaultKind", "Faults"]

FaultKind = Literal[
    "throttle",
    "server_error",
    "refuse",
    "exception_in_stream",
    "cut_before",
    "cut_inside",
    "cut_after",
    "truncated_frame",
    "corrupted_frame",
    "split_result",
    "slow_headers",
    "unknown_block",
    "unknown_member",
    "unknown_event",
]

INVOKE = "InvokeCodeInterpreter"
INSTEAD: Mapping[str, str] = {
    "throttle": "ThrottlingException",
    "server_error": "InternalServerException",
    "refuse": "AccessDeniedException",
}
"""Kinds that are an HTTP error in place of an answer, and the exception they are by default."""

_ANY_OPERATION = {*INSTEAD, "cut_before", "cut_inside", "slow_headers"}


_EITHER = {*INSTEAD, "cut_before", "exception_in_stream"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong, and with which requests.

    Kinds:
        `throttle`, `server_error`, `refuse`: an HTTP error (429, 500, or that of `code`); nothing
            has run.
        `exception_in_stream`: a good start of the stream, then an exception frame (`code` in
            camel case, by default `internalServerException`) in place of the result.
        `cut_before`: the connection is closed before the headers.
        `cut_inside`: it is closed in the middle of the result.
        `cut_after`: it is closed after the whole result, without the end of the chunked body.
        `truncated_frame`: the body ends cleanly in the middle of a frame.
        `corrupted_frame`: a frame whose checksum is wrong.
        `split_result`: the result comes as two `result` events.
        `slow_headers`: `seconds` pass before the headers, after the work is done.
        `unknown_block`, `unknown_member`, `unknown_event`: things that the API does not know yet.

    Attributes:
        kind: One of the above.
        operation: Which operation of the API; empty for any that the kind can befall.
        tool: Which tool of an invoke; empty for any.
        times: How many requests it befalls.
        after: How many requests that fit are spared before.
        run: Whether the work is done before: of HTTP errors it is not, of all else it is. Can be
            set for HTTP errors, `cut_before` and `exception_in_stream`.
        code: The exception, where the kind has one.
        message: Its text.
        seconds: Of `slow_headers`.

    Raises:
        ConfigurationError: There is no such kind or code.
    """

    kind: FaultKind
    operation: str = ""
    tool: str = ""
    times: int = 1
    after: int = 0
    run: bool | None = None
    code: str = ""
    message: str = "A fault of the emulator, as asked for."
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ConfigurationError(f"There is no kind of fault {self.kind!r}.")
        if self.kind in INSTEAD and self.code and self.code not in STATUSES:
            raise ConfigurationError(
                f"The code of {self.kind!r} is one of {', '.join(STATUSES)}, not {self.code!r}."
            )

    @property
    def runs(self) -> bool:
        """Whether the work is done before it goes wrong."""
        if self.run is None or self.kind not in _EITHER:
            return self.kind not in INSTEAD
        return self.run

    def fits(self, operation: str, tool: str) -> bool:
        """Whether it can befall a request."""
        if self.operation and self.operation != operation:
            return False
        if self.tool and self.tool != tool:
            return False
        return operation == INVOKE or self.kind in _ANY_OPERATION


class Faults:
    """The faults to come, in the order in which they were asked for; safe from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[_Waiting] = []

    def add(self, fault: Fault) -> None:
        """Adds a fault."""
        with self._lock:
            self._waiting.append(_Waiting(fault, fault.after, fault.times))

    def clear(self) -> None:
        """Forgets all faults."""
        with self._lock:
            self._waiting.clear()

    def take(self, operation: str, tool: str) -> Fault | None:
        """What goes wrong with this request; the first fault that fits and is not used up."""
        with self._lock:
            fitting = [w for w in self._waiting if w.left and w.fault.fits(operation, tool)]
            for waiting in fitting:
                if waiting.spared:
                    waiting.spared -= 1
                    continue
                waiting.left -= 1
                return waiting.fault
            return None


@dataclass
class _Waiting:
    fault: Fault
    spared: int
    left: int
