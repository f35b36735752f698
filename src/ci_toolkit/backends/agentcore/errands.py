"""`Errands`: programs of `guest` run in a session, their answers read; used by `files` and runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ci_toolkit.backends.agentcore.answers import Answer
from ci_toolkit.backends.agentcore.calls import Calls
from ci_toolkit.backends.agentcore.programs import (
    Program,
    ProgramError,
    Reply,
    prepare,
    read_reply,
    unpack,
)
from ci_toolkit.errors import BackendUnavailableError

__all__ = ["TRANSFER_SECONDS", "Errands"]

TRANSFER_SECONDS = 300.0
_LONGEST_PATH = 4096


class Errands:
    """Runs programs in one session.

    Args:
        calls: The session's.

    Attributes:
        directory: The working directory; empty until a program has told it.
        shift: What is added to the sandbox's clock to get this machine's, within the time that a
            call takes.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
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
            CodeInterpreterError: As `Calls.invoke` does.
        """
        program = self.prepare(name, header, payload)
        sent = time.time()
        arguments = {"command": program.command}
        answer = self._calls.invoke("executeCommand", arguments, patience=patience)
        return self.finish(program, answer, sent=sent, received=time.time())

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
        """Writes a file as the service does; gives its refusal, empty when there is none."""
        content = {"content": [{"path": path, "blob": data}]}
        answer = self._calls.invoke("writeFiles", content, patience=TRANSFER_SECONDS)
        return (answer.text or "no reason given") if answer.is_error else ""

    def finish(self, program: Program, answer: Answer, *, sent: float, received: float) -> Reply:
        """Reads a program's answer.

        Args:
            program: The program.
            answer: What its command answered.
            sent: When that was, by this machine's clock.
            received: When the answer was there.

        Raises:
            BackendUnavailableError: There is no answer in it.
        """
        with _told():
            reply = read_reply(program, answer)
            if reply.stored:
                self._stored.append(reply.stored)
                reply = unpack(reply, self._fetch(reply.stored))
            self._learn(reply, sent, received)
            return reply

    def _fetch(self, name: str) -> bytes:
        paths = {"paths": [name]}
        answer = self._calls.invoke("readFiles", paths, patience=TRANSFER_SECONDS)
        if answer.is_error or len(answer.files) != 1:
            raise ProgramError(f"the answer of a program cannot be read: {answer.text[:300]!r}")
        return answer.files[0].data

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
