"""`Telemetry`: spans and metrics of calls, of starts, of transfers and of losses."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final, Literal

from ci_toolkit.results import Outcome
from ci_toolkit.scope import Scope
from ci_toolkit.telemetry.api import Api, Value
from ci_toolkit.telemetry.logs import scoped

__all__ = ["CallMeasured", "Measured", "Telemetry", "TransferMeasured"]

Direction = Literal["to_sandbox", "to_workspace"]

_CONTENT_CHARS: Final = 20_000


class Measured:
    """Something that goes on and is being measured; attributes can be added until it ends."""

    def __init__(self, span: Any) -> None:
        self._span = span
        self.error = ""

    def set(self, name: str, value: Value) -> None:
        """Adds an attribute."""
        if self._span is not None:
            self._span.set_attribute(name, value)

    def fail(self, error: str) -> None:
        """Says that it went wrong.

        Args:
            error: A class of errors, such as `TimedOutError`; never a message, which may hold
                data.
        """
        self.error = error


class Telemetry:
    """Spans and metrics of one interpreter.

    Args:
        content: Whether spans carry the arguments of calls and the text of answers, cut to 20,000
            characters each. They hold whatever users and programs wrote.
        tracer_provider: Where spans go; by default to OpenTelemetry's global one.
        meter_provider: Where metrics go; by default to OpenTelemetry's global one.
    """

    def __init__(
        self, *, content: bool = False, tracer_provider: Any = None, meter_provider: Any = None
    ) -> None:
        self._content = content
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._api: Api | None = None
        self._looked = False

    @contextmanager
    def call(
        self, tool: str, arguments: object, *, scope: Scope, backend: str
    ) -> Iterator["CallMeasured"]:
        """One call of a model, with its scope in every log record of this thread.

        Args:
            tool: The tool's name, with its prefix.
            arguments: What the model sent; told only with `content`.
            scope: Whose call it is.
            backend: `Backend.name`.
        """
        named: dict[str, Value] = {"gen_ai.tool.name": tool, "ci_toolkit.backend": backend}
        details: dict[str, Value] = {"gen_ai.tool.type": "function", **_identity(scope)}
        if self._content:
            details["gen_ai.tool.call.arguments"] = _json(arguments)
        api = self._found()
        if api is not None and api.inside_a_tool_span():
            # A framework has told of this call already; it is not to be counted twice.
            title = f"code_interpreter {tool}"
        else:
            title = f"execute_tool {tool}"
            details["gen_ai.operation.name"] = "execute_tool"
        with scoped(scope), self.span(title, {**named, **details}) as measured:
            call = CallMeasured(measured, content=self._content)
            with self._timed("ci_toolkit.call.duration", measured, named):
                yield call
            self.measure("ci_toolkit.call.text", call.text_chars, {**named, **_error(measured)})

    @contextmanager
    def session_start(
        self, *, scope: Scope, backend: str, after_loss: bool = False
    ) -> Iterator[Measured]:
        """The start of a sandbox with all that is put into it.

        Args:
            scope: Whose it is.
            backend: `Backend.name`.
            after_loss: Whether it takes the place of one that was lost.
        """
        named: dict[str, Value] = {
            "ci_toolkit.backend": backend,
            "ci_toolkit.session.after_loss": after_loss,
        }
        title = "recover session" if after_loss else "start session"
        with (
            self.span(title, {**named, **_identity(scope)}) as measured,
            self._timed("ci_toolkit.session.start.duration", measured, named),
        ):
            yield measured

    @contextmanager
    def transfer(
        self, direction: Direction, *, scope: Scope, straight: bool = False
    ) -> Iterator["TransferMeasured"]:
        """Files on their way between workspace and sandbox.

        Args:
            direction: Where to.
            scope: Whose they are.
            straight: Whether they go by a link and not through this process.
        """
        named: dict[str, Value] = {
            "ci_toolkit.transfer.direction": direction,
            "ci_toolkit.transfer.straight": straight,
        }
        with self.span(f"transfer {direction}", {**named, **_identity(scope)}) as measured:
            transfer = TransferMeasured(measured)
            try:
                with self._timed("ci_toolkit.transfer.duration", measured, named):
                    yield transfer
            finally:
                measured.set("ci_toolkit.transfer.files", transfer.files)
                measured.set("ci_toolkit.transfer.bytes", transfer.bytes)
                labels = {**named, **_error(measured)}
                self.measure("ci_toolkit.transfer.size", transfer.bytes, labels)
                self.count("ci_toolkit.transfer.files", transfer.files, labels)

    def sandbox_lost(self, *, scope: Scope, backend: str, may_have_run: bool) -> None:
        """A sandbox is gone that was in use."""
        labels: dict[str, Value] = {
            "ci_toolkit.backend": backend,
            "ci_toolkit.call.may_have_run": may_have_run,
        }
        self.count("ci_toolkit.sandbox.losses", 1, labels)
        api = self._found()
        if api is not None:
            api.event("sandbox lost", {**labels, **_identity(scope)})

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value]) -> Iterator[Measured]:
        """Something that goes on; what is raised in it marks it as failed, and passes through.

        Args:
            name: Of few different values.
            attributes: What is known beforehand.
        """
        api = self._found()
        if api is None:
            yield Measured(None)
            return
        with api.span(name, attributes) as span:
            measured = Measured(span)
            try:
                yield measured
            except BaseException as error:
                measured.fail(type(error).__name__)
                raise
            finally:
                api.end(span, measured.error)

    def count(self, name: str, number: int, attributes: Mapping[str, Value]) -> None:
        """Adds to a counter."""
        api = self._found()
        if api is not None:
            api.counter(name).add(number, dict(attributes))

    def measure(self, name: str, value: float, attributes: Mapping[str, Value]) -> None:
        """Puts a value into a histogram, one of those whose units are written above."""
        api = self._found()
        if api is not None:
            api.histogram(name).record(value, dict(attributes))

    @contextmanager
    def _timed(
        self, name: str, measured: Measured, attributes: Mapping[str, Value]
    ) -> Iterator[None]:
        """Measures how long the block takes, and whether it failed."""
        began = time.perf_counter()
        try:
            yield
        except BaseException as error:
            measured.fail(type(error).__name__)
            raise
        finally:
            took = time.perf_counter() - began
            self.measure(name, took, {**attributes, **_error(measured)})

    def _found(self) -> "Api | None":
        """OpenTelemetry, where it is installed; looked for at the first use."""
        if not self._looked:
            self._api = Api.find(self._tracer_provider, self._meter_provider)
            self._looked = True
        return self._api


class CallMeasured:
    """A call that goes on."""

    def __init__(self, measured: Measured, *, content: bool) -> None:
        self._measured = measured
        self._content = content
        self.text_chars = 0

    def done(self, outcome: Outcome) -> None:
        """Tells how it ended: sizes, counts, the class of an error."""
        tell = self._measured.set
        self.text_chars = len(outcome.text)
        tell("ci_toolkit.call.text_chars", len(outcome.text))
        tell("ci_toolkit.call.images", len(outcome.images))
        tell("ci_toolkit.call.image_bytes", sum(len(image.data) for image in outcome.images))
        tell("ci_toolkit.call.notes", _length(outcome.artifact.get("notes")))
        tell("ci_toolkit.call.files", _length(outcome.artifact.get("files")))
        execution = outcome.artifact.get("execution")
        if isinstance(execution, Mapping):
            for name in ("exit_code", "ended", "state_kept", "duration"):
                if name in execution:
                    tell(f"ci_toolkit.execution.{name}", execution[name])
        if self._content:
            tell("gen_ai.tool.call.result", outcome.text[:_CONTENT_CHARS])
        if outcome.is_error:
            self._measured.fail(_kind_of_error(outcome.artifact))


class TransferMeasured:
    """Files on their way.

    Attributes:
        files: How many have arrived.
        bytes: How large they were.
    """

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self.files = 0
        self.bytes = 0

    def arrived(self, size: int) -> None:
        """One more file is there."""
        self.files += 1
        self.bytes += size

    def fail(self, error: str) -> None:
        """As `Measured.fail`."""
        self._measured.fail(error)


def _identity(scope: Scope) -> dict[str, Value]:
    """Whose it is: the conversation by its id, the user by a hash that tells users apart."""
    user = sha256(scope.user_id.encode()).hexdigest()[:16]
    found: dict[str, Value] = {"gen_ai.conversation.id": scope.session_id, "user.hash": user}
    return {**found, "ci_toolkit.branch": scope.branch} if scope.branch else found


def _error(measured: Measured) -> dict[str, Value]:
    return {"error.type": measured.error} if measured.error else {}


def _kind_of_error(artifact: Mapping[str, object]) -> str:
    """A class of few values."""
    error = artifact.get("error")
    if isinstance(error, Mapping) and isinstance(error.get("type"), str):
        return str(error["type"])
    execution = artifact.get("execution")
    if isinstance(execution, Mapping):
        ended = execution.get("ended")
        if ended != "completed":
            return str(ended)
        if execution.get("exit_code"):
            return "exit_code"
    return "file"


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 0


def _json(arguments: object) -> str:
    dump = getattr(arguments, "model_dump", None)
    try:
        text = json.dumps(dump(exclude_defaults=True) if dump else arguments, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(arguments))
    return text[:_CONTENT_CHARS]
