"""What an `InMemoryBackend` is told in advance, and what it notes down."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event, Lock

from ci_toolkit.backends.memory.files import FileTree
from ci_toolkit.results import Execution, OnOutput, Stream

__all__ = ["Call", "Fault", "Line", "Reply", "Request", "Script", "TextMatch"]


@dataclass(frozen=True)
class Call:
    """One verb that was called.

    Attributes:
        sandbox: The sandbox's id; empty where none was started.
        verb: Such as `execute_code`, `start` or `close`.
        arguments: By name; of files only the paths.
    """

    sandbox: str
    verb: str
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Request:
    """A run as a scripted function sees it.

    Attributes:
        text: The code or the command.
        language: Empty for a command.
        timeout: Seconds.
        sandbox: The sandbox's id.
        files: The sandbox's files, to read and to write.
        interrupted: Set when the run is interrupted or its sandbox ends; a function that waits
            for it is a run that lasts until then.
    """

    text: str
    language: str
    timeout: float
    sandbox: str
    files: FileTree = field(repr=False)
    interrupted: Event = field(default_factory=Event, repr=False)
    on_output: OnOutput | None = field(default=None, repr=False)
    output: dict[Stream, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})

    def print(self, text: str, stream: Stream = "stdout") -> None:
        """Prints, live, ahead of what the function returns."""
        self.output[stream] += text
        if self.on_output is not None and text:
            # The promise: what a listener raises is ignored.
            with suppress(Exception):
                self.on_output(stream, text)


Reply = str | Execution | Exception | Callable[[Request], str | Execution]
"""What answers a run: its stdout, all of it, an error to raise, or a function of the request."""

TextMatch = str | Callable[[str], bool]
"""The exact code or command, or what says of one whether it is meant."""


@dataclass
class Line:
    """A scripted reply; `left` says how many runs it still answers, None for all."""

    match: TextMatch
    reply: Reply
    left: int | None
    takes: float

    def fits(self, text: str) -> bool:
        """Whether this line answers a code or command."""
        if self.left == 0:
            return False
        return self.match == text if isinstance(self.match, str) else self.match(text)

    def answer(self, request: Request) -> Execution:
        """Answers a run; what was printed meanwhile is left to the caller."""
        if isinstance(self.reply, Exception):
            raise self.reply
        reply = self.reply(request) if callable(self.reply) else self.reply
        execution = Execution(stdout=reply) if isinstance(reply, str) else reply
        return replace(execution, duration=execution.duration or self.takes)


@dataclass
class Fault:
    """An error that the next calls of a verb raise instead of being done."""

    verb: str
    error: Exception
    left: int | None


class Script:
    """Lines and faults in the order in which they were added; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: dict[str, list[Line]] = {"execute_code": [], "execute_command": []}
        self._faults: list[Fault] = []

    def add(self, verb: str, line: Line) -> None:
        """Adds a reply."""
        with self._lock:
            self._lines[verb].append(line)

    def add_fault(self, fault: Fault) -> None:
        """Adds an error."""
        with self._lock:
            self._faults.append(fault)

    def line(self, verb: str, text: str) -> Line | None:
        """The first reply that fits and is not used up; it is used once more by this."""
        with self._lock:
            line = next((line for line in self._lines[verb] if line.fits(text)), None)
            if line is not None and line.left is not None:
                line.left -= 1
            return line

    def fault(self, verb: str) -> Exception | None:
        """The next call's error, if there is one; it is used once more by this."""
        with self._lock:
            faults = (f for f in self._faults if f.verb == verb and f.left != 0)
            fault = next(faults, None)
            if fault is not None and fault.left is not None:
                fault.left -= 1
            return None if fault is None else fault.error
