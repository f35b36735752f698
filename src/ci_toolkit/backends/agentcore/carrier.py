"""`ServiceCarrier`: carries programs into a session with three of the service's tools."""

from collections.abc import Sequence

from ci_toolkit.backends.agentcore.calls import Calls
from ci_toolkit.backends.errands.errands import TRANSFER_SECONDS
from ci_toolkit.backends.errands.programs import ProgramError

__all__ = ["ServiceCarrier"]


class ServiceCarrier:
    """A `Carrier` over one session.

    Args:
        calls: The session's.

    Attributes:
        part: As large as the service takes inline.
    """

    part = 16 * 1024 * 1024

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def run(self, command: str, *, patience: float) -> Sequence[str]:
        """Runs a command; see `Carrier.run`."""
        answer = self._calls.invoke("executeCommand", {"command": command}, patience=patience)
        return (answer.stdout, answer.stderr, answer.text)

    def store(self, path: str, data: bytes) -> str:
        """Writes a file; see `Carrier.store`."""
        content = {"content": [{"path": path, "blob": data}]}
        answer = self._calls.invoke("writeFiles", content, patience=TRANSFER_SECONDS)
        return (answer.text or "no reason given") if answer.is_error else ""

    def fetch(self, path: str) -> bytes:
        """Reads a file; see `Carrier.fetch`."""
        answer = self._calls.invoke("readFiles", {"paths": [path]}, patience=TRANSFER_SECONDS)
        if answer.is_error or len(answer.files) != 1:
            raise ProgramError(f"the answer of a program cannot be read: {answer.text[:300]!r}")
        return answer.files[0].data
