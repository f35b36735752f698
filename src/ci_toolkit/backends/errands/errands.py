"""`Errands`: programs of `guest` run in a sandbox, their answers read; used by `files` and runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from ci_toolkit.backends.errands.programs import (
    Program,
    ProgramError,
    Reply,
    prepare,
    read_reply,
    unpack,
)
from ci_toolkit.errors import BackendUnavailableError

__all__ = ["TRANSFER_SECONDS", "Carrier", "Errands"]

TRANSFER_SECONDS = 300.0
_LONGEST_PATH = 4096


class Carrier(Protocol):
    """What carries programs into one sandbox; each backend has its own.

    Every verb but `part` raises what every verb of `Sandbox` raises.
    """

    @property
    def part(self) -> int:
        """Bytes that `store` takes best in one piece; it takes more."""
        ...

    def run(self, command: str, *, patience: float) -> Sequence[str]:
        """Runs a shell command in the working directory, at most once.

        Args:
            command: Shell source text of at most 120,000 bytes.
            patience: Seconds after which it is not waited for.

        Returns:
            The texts in which what it printed is, the likeliest for standard output first.

        Raises:
            OutcomeUnknownError: It did not end in time; it may be running.
        """
        ...

    def store(self, path: str, data: bytes) -> str:
        """Writes a file below the working directory; gives a refusal, empty when there is none."""
        ...

    def fetch(self, path: str) -> bytes:
        """Reads a file below the working directory.

        Raises:
            ProgramError: It is not there.
        """
        ...


class Errands:
    """Runs programs in one sandbox.

    Args:
        carrier: The sandbox's.

    Attributes:
        directory: The working directory; empty until a program has told it.
        shift: What is added to the sandbox's clock to get this machine's, within the time that a
            call takes.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._stored: list[str] = []
        self.directory = ""
        self.shift = 0.0

    def run(
        self, name: str, header: dict[str, object], payload: bytes = b"", *, patience: float
    ) -> Reply:
        """Runs a program to its end.

        Args:
            name: Of the program.
            header: Its arguments.
            payload: Raw bytes that go with them.
            patience: Seconds after which it is not waited for.

        Raises:
            BackendUnavailableError: It did not answer as it should.
            CodeInterpreterError: As `Carrier.run` does.
        """
        program = self.prepare(name, header, payload)
        sent = time.time()
        printed = self._carrier.run(program.command, patience=patience)
        return self.finish(program, printed, sent=sent, received=time.time())

    @property
    def part(self) -> int:
        """Bytes that `store` takes best in one piece; it takes more."""
        return self._carrier.part

    def prepare(self, name: str, header: dict[str, object], payload: bytes = b"") -> Program:
        """Makes a program ready; its command is for the caller to run."""
        forget, self._stored = self._stored, []
        program = prepare(name, {**header, "forget": forget}, payload)
        if program.stored is not None:
            refusal = self.store(*program.stored)
            if refusal:
                raise BackendUnavailableError(f"The sandbox does not take files: {refusal}")
        return program

    def store(self, path: str, data: bytes) -> str:
        """Writes a file for a later program; gives a refusal, empty when there is none."""
        return self._carrier.store(path, data)

    def finish(
        self, program: Program, printed: Sequence[str], *, sent: float, received: float
    ) -> Reply:
        """Reads a program's answer.

        Args:
            program: The program.
            printed: What its command printed.
            sent: When that was, by this machine's clock.
            received: When that was there.

        Raises:
            BackendUnavailableError: There is no answer in it.
        """
        with _told():
            reply = read_reply(program, printed)
            if reply.stored:
                self._stored.append(reply.stored)
                reply = unpack(reply, self._carrier.fetch(reply.stored))
            self._learn(reply, sent, received)
            return reply

    def _learn(self, reply: Reply, sent: float, received: float) -> None:
        directory, now = reply.header.get("cwd"), reply.header.get("now")
        if (
            isinstance(directory, str)
            and directory.startswith("/")
            and len(directory) < _LONGEST_PATH
        ):
            self.directory = directory
        # Kept as it is while it can be right, so that one file has one time in all listings.
        if isinstance(now, int | float) and not sent <= now + self.shift <= received:
            self.shift = received - now


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ProgramError as error:
        raise BackendUnavailableError(f"The sandbox cannot be used: {error}.") from error
