"""The hall of the house: `CodeInterpreter.call` carries every call through all its rooms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import TracebackType
from typing import BinaryIO, Final, Self, TypeVar
from uuid import uuid4

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.cancellation import Cancellation
from ci_toolkit.context import Context
from ci_toolkit.ends import end_with_the_process
from ci_toolkit.errors import CodeInterpreterError, ConfigurationError, TooLargeError, ToolError
from ci_toolkit.files import ConversationFiles
from ci_toolkit.limits import Limits
from ci_toolkit.rendering import render, sentence
from ci_toolkit.results import Answer, OnOutput, Outcome
from ci_toolkit.schemas import Arguments
from ci_toolkit.scope import Scope
from ci_toolkit.sessions import Sessions
from ci_toolkit.telemetry import Telemetry, scoped, scoped_logger
from ci_toolkit.tenancy import Place
from ci_toolkit.tools import TOOLS, WORKSPACE_TOOLS, Tool
from ci_toolkit.turns import Order
from ci_toolkit.workspaces.base import CHUNK, StoredFile, Workspace
from ci_toolkit.workspaces.memory import InMemoryWorkspace

__all__ = ["CodeInterpreter"]

logger = scoped_logger(__name__)

_Value = TypeVar("_Value")
_NAME_SHOWN: Final = 200
_TOOLS: Final = {tool.name: tool for tool in (*TOOLS, *WORKSPACE_TOOLS)}


class CodeInterpreter:
    """Four tools for agents, over a backend that runs code and a workspace that keeps files.

    Safe to use from many threads; calls of one scope run one after the other, calls of different
    scopes side by side. Also a context manager.

    Args:
        backend: Where code runs. Closed with the interpreter.
        workspace: Where uploads and saved files are kept; in memory if not given.
        limits: Bounds that the model cannot change.
        telemetry: Whom OpenTelemetry's spans and metrics are given to, and how much they say.
    """

    def __init__(
        self,
        backend: Backend,
        workspace: Workspace | None = None,
        *,
        limits: Limits | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        # A class has what its objects have, so the protocol alone would let it pass.
        if isinstance(backend, type) or not isinstance(backend, Backend):
            raise ConfigurationError(f"{backend!r} is no Backend: give one such as LocalBackend().")
        self.backend = backend
        self.workspace: Workspace = InMemoryWorkspace() if workspace is None else workspace
        if isinstance(workspace, type) or not isinstance(self.workspace, Workspace):
            raise ConfigurationError(
                f"{workspace!r} is no Workspace: give one such as DirectoryWorkspace('folder')."
            )
        self.limits = limits or Limits()
        self._telemetry = telemetry or Telemetry()
        place = Place(
            backend=backend,
            workspace=self.workspace,
            limits=self.limits,
            telemetry=self._telemetry,
        )
        self._sessions = Sessions(place)
        self._finalizer = end_with_the_process(self, self._sessions.close)

    def call(
        self,
        name: str,
        arguments: object,
        *,
        scope: Scope,
        on_output: OnOutput | None = None,
        cancellation: Cancellation | None = None,
        prefix: str = "",
        order: Order | None = None,
    ) -> Outcome:
        """Carries one call of a model through the house; blocks until it is answered.

        Whatever goes wrong is an outcome: nothing is raised for what a model, a sandbox or a
        workspace does. Only a host's own mistake, such as a scope that is none, is a `TypeError`.

        Args:
            name: A tool's name.
            arguments: What the model sent, as a mapping, or the tool's checked arguments.
            scope: Whose call it is.
            on_output: Receives live output where the backend has it.
            cancellation: Thrown from another thread to end the call.
            prefix: What the names of tools have before them where this model sees them; `name` is
                without it.
            order: Where the call stands among those of the model's turn, which may come here in
                another order.
        """
        _check(scope)
        request = _Request(scope, on_output, cancellation or Cancellation(), prefix, order)
        # Of few different values, whatever a model makes up.
        told = prefix + name if name in _TOOLS else "unknown"
        with self._telemetry.call(
            told, arguments, scope=scope, backend=self.backend.name
        ) as measured:
            outcome = self._answer(name, arguments, request)
            measured.done(outcome)
            return outcome

    def with_sandbox(
        self,
        work: Callable[[Sandbox], _Value],
        *,
        scope: Scope,
        cancellation: Cancellation | None = None,
    ) -> tuple[_Value, tuple[str, ...]]:
        """Does the host's own work in a conversation's sandbox, in turn with the model's calls.

        The sandbox is started where there is none, with uploads and saved files in it. Work whose
        sandbox turns out to be gone before anything of it ran is done once more in a new one: when
        it raises a `SandboxLostError` whose `may_have_run` is false.

        Args:
            work: Given the sandbox, which it must not keep. Work of several steps that must not be
                done twice lets no such error out of any but its first.
            scope: Whose conversation it is.
            cancellation: Thrown from another thread to end the work.

        Returns:
            What `work` returned, and what has to be told first, such as the loss of a sandbox.

        Raises:
            ToolError: As `work` raises it, or the work was cancelled before it began.
            BackendError, WorkspaceError: No sandbox could be made ready, or it failed in the work.
        """
        _check(scope)
        with scoped(scope):
            return self._sessions.get(scope).run(work, cancellation or Cancellation())

    def upload(self, name: str, data: bytes | BinaryIO, *, scope: Scope) -> StoredFile:
        """Keeps a user's file; it is in the sandbox's working directory from the next call on.

        An upload of the same name is replaced.

        Args:
            name: A plain file name.
            data: The content, or a binary file that is read in pieces from where it stands.
            scope: Whose conversation it belongs to.

        Returns:
            The file, with a key such as `uploads/sales.csv`, as `download` takes it.

        Raises:
            InvalidArgumentsError: The name is no plain file name.
            TooLargeError: The file is over `Limits.file_bytes`; nothing was stored.
            TypeError: The content is text; nothing was stored.
            WorkspaceError: The workspace failed; nothing was stored.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)) and not hasattr(data, "read"):
            raise TypeError("An upload is bytes, or a file that was opened in binary mode.")
        pieces = _pieces(data, self.limits.file_bytes)
        return ConversationFiles(self.workspace, _check(scope)).upload(name, pieces)

    def files(self, scope: Scope, prefix: str = "") -> list[StoredFile]:
        """The conversation's uploads and saved files.

        Args:
            scope: Whose.
            prefix: Such as `code-interpreter/`; empty for all.

        Returns:
            Files with keys such as `code-interpreter/chart.png`, as `download` takes them.
        """
        return list(ConversationFiles(self.workspace, _check(scope)).stored(prefix))

    def download(self, path: str, *, scope: Scope) -> bytes:
        """The content of one file, such as `code-interpreter/chart.png`.

        Raises:
            WorkspaceFileMissingError: There is no such file in this conversation.
        """
        return b"".join(self.open(path, scope=scope))

    def open(self, path: str, *, scope: Scope) -> Iterator[bytes]:
        """As `download`, in pieces of at most 1 MiB, for files that should not fill the memory."""
        return ConversationFiles(self.workspace, _check(scope)).open(path)

    def close(self, scope: Scope | None = None) -> None:
        """Ends one session and its sandbox; without a scope all of them, and the backend.

        Uploads and saved files stay. Without a scope, a sandbox that another process has attached
        to since goes on. All of this happens at the end of the process, too, also by SIGTERM.
        Idempotent; never raises.
        """
        self._sessions.close(scope)
        if scope is None:
            self.backend.close()

    def detach(self, scope: Scope | None = None) -> None:
        """Lets go of one session, or of all, for another process to go on with, as on a restart.

        Where the backend can attach, the sandbox lives on with its variables, until its own end:
        the next call of the scope, in whichever process, finds it. Elsewhere it ends, as by
        `close`. Idempotent; never raises.
        """
        self._sessions.detach(scope)

    def describe(self, scope: Scope | None = None) -> list[dict[str, object]]:
        """The state of one session, or of all that are open, for an operator to look at.

        Returns:
            A record of JSON types for each: its scope, its sandbox, how many calls it had and how
            many wait, its losses, its uploads; no code, no output, no content of a file.
        """
        return self._sessions.describe(scope)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, name: str, arguments: object, request: "_Request") -> Outcome:
        prefix = request.prefix
        try:
            tool = _tool(name, prefix)
            answer = self._run(tool, tool.arguments.parse(arguments), request)
        except CodeInterpreterError as error:
            answer = Answer(error=_told(error, request.scope))
        except Exception as error:  # noqa: BLE001 - a defect must neither end an agent nor leak
            answer = Answer(error=_told_of_a_defect(error, request.scope))
        try:
            return render(name, answer, self.limits, prefix=prefix)
        except Exception as error:  # noqa: BLE001 - as above: what is rendered came from a sandbox
            defect = Answer(error=_told_of_a_defect(error, request.scope))
            return render(name, defect, self.limits, prefix=prefix)

    def _run(self, tool: Tool, arguments: Arguments, request: "_Request") -> Answer:
        session = self._sessions.get(request.scope)

        def work(sandbox: Sandbox) -> Answer:
            context = Context(
                sandbox=sandbox,
                files=session.files,
                limits=self.limits,
                on_output=request.on_output,
                is_unchanged_upload=session.is_unchanged_upload,
                scope=request.scope,
                telemetry=self._telemetry,
                network=self.backend.abilities.network,
                prefix=request.prefix,
            )
            try:
                return tool.run(arguments, context)
            except ToolError as error:
                return Answer(error=error)

        answer, notes = session.run(work, request.cancellation, request.order)
        return replace(answer, notes=(*notes, *answer.notes))


