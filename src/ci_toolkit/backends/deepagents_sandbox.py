"""`DeepagentsSandboxBackend`: deepagents sandboxes (Daytona, Modal, ...) as a backend."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal
from uuid import uuid4

from ci_toolkit.backends.foreign import ForeignBackend, Opened
from ci_toolkit.doors import extra
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.results import OnOutput

with extra("deepagents", "deepagents"):
    from deepagents.backends.protocol import SandboxBackendProtocol, execute_accepts_timeout

__all__ = ["DeepagentsSandboxBackend"]

_PART = 8 * 1024 * 1024
_LOOK_SECONDS = 60.0


class DeepagentsSandboxBackend(ForeignBackend):
    """Runs code in sandboxes of deepagents; a `Backend` of the seam.

    Each run of code is a process of its own, so that variables do not stay, and there is no live
    output, since these sandboxes have none. The sandbox has to run Linux and have a `python3` of
    3.9 or later. An interrupt is a signal by a second command, which has to be possible beside the
    first; where it is not, the sandbox is given up.

    Args:
        sandbox: A sandbox; or a callable that returns a new one, or a context manager that gives
            one and ends it. A sandbox given as an object serves one conversation, and stays when
            the session ends.
        languages: What runs a script of each further language, before the name of its file, such
            as `{"javascript": ["node"]}`.
        network: What code can reach there, for the model to be told. It is not set by this.

    Raises:
        ConfigurationError: An argument is not what it has to be.
    """

    def __init__(
        self,
        sandbox: SandboxBackendProtocol
        | Callable[[], SandboxBackendProtocol]
        | Callable[[], AbstractContextManager[SandboxBackendProtocol]],
        *,
        languages: Mapping[str, Sequence[str]] | None = None,
        network: Literal["none", "internet", "host"] = "host",
    ) -> None:
        super().__init__(
            "deepagents",
            Opened(sandbox, SandboxBackendProtocol, _DeepagentsPlace),
            languages=languages or {},
            network=network,
            live=False,
        )


class _DeepagentsPlace:
    """A `Place`."""

    live = False
    part = _PART

    def __init__(self, sandbox: SandboxBackendProtocol) -> None:
        self._sandbox = sandbox
        self._takes_timeout = execute_accepts_timeout(type(sandbox))
        self._folder = ""

    def settle(self, directory: str) -> None:
        """Finds out by which paths the directory's files are known: some have a root of their own.

        A file is made by the shell and looked for, so that nothing is left in a wrong place.
        """
        token = uuid4().hex
        name = f".ci-{token}.in"
        self.run(f"printf {token} > {name}", patience=_LOOK_SECONDS)
        try:
            folders = (directory.rstrip("/") + "/", "/", "")
            found = [each for each in folders if self._holds(each + name, token)]
        finally:
            self.run(f"rm -f {name}", patience=_LOOK_SECONDS)
        if not found:
            raise ConfigurationError(
                "The sandbox's download_files does not find what its commands wrote in their "
                f"working directory, {directory!r}."
            )
        self._folder = found[0]

    def run(
        self,
        command: str,
        *,
        patience: float,
        on_output: OnOutput | None = None,  # noqa: ARG002 - there is none before the end
    ) -> Sequence[str]:
        if self._takes_timeout:
            return (self._sandbox.execute(command, timeout=math.ceil(patience)).output,)
        return (self._sandbox.execute(command).output,)

    def store(self, name: str, data: bytes) -> str:
        (response,) = self._sandbox.upload_files([(self._folder + name, data)])
        return response.error or ""

    def fetch(self, name: str) -> bytes:
        (response,) = self._sandbox.download_files([self._folder + name])
        if response.content is None:
            raise FileNotFoundError(response.error or name)
        return response.content

    def stop(self) -> None:
        """Nothing: a command of deepagents cannot be cancelled."""

    def _holds(self, path: str, text: str) -> bool:
        try:
            (response,) = self._sandbox.download_files([path])
        except Exception:  # noqa: BLE001 - a path that it refuses is not the one
            return False
        return response.content == text.encode()