@dataclass(frozen=True)
class _Request:
    """What comes with a call beside the model's own words."""

    scope: Scope
    on_output: OnOutput | None
    cancellation: Cancellation
    prefix: str
    order: Order | None


def _check(scope: Scope) -> Scope:
    """Hosts give scopes by hand, and a bare name is a mistake that would be told far from here."""
    if not isinstance(scope, Scope):
        raise TypeError(f"scope is a Scope(user_id=..., session_id=...), not {scope!r}.")
    return scope


def _tool(name: str, prefix: str) -> Tool:
    if name in _TOOLS:
        return _TOOLS[name]
    name = name[:_NAME_SHOWN]  # a comparison takes time and memory by its length
    near = get_close_matches(name, _TOOLS, n=1)
    meant = f" Did you mean {prefix + near[0]!r}?" if near else ""
    known = ", ".join(prefix + tool.name for tool in TOOLS)
    raise ToolError(f"There is no tool {prefix + name!r}.{meant} The tools are {known}.")


def _told(error: CodeInterpreterError, scope: Scope) -> ToolError:
    """What the model may know of an error; the rest goes to the operator's log."""
    if isinstance(error, ToolError):
        return error
    logger.error("%s in %s: %s", type(error).__name__, scope, error, exc_info=error)
    return ToolError(sentence(error))


def _told_of_a_defect(error: Exception, scope: Scope) -> ToolError:
    reference = uuid4().hex[:8]
    logger.error("Defect %s in %s", reference, scope, exc_info=error)
    return ToolError(
        f"The code interpreter failed inside (reference {reference}); it is not known whether "
        "anything was run. Check before you repeat it."
    )


def _pieces(data: bytes | BinaryIO, most: int) -> Iterator[bytes]:
    """The content in pieces, as far as it may go."""
    size = 0
    if isinstance(data, (bytes, bytearray, memoryview)):
        pieces: Iterator[object] = iter([bytes(data)])
    else:
        pieces = iter(lambda: data.read(CHUNK), b"")
    for piece in pieces:
        if not isinstance(piece, bytes):  # a file in text mode would never come to its end
            raise TypeError("An upload is bytes, or a file that was opened in binary mode.")
        size += len(piece)
        if size > most:
            raise TooLargeError(f"The upload is larger than {most:,} bytes; nothing was stored.")
        yield piece
